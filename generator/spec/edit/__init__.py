"""Changing values in the text of a spec, so that comments and layout stay."""
