"""A plan as a person reads it: text, the other ways, comparison, drawing, page, advice."""
