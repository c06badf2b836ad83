"""Names of enum values: protobuf also takes numbers that have none."""

from __future__ import annotations

from typing import Any


def enum_name(kind: Any, number: int) -> str:
    """Return the name of an enum's value (`DataType`, `ModelInput.Format`, ...), the number where it has none."""
    return str(kind.Name(number)) if number in kind.values() else str(number)
