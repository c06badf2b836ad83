"""A plan as a person reads it: text, comparison, page, advice."""
