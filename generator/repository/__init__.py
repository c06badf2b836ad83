"""The model repository: as data, read from disk, completed as Triton would, written."""
