"""What a tuning found: in words, on the terminal, as a page."""
