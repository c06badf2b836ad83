"""Triton's data types: their names in config.pbtxt and on the wire, and what ONNX and numpy call them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Datatype:
    """One row of the table. `onnx` is the TensorProto.DataType number; `size_bytes` is 0 where elements vary."""

    name: str  # in config.pbtxt
    wire: str  # in the inference protocol
    number: int  # in model_config.proto's enum DataType
    numpy: str  # BF16 has no numpy type: its bits travel as uint16
    onnx: int
    size_bytes: int


# Source: model_config.proto (DataType), core: model_config_utils.cc (DataTypeToProtocolString), onnx.proto (DataType).
_ROWS = (
    Datatype("TYPE_BOOL", "BOOL", 1, "bool", 9, 1),
    Datatype("TYPE_UINT8", "UINT8", 2, "uint8", 2, 1),
    Datatype("TYPE_UINT16", "UINT16", 3, "uint16", 4, 2),
    Datatype("TYPE_UINT32", "UINT32", 4, "uint32", 12, 4),
    Datatype("TYPE_UINT64", "UINT64", 5, "uint64", 13, 8),
    Datatype("TYPE_INT8", "INT8", 6, "int8", 3, 1),
    Datatype("TYPE_INT16", "INT16", 7, "int16", 5, 2),
    Datatype("TYPE_INT32", "INT32", 8, "int32", 6, 4),
    Datatype("TYPE_INT64", "INT64", 9, "int64", 7, 8),
    Datatype("TYPE_FP16", "FP16", 10, "float16", 10, 2),
    Datatype("TYPE_FP32", "FP32", 11, "float32", 1, 4),
    Datatype("TYPE_FP64", "FP64", 12, "float64", 11, 8),
    Datatype("TYPE_STRING", "BYTES", 13, "object", 8, 0),
    Datatype("TYPE_BF16", "BF16", 14, "uint16", 16, 2),
)

DATATYPES: dict[str, Datatype] = {row.name: row for row in _ROWS}
BY_WIRE: dict[str, Datatype] = {row.wire: row for row in _ROWS}
BY_ONNX: dict[int, Datatype] = {row.onnx: row for row in _ROWS}
BY_NUMBER: dict[int, Datatype] = {row.number: row for row in _ROWS}
