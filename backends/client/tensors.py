"""Tensors between numpy and the inference protocol's bytes, every data type of Triton."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonsmith.generator.catalog.datatypes import BY_WIRE
from tritonsmith.generator.errors import ServerError, UsageError

Array = NDArray[Any]


def encode(array: Array, datatype: str) -> bytes:
    """Return a tensor's bytes as the protocol carries them, row-major and little-endian.

    BF16 takes uint16 as its bits and rounds anything else; BYTES takes bytes or str elements.
    """
    if datatype == "BYTES":
        return encode_strings(array.ravel().tolist())
    if datatype == "BF16":
        return np.ascontiguousarray(array if array.dtype == np.uint16 else bf16_bits(array)).tobytes()
    return np.ascontiguousarray(array, dtype=np.dtype(_numpy_name(datatype)).newbyteorder("<")).tobytes()


def decode(data: bytes, datatype: str, shape: Sequence[int]) -> Array:
    """Return the array that a tensor's bytes hold; BF16 as float32, BYTES as objects (bytes).

    Raises: ServerError where the bytes do not fill the shape.
    """
    if datatype == "BYTES":
        array: Array = np.array(decode_strings(data), dtype=object)
    elif datatype == "BF16":
        array = bf16_values(np.frombuffer(data, dtype="<u2"))
    else:
        array = np.frombuffer(data, dtype=np.dtype(_numpy_name(datatype)).newbyteorder("<"))
    if array.size != int(np.prod(shape, dtype=np.int64)):
        raise ServerError(f"a {datatype} tensor of shape {list(shape)} came with {array.size} elements")
    return array.reshape(tuple(shape))


def encode_strings(elements: Sequence[str | bytes]) -> bytes:
    """Return strings with the 4-byte length before each that the protocol wants."""
    raw = [element.encode() if isinstance(element, str) else bytes(element) for element in elements]
    return b"".join(part for element in raw for part in (struct.pack("<I", len(element)), element))


def decode_strings(data: bytes) -> list[bytes]:
    """Return the elements of a BYTES tensor."""
    elements, offset = [], 0
    while offset < len(data):
        (length,) = struct.unpack_from("<I", data, offset)
        elements.append(data[offset + 4 : offset + 4 + length])
        offset += 4 + length
    return elements


def bf16_bits(values: Array) -> NDArray[np.uint16]:
    """Return the nearest BF16 numbers as bits, ties to even, as hardware rounds; not-a-number stays one."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)
    is_nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    return np.where(is_nan, np.uint16(0x7FC0), rounded)


def bf16_values(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return BF16 bits as float32, exactly."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _numpy_name(datatype: str) -> str:
    row = BY_WIRE.get(datatype)
    if row is None:
        raise UsageError(f"'{datatype}' is no Triton data type", hint=f"one of {', '.join(BY_WIRE)}")
    return row.numpy
