"""Wrong behaviours, planted one at a time, that the unit tests must notice."""
