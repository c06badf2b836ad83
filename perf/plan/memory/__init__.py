"""Where the memory of a GPU goes."""
