"""The evidence page: how private one anonymizer is, for people who must decide or audit it. No torch."""
