"""Schemas, written by us, of the two files that say how a node's GPUs are shared; closed, as their programs read them.

They use the words of JSON Schema that `kubernetes/schemas` uses, so that the same `faults` reads them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

FOLDER = Path(__file__).parent
File = Literal["device_plugin", "mig_parted"]


@cache
def file_schema(name: File) -> Mapping[str, Any]:
    """Return the schema of the device plugin's configuration, or of mig-parted's."""
    schema: Mapping[str, Any] = json.loads((FOLDER / f"{name}.json").read_bytes())
    return schema


def kind_of_file(document: Any) -> File | None:
    """Return which of the two a document is, by its own keys; None where it is neither.

    mig-parted refuses a file without its version; the device plugin takes one for v1. Source: api/config/v1/config.go.
    """
    if not isinstance(document, dict) or "apiVersion" in document:
        return None
    if "mig-configs" in document:
        return "mig_parted"
    shared = document.get("sharing")
    if isinstance(shared, dict) and shared.keys() & {"timeSlicing", "mps"}:
        return "device_plugin"
    return (
        "device_plugin"
        if "version" in document and document.keys() & {"flags", "resources", "imex", "sharing"}
        else None
    )
