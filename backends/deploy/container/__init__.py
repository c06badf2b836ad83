"""A container image with the repository, what it needs, and how it is started."""
