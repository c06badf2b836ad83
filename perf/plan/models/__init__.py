"""A language model's shape, read from its files."""
