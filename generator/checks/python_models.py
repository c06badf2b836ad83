"""Whether a Python model is one, found in its source without running it."""
