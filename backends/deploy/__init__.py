"""Bring a repository to where it is served: a running server, an object store, a container, Kubernetes."""
