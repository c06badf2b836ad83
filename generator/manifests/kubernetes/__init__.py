"""A repository's deployment on Kubernetes: `core` says what it needs, a module per kind of object writes it as data."""
