"""Strings and BF16 get to ONNX Runtime and back unchanged, or are refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from tritonsmith.backends.python_based.onnxruntime.onnx_tensors import (
    TensorError,
    bits_from_dlpack,
    decode_strings,
    dlpack_of_bits,
    run_with_bits,
)


def session(node: str, source: int, target: int, **attributes: Any) -> Any:
    info = helper.make_tensor_value_info
    nodes = [helper.make_node(node, ["x"], ["y"], **attributes)]
    graph = helper.make_graph(nodes, "g", [info("x", source, ["n"])], [info("y", target, ["n"])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def test_strings_survive_onnx_runtime() -> None:
    given = np.array([["a", b"\x00\xc3\xa9"], [b"", "b'c'"]], object)
    decoded = decode_strings("x", given)
    assert decoded.shape == (2, 2)
    identity = session("Identity", TensorProto.STRING, TensorProto.STRING)
    assert identity.run(["y"], {"x": decoded.ravel()})[0].tolist() == ["a", "\0é", "", "b'c'"]


def test_no_strings_are_no_strings() -> None:
    assert decode_strings("x", np.empty((0, 2), object)).shape == (0, 2)


def test_a_string_that_is_not_utf8_is_refused_by_name() -> None:
    with pytest.raises(TensorError, match="input 'x' holds a string that is not UTF-8"):
        decode_strings("x", np.array([b"\xff"], object))


def test_bf16_survives_dlpack() -> None:
    bits = np.arange(6, dtype=np.uint16).reshape(2, 3)
    assert bits_from_dlpack(dlpack_of_bits(bits)).tolist() == bits.tolist()


def test_an_empty_bf16_tensor_survives_dlpack() -> None:
    assert bits_from_dlpack(dlpack_of_bits(np.empty((0, 3), np.uint16))).shape == (0, 3)


def test_a_dlpack_tensor_does_not_share_the_memory_it_was_made_of() -> None:
    bits = np.full(4, 7, np.uint16)
    capsule = dlpack_of_bits(bits)
    bits[:] = 0
    assert bits_from_dlpack(capsule).tolist() == [7, 7, 7, 7]


def test_bf16_is_computed_with() -> None:
    bits = np.array([0x3F80, 0x4000], np.uint16)  # 1.0, 2.0
    to_float = session("Cast", TensorProto.BFLOAT16, TensorProto.FLOAT, to=TensorProto.FLOAT)
    assert run_with_bits(to_float, ["y"], {"x": bits}, frozenset({"x"}), None)[0].tolist() == [1.0, 2.0]
    to_bf16 = session("Cast", TensorProto.FLOAT, TensorProto.BFLOAT16, to=TensorProto.BFLOAT16)
    floats = np.array([1.0, 2.0], np.float32)
    assert run_with_bits(to_bf16, ["y"], {"x": floats}, frozenset({"y"}), None)[0].tolist() == bits.tolist()
