"""Facts read from model files."""
