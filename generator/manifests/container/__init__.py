"""A repository's container: Dockerfile, compose file, start script, as data that becomes files."""
