"""Manifests with kustomization for a repository, and what its user has to know beside them."""
