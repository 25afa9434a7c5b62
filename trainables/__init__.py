"""One trial: the minimax of the paper, its evaluation, and what they need. Importing this package imports no torch."""
