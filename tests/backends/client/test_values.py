from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tritonsmith.backends.client.base import TensorSpec
from tritonsmith.backends.client.values import from_json, read_value, shaped
from tritonsmith.generator.errors import UsageError


def spec(datatype: str, *shape: int) -> TensorSpec:
    return TensorSpec("x", datatype, shape or (-1,))


@pytest.mark.parametrize(
    ("text", "datatype", "expected"),
    [
        ("3", "INT8", 3),
        ("[1, 2.5]", "FP32", [1.0, 2.5]),
        ("[NaN, -Infinity]", "FP16", [np.nan, -np.inf]),
        ("18446744073709551615", "UINT64", 2**64 - 1),
        ("2.0", "INT32", 2),
        ("65519", "FP16", 65504),  # rounded, as every number that lies between two of the type
        ("1180591620717411303424", "FP32", 2.0**70),
        ("[Infinity, 3.3e38]", "BF16", [np.inf, np.float32(3.3e38)]),
        ("[true, 0]", "BOOL", [True, False]),
        ("hello, world", "BYTES", b"hello, world"),
        ("42", "BYTES", b"42"),  # not JSON's number: the text
        ('"42"', "BYTES", b"42"),
        ("[1, 2]", "BYTES", b"[1, 2]"),
        ('[{"role": "user", "content": "hi"}]', "BYTES", b'[{"role": "user", "content": "hi"}]'),
        ('["a", {"b64": "AP8="}]', "BYTES", [b"a", b"\x00\xff"]),
        ('["a", "ü"]', "BYTES", [b"a", "ü".encode()]),
        ('{"b64": "AP8="}', "BYTES", b"\x00\xff"),
        ("[]", "FP32", []),
        ("[]", "BYTES", []),
    ],
)
def test_text_becomes_the_models_type(text: str, datatype: str, expected: Any) -> None:
    array = read_value(text, spec(datatype))
    np.testing.assert_array_equal(array, np.array(expected, dtype=array.dtype))


@pytest.mark.parametrize(
    ("text", "datatype", "reason"),
    [
        ("300", "UINT8", "300 is out of range"),
        ("-1", "UINT64", "-1 is out of range"),
        ("1.5", "INT32", "1.5 is not whole"),
        ("Infinity", "INT32", "Infinity is not whole"),
        ("1180591620717411303424", "INT64", "1.1805916207174113e+21 is out of range"),
        ("[1, 70000]", "FP16", "70000 is out of range"),
        ("-1e300", "FP32", "-1e+300 is out of range"),
        ("3.4e38", "BF16", "3.4e+38 is out of range"),
        ("1e39", "BF16", "1e+39 is out of range"),
        ("1e400", "FP64", "1E+400 is out of range"),
        ("[1, 1e400]", "INT8", "1E+400 is out of range"),
        (f"1{400 * '0'}", "FP64", "is out of range"),
        ("[[1], [2, 3]]", "FP32", "unequal lengths"),
        ('[["a"], "b"]', "BYTES", "unequal lengths"),
        ("abc", "FP32", "abc is not JSON"),
        ('"abc"', "FP32", "not numeric"),
        ("2", "BOOL", "2 is not true or false"),
        ("[1, null]", "FP32", "not numeric"),
        ('{"b64": "?"}', "BYTES", "bad base64"),
        ("@nosuch.npy", "FP32", "cannot read nosuch.npy"),
        ("@nosuch.png", "BYTES", "cannot read nosuch.png"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_inputs_type(text: str, datatype: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_value(text, spec(datatype))
    assert reason in caught.value.message
    assert caught.value.where == f"input 'x' ({datatype} [-1])"


@pytest.mark.parametrize(
    ("text", "datatype", "numbers"),
    [("300", "UINT8", "0 to 255"), ("7e4", "FP16", "-65504 to 65504"), ("1e39", "BF16", "-3.38953e+38 to 3.38953e+38")],
)
def test_what_is_out_of_range_is_told_the_range(text: str, datatype: str, numbers: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_value(text, spec(datatype))
    assert caught.value.hint == f"{datatype} holds {numbers}"


def test_a_file_whose_numbers_do_not_fit_is_refused_with_the_first_of_them(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([1.0, np.inf, 1e300, 1e301]))
    with pytest.raises(UsageError, match=r": 1e\+300 is out of range"):
        read_value("@a.npy", spec("FP32"), tmp_path)
    (tmp_path / "b.json").write_text("[1e400]")
    with pytest.raises(UsageError, match=r"1E\+400 is out of range"):
        read_value("@b.json", spec("FP64"), tmp_path)


def test_files_are_read_by_their_ending(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[1, 2]], dtype=np.int64))
    (tmp_path / "b.json").write_text("[1.5]")
    (tmp_path / "c.png").write_bytes(b"\x89PNG")
    assert read_value("@a.npy", spec("FP32"), tmp_path).dtype == np.float32
    assert read_value("@b.json", spec("FP64"), tmp_path).tolist() == [1.5]
    assert read_value("@c.png", spec("BYTES"), tmp_path).item() == b"\x89PNG"
    assert from_json("@b.json", spec("FP32"), tmp_path).tolist() == [1.5]
    with pytest.raises(UsageError, match=r"neither .npy nor .json"):
        read_value("@c.png", spec("FP32"), tmp_path)


def test_npy_files_of_strings_and_bf16_bits(tmp_path: Path) -> None:
    np.save(tmp_path / "text.npy", np.array(["ü", "b"]))
    np.save(tmp_path / "bits.npy", np.array([0x3F80], dtype=np.uint16))
    assert read_value("@text.npy", spec("BYTES"), tmp_path).tolist() == ["ü".encode(), b"b"]
    assert read_value("@bits.npy", spec("BF16"), tmp_path).dtype == np.uint16
    with pytest.raises(UsageError, match="holds uint16"):
        read_value("@bits.npy", spec("BYTES"), tmp_path)


def test_a_pickle_is_not_unpacked(tmp_path: Path) -> None:
    np.save(tmp_path / "evil.npy", np.array([print], dtype=object))
    with pytest.raises(UsageError, match="cannot read"):
        read_value("@evil.npy", spec("BYTES"), tmp_path)


@pytest.mark.parametrize(
    ("given", "expected", "is_batched", "shape"),
    [
        ((4,), (4,), False, (4,)),
        ((), (1,), False, (1,)),
        ((), (-1, 1), True, (1, 1)),
        ((4,), (-1, 4), True, (1, 4)),
        ((3, 4), (-1, 4), True, (3, 4)),
        ((3,), (-1, 1), True, (3, 1)),  # three rows of one
        ((3,), (-1, -1), True, (1, 3)),  # one row of three
        ((2, 3), (-1, 2, -1), True, (1, 2, 3)),
    ],
)
def test_the_batch_dimension_is_added_where_it_is_left_out(
    given: tuple[int, ...], expected: tuple[int, ...], is_batched: bool, shape: tuple[int, ...]
) -> None:
    assert shaped(np.zeros(given), spec("FP32", *expected), is_batched=is_batched).shape == shape


@pytest.mark.parametrize(
    ("given", "expected", "is_batched"), [((3,), (4,), False), ((4,), (1, 4), False), ((5,), (-1, 4), True)]
)
def test_a_shape_that_does_not_fit_names_the_expected_one(
    given: tuple[int, ...], expected: tuple[int, ...], is_batched: bool
) -> None:
    with pytest.raises(UsageError) as caught:
        shaped(np.zeros(given), spec("FP32", *expected), is_batched=is_batched)
    assert f"has shape {list(given)}" in caught.value.message
    assert f"expected {list(expected)}" in caught.value.hint
