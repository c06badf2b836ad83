from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tritonsmith.backends.client.tensors import bf16_bits, bf16_values, decode, decode_strings, encode, encode_strings
from tritonsmith.generator.catalog.datatypes import BY_WIRE
from tritonsmith.generator.errors import ServerError, UsageError


@pytest.mark.parametrize("wire", [wire for wire in BY_WIRE if wire not in ("BYTES", "BF16")])
def test_a_tensor_survives_the_wire(wire: str) -> None:
    array = np.arange(6).reshape(2, 3).T.astype(BY_WIRE[wire].numpy)  # not contiguous
    back = decode(encode(array, wire), wire, [3, 2])
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype
    assert len(encode(array, wire)) == array.size * BY_WIRE[wire].size_bytes


def test_strings_carry_their_length_before_them() -> None:
    assert encode_strings(["ab", b"\x00"]) == b"\x02\x00\x00\x00ab\x01\x00\x00\x00\x00"
    elements = ["grüße".encode(), b"", b"a\x00b"]
    assert decode_strings(encode_strings(elements)) == elements
    assert decode(encode_strings(elements), "BYTES", [3, 1]).tolist() == [[element] for element in elements]


def test_big_endian_arrays_are_turned() -> None:
    assert encode(np.array([1], dtype=">i4"), "INT32") == b"\x01\x00\x00\x00"


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (1.0, 0x3F80),
        (1.00390625, 0x3F80),  # half way: to even
        (1.01171875, 0x3F82),  # half way: to even, upwards
        (-0.0, 0x8000),
        (3.4e38, 0x7F80),  # beyond the greatest: infinity
        (np.inf, 0x7F80),
        (np.nan, 0x7FC0),
        (np.uint32(0xFFFFFFFF).view(np.float32), 0x7FC0),  # a NaN whose bits would wrap around
    ],
)
def test_bf16_rounds_to_the_nearest_even(value: Any, bits: int) -> None:
    assert bf16_bits(np.array([value], dtype=np.float32)).tolist() == [bits]


def test_bf16_values_are_exact_and_bits_pass_as_they_are() -> None:
    every = np.arange(0x10000, dtype=np.uint16)
    values = bf16_values(every)
    finite = ~np.isnan(values)
    np.testing.assert_array_equal(bf16_bits(values)[finite], every[finite])
    np.testing.assert_array_equal(decode(encode(every, "BF16"), "BF16", [0x10000])[finite], values[finite])


def test_bytes_that_do_not_fill_the_shape_are_refused() -> None:
    with pytest.raises(ServerError, match="came with 2 elements"):
        decode(b"\x00" * 8, "FP32", [3])


def test_a_type_that_triton_does_not_have_is_refused() -> None:
    with pytest.raises(UsageError, match="'FP8' is no Triton data type"):
        encode(np.zeros(1), "FP8")
