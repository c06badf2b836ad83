"""spec -> repository."""

from tritonsmith.generator.lower.lower import lower

__all__ = ["lower"]
