"""What a document has against one of our schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tritonsmith.generator.manifests.kubernetes.schemas import Schema

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}


def faults(document: Any, schema: Schema, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield what a document has against a schema: where (spec.rules.0.record), and what."""
    if "anyOf" in schema:
        found = [list(faults(document, one, place)) for one in schema["anyOf"]]
        yield from min(found, key=len) if all(found) else ()
        return
    wanted = schema.get("type")
    if wanted and not _is(document, wanted):
        yield place, f"{json.dumps(document)[:60]} is no {wanted}"
        return
    if "const" in schema and document != schema["const"]:
        yield place, f"{document!r} is not {schema['const']!r}"
    if "enum" in schema and document not in schema["enum"]:
        yield place, f"{document!r} is none of {', '.join(schema['enum'])}"
    if isinstance(document, dict):
        yield from _object_faults(document, schema, place)
    elif isinstance(document, list):
        yield from _array_faults(document, schema, place)
    elif isinstance(document, str):
        yield from _text_faults(document, schema, place)
    elif isinstance(document, int | float):
        low, high = schema.get("minimum", document), schema.get("maximum", document)
        if not low <= document <= high:
            yield place, f"{document} is not from {low} to {high}"


def _is(value: Any, wanted: str) -> bool:
    return isinstance(value, _TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))


def _object_faults(document: dict[str, Any], schema: Schema, place: str) -> Iterator[tuple[str, str]]:
    known, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
    for key in schema.get("required", ()):
        if key not in document:
            yield place, f"{key} is missing"
    if len(document) < schema.get("minProperties", 0):
        yield place, "it is empty"
    for key, value in document.items():
        if key in known:
            yield from faults(value, known[key], _below(place, key))
        elif rest is False:
            yield _below(place, key), f"there is no field {key}"
        elif rest is not True:
            yield from faults(value, rest, _below(place, key))


def _array_faults(document: list[Any], schema: Schema, place: str) -> Iterator[tuple[str, str]]:
    low, high = schema.get("minItems", 0), schema.get("maxItems")
    if len(document) < low or (high is not None and len(document) > high):
        may_be = f"at least {low}" if high is None else f"{low} to {high}"
        yield place, f"{len(document)} items, where {may_be} may be"
    for index, item in enumerate(document):
        yield from faults(item, schema.get("items", {}), _below(place, index))


def _text_faults(text: str, schema: Schema, place: str) -> Iterator[tuple[str, str]]:
    if len(text) < schema.get("minLength", 0):
        yield place, "it is empty"
    if "pattern" in schema and not re.search(schema["pattern"], text):
        yield place, f"{text!r} does not match {schema['pattern']}"


def _below(place: str, key: str | int) -> str:
    return f"{place}.{key}" if place else str(key)
