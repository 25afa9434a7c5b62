"""The training that several methods share: the stages before the minimax, and the minimax against labelled attributes."""
