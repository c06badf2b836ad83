"""A traffic from several regions."""
