"""The rules on manifests, one file per subject."""
