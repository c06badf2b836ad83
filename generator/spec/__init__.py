"""The spec: YAML with places, merged layers, fields by their descriptor, our own keys."""
