"""A response for people, for machines, and as files."""

from __future__ import annotations

import base64
import json
import unicodedata
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from tritonsmith.backends.client.base import InferResponse, Tensor
from tritonsmith.backends.client.tensors import Array
from tritonsmith.generator.console import table
from tritonsmith.generator.errors import UsageError

SHOWN_ELEMENTS = 8
SHOWN_CHARACTERS = 200
TEXT = "text_output"  # what TensorRT-LLM's and vLLM's models call the text that they stream


def as_text(response: InferResponse, *, is_batched: bool) -> str:
    """Return a response as text: a table with a row per batch row where that is possible, else a line per output."""
    outputs = list(response.outputs.values())
    rows = {output.array.shape[0] for output in outputs if output.array.ndim}
    if not is_batched or len(rows) != 1 or any(not output.array.ndim for output in outputs):
        return "\n".join(f"{o.name}  {o.datatype}{list(o.array.shape)}  {cell(o.array)}" for o in outputs)
    header = ["row", *(f"{o.name} {o.datatype}{list(o.array.shape[1:])}" for o in outputs)]
    return table(header, [[str(n), *(cell(o.array[n : n + 1]) for o in outputs)] for n in range(rows.pop())])


def as_line(response: InferResponse) -> str:
    """Return one response of a stream as a line."""
    return "  ".join(f"{output.name}={cell(output.array)}" for output in response.outputs.values())


def as_piece(response: InferResponse) -> str | None:
    """Return what one response of a stream adds to a text; None where it says something else, or more.

    Control characters other than line ends and tabs are written as escapes: no model speaks to a terminal.
    """
    text = response.outputs.get(TEXT)
    if text is None or len(response.outputs) > 1 or text.datatype != "BYTES" or text.array.size != 1:
        return None
    piece = text.array.reshape(-1)[0].decode("utf-8", "replace")
    return "".join(c if c in "\n\t" or unicodedata.category(c) != "Cc" else ascii(c)[1:-1] for c in piece)


def as_json(response: InferResponse) -> dict[str, Any]:
    """Return a response as data, as the protocol's own JSON has it."""
    outputs = [
        {"name": o.name, "datatype": o.datatype, "shape": list(o.array.shape), "data": [plain(v) for v in o.array.flat]}
        for o in response.outputs.values()
    ]
    return {"model_name": response.model, "model_version": response.version, "outputs": outputs}


def as_json_text(response: InferResponse, *, is_line: bool) -> str:
    """Return the same as text: in one line, as one of several, or for reading."""
    return json.dumps(as_json(response), indent=None if is_line else 2)


def save(response: InferResponse, folder: Path, suffix: str = "") -> list[Path]:
    """Write each output to `<name><suffix>.npy` and return the files; BYTES become fixed-length strings.

    Raises: UsageError where numpy cannot keep an element, or the folder cannot be written.
    """
    paths = []
    for output in response.outputs.values():
        path = folder / f"{quote(output.name, safe='')}{suffix}.npy"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            np.save(path, _storable(output), allow_pickle=False)
        except OSError as problem:
            raise UsageError(
                f"cannot write {path}: {problem.strerror}", hint="name a folder that you may write"
            ) from None
        paths.append(path)
    return paths


def cell(array: Array) -> str:
    """Return an array in one line: its only element plainly, else a list, shortened."""
    array = np.asarray(array, dtype=object) if array.dtype == object else np.asarray(array)
    if array.size == 1:
        return _element(array.reshape(-1)[0])
    flat = [_element(value) for value in array.reshape(-1)[:SHOWN_ELEMENTS]]
    more = f", ... {array.size} in all" if array.size > SHOWN_ELEMENTS else ""
    return f"[{', '.join(flat)}{more}]"


def plain(value: Any) -> Any:
    """Return one element for JSON: text where bytes are UTF-8, else {"b64": ...}; the shortest float that is exact."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, np.floating):
        return float(str(value))
    return value.item() if isinstance(value, np.generic) else value


def _element(value: Any) -> str:
    if isinstance(value, bytes):
        text = value.decode("utf-8", "replace")
        if len(text) > SHOWN_CHARACTERS:
            return f"{text[:40]!r}... {len(value)} bytes"
        return text if text.isprintable() else repr(text)
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)


def _storable(output: Tensor) -> Array:
    if output.datatype != "BYTES":
        return output.array
    if any(element.endswith(b"\0") for element in output.array.flat):
        raise UsageError(f"'{output.name}' holds bytes that end in NUL, which .npy cannot keep", hint="use --json")
    return output.array.astype(bytes)
