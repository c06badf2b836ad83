"""What a row of the tensor tables is, and a row as config.pbtxt has it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

from tritonsmith.generator.catalog.tensorrtllm.versions import Spanned, Version

# Types that depend on the engine; each blueprint setting of that name gives one.
LOGITS = "logits_datatype"
ENCODER = "encoder_input_features_data_type"
PROMPT = "prompt_embedding_table_data_type"

BOOL, UINT8, UINT64, INT32, INT64, FP16, FP32, STRING = (
    f"TYPE_{name}" for name in ("BOOL", "UINT8", "UINT64", "INT32", "INT64", "FP16", "FP32", "STRING")
)
ONE = (1,)
LIST = (-1,)
MATRIX = (-1, -1)


class Is(enum.Flag):
    """What else config.pbtxt says of an input."""

    REQUIRED = 0
    OPTIONAL = enum.auto()
    SCALAR = enum.auto()  # dims [1], reshape {shape: []}: the model sees one value per request, without an axis
    RAGGED = enum.auto()  # allow_ragged_batch: requests of different lengths go into one batch


OPTIONAL = Is.OPTIONAL
SCALAR = Is.OPTIONAL | Is.SCALAR
RAGGED = Is.OPTIONAL | Is.RAGGED


@dataclass(frozen=True)
class Tensor(Spanned):
    """One row: an input or output; dims without the batch axis."""

    _: KW_ONLY
    name: str = ""
    data_type: str = ""
    dims: tuple[int, ...] = ONE
    flags: Is = Is.REQUIRED


def given(
    name: str,
    data_type: str,
    dims: tuple[int, ...] = ONE,
    flags: Is = OPTIONAL,
    *,
    since: str = "",
    until: str = "",
) -> Tensor:
    """Return the row of an input, optional unless said otherwise."""
    return Tensor(name=name, data_type=data_type, dims=dims, flags=flags, since=since, until=until)


def made(name: str, data_type: str, dims: tuple[int, ...] = ONE, *, since: str = "", until: str = "") -> Tensor:
    """Return the row of an output."""
    return Tensor(name=name, data_type=data_type, dims=dims, since=since, until=until)


def items_of(rows: Iterable[Tensor], version: Version, types: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the rows of a version as a spec writes them; `types` gives those that depend on the engine."""
    return [_item(row, types) for row in rows if row.holds_in(version)]


def _item(row: Tensor, types: Mapping[str, str]) -> dict[str, Any]:
    item: dict[str, Any] = {
        "name": row.name,
        "data_type": types.get(row.data_type, row.data_type),
        "dims": list(row.dims),
    }
    if Is.SCALAR in row.flags:
        item["reshape"] = {"shape": []}
    if Is.OPTIONAL in row.flags:
        item["optional"] = True
    if Is.RAGGED in row.flags:
        item["allow_ragged_batch"] = True
    return item
