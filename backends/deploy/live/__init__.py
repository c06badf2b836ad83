"""A running server: what it serves compared with a repository, loaded in order, verified, rolled back."""
