"""A big ONNX file without its weights: what is left is small enough to parse, whatever the file weighs.

An ONNX file is one protobuf message. Its graph is field 7 and each weight a field 5 of the graph, a TensorProto whose
data lies in one field. Lengths are written before contents, so the data is skipped without being read.
Source: https://protobuf.dev/programming-guides/encoding, onnx.proto (ModelProto, GraphProto, TensorProto).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

_GRAPH = 7  # in ModelProto
_INITIALIZER = 5  # in GraphProto
# In TensorProto: float_data, int32_data, string_data, int64_data, raw_data, double_data, uint64_data.
_DATA = frozenset({4, 5, 6, 7, 9, 10, 11})
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SMALL_TENSOR_BYTES = 256  # kept whole: cheaper than a look inside


class TruncatedError(Exception):
    """Raised where the file ends inside a field, or holds what no protobuf message holds."""


def without_weights(buffer: mmap.mmap | bytes) -> bytes:
    """Return the bytes of the same ModelProto with the data of its initializers left out.

    Raises: TruncatedError.
    """
    kept = bytearray()
    for number, start, content, end in _fields(buffer, 0, len(buffer)):
        if number == _GRAPH:
            kept += _field(_GRAPH, _slim_graph(buffer, content, end))
        else:
            kept += buffer[start:end]
    return bytes(kept)


def _slim_graph(buffer: mmap.mmap | bytes, start: int, end: int) -> bytearray:
    kept = bytearray()
    for number, tag, content, after in _fields(buffer, start, end):
        if number == _INITIALIZER and after - content > _SMALL_TENSOR_BYTES:
            tensor = bytearray()
            for inner, inner_start, _, inner_end in _fields(buffer, content, after):
                if inner not in _DATA:
                    tensor += buffer[inner_start:inner_end]
            kept += _field(_INITIALIZER, tensor)
        else:
            kept += buffer[tag:after]
    return kept


def _fields(buffer: mmap.mmap | bytes, position: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (field number, its start, its content's start, its end) for each field of a message."""
    while position < end:
        start = position
        tag, position = _varint(buffer, position, end)
        content, wire_type = position, tag & 7
        if wire_type == _BYTES:
            length, content = _varint(buffer, position, end)
            position = content + length
        elif wire_type == _VARINT:
            _, position = _varint(buffer, position, end)
        elif wire_type in (_FIXED64, _FIXED32):
            position += 8 if wire_type == _FIXED64 else 4
        else:
            raise TruncatedError
        if position > end:
            raise TruncatedError
        yield tag >> 3, start, content, position


def _varint(buffer: mmap.mmap | bytes, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < 64:
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise TruncatedError


def _field(number: int, content: bytearray) -> bytearray:
    """Return a length-delimited field."""
    head = bytearray()
    for value in (number << 3 | _BYTES, len(content)):
        while value >= 0x80:
            head.append(value & 0x7F | 0x80)
            value >>= 7
        head.append(value)
    return head + content
