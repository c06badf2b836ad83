"""A graph's bytes follow from its shapes."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.inspect.onnx_size import read_onnx_sizes


def saved(path: Path, *, first: str | int = "N", second: str | int = 256) -> Path:
    """Write x[N, 256] @ w[256, 512] -> relu -> relu -> y, and return the path."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [256, 512], bytes(256 * 512 * 4), raw=True)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Relu", ["b"], ["y"]),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [first, second])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [first, 512])],
        [weight],
    )
    onnx.save(helper.make_model(graph), str(path))
    return path


def test_weights_are_the_initializers(tmp_path: Path) -> None:
    assert read_onnx_sizes(saved(tmp_path / "m.onnx")).weights == 256 * 512 * 4


def test_a_tensor_lives_until_its_last_reader(tmp_path: Path) -> None:
    found = read_onnx_sizes(saved(tmp_path / "m.onnx"), batch_size=8)
    # two tensors of [8, 512] at a time, while a Relu runs; three would be with the one that nobody reads any more
    assert found.peak == 2 * 8 * 512 * 4
    assert (found.tensors, found.unknown) == (3, 0)


def test_a_fixed_batch_is_taken_as_it_is(tmp_path: Path) -> None:
    fixed = saved(tmp_path / "m.onnx", first=4)
    assert read_onnx_sizes(fixed, batch_size=64).peak == 2 * 4 * 512 * 4


def test_an_open_axis_wants_a_size(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", second="length")
    with pytest.raises(UsageError, match="axis 'length' of input 'x' is open"):
        read_onnx_sizes(path)
    assert read_onnx_sizes(path, axes={"length": 256}).unknown == 0


def test_our_own_demonstration_is_understood() -> None:
    path = Path(__file__).parents[3] / "ensembles" / "image_classification" / "demo" / "digits.onnx"
    found = read_onnx_sizes(path, batch_size=64)
    assert 0 < found.weights < path.stat().st_size
    assert found.peak > 0
    assert found.unknown == 0
