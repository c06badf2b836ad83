"""What was written for a container, for people and for machines."""

from __future__ import annotations

from typing import Any

from tritonsmith.backends.deploy.container.write import Image


def as_text(image: Image) -> str:
    """Return what was written, or would be."""
    return str(image.written)


def as_json(image: Image) -> dict[str, Any]:
    """Return the same as data, with the images' names."""
    made = image.container
    named = {"base": made.base, "image": made.image, "notices": list(made.notices)}
    return {**image.written.as_json(), **named}
