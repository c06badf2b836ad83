"""The rules of `check`: one file, or one folder, per subject."""
