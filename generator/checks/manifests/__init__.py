"""Checks: what is wrong with a set of Kubernetes manifests that serve models, found without a cluster.

`find` tells manifests from specs and repositories, `read` reads the sets below a path, `kustomize` builds overlays,
`pods`, `start` and `queries` say what runs in them, and `rules` hold one file per subject.
"""
