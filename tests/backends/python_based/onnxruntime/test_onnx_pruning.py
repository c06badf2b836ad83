"""Outputs that nobody wants are not computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tritonsmith.backends.python_based.onnxruntime.onnx_pruning import PartialSessions, part_of_model
from tritonsmith.backends.python_based.onnxruntime.onnx_session import Settings, open_session

FLOAT = TensorProto.FLOAT


def save(folder: Path, **options: Any) -> Path:
    """sum = x + a; double = sum * 2; picked = x[99], which fails; branch reads `sum` only inside its branches."""
    info, node = helper.make_tensor_value_info, helper.make_node
    branch = helper.make_graph([node("Identity", ["sum"], ["out"])], "b", [], [info("out", FLOAT, [2])])
    nodes = [
        node("Add", ["x", "a"], ["sum"]),
        node("Mul", ["sum", "two"], ["double"]),
        node("Gather", ["x", "far"], ["picked"]),
        node("If", ["yes"], ["branch"], then_branch=branch, else_branch=branch),
    ]
    constants = {
        "a": np.ones(2, np.float32),
        "two": np.full(2, 2, np.float32),
        "far": np.array([99]),
        "yes": np.array([True]),
    }
    outputs = [info(name, FLOAT, [2]) for name in ("sum", "double", "branch")] + [info("picked", FLOAT, [1])]
    values = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", [info("x", FLOAT, [2])], outputs, initializer=values)
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path, **options)
    return path


def sessions(path: Path) -> tuple[Any, PartialSessions]:
    whole = open_session(path, Settings())
    return whole, PartialSessions(path, whole, lambda part: open_session(path, Settings(), part))


X = {"x": np.array([3, 4], np.float32)}


def test_onnx_runtime_itself_computes_what_nobody_wants(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="Gather"):
        onnxruntime.InferenceSession(str(save(tmp_path))).run(["sum"], X)


@pytest.mark.parametrize(
    ("wanted", "value"), [(["sum"], [[4, 5]]), (["double", "sum"], [[8, 10], [4, 5]]), (["branch"], [[4, 5]])]
)
def test_what_nobody_wants_is_not_computed(tmp_path: Path, wanted: list[str], value: list[list[float]]) -> None:
    _, partial = sessions(save(tmp_path))
    assert [array.tolist() for array in partial.pick(wanted).run(wanted, X)] == value


def test_what_is_wanted_still_fails(tmp_path: Path) -> None:
    _, partial = sessions(save(tmp_path))
    with pytest.raises(Exception, match="Gather"):
        partial.pick(["picked"]).run(["picked"], X)


def test_all_outputs_take_the_whole_model(tmp_path: Path) -> None:
    whole, partial = sessions(save(tmp_path))
    assert partial.pick(["sum", "double", "branch", "picked"]) is whole


def test_a_part_is_opened_once(tmp_path: Path) -> None:
    _, partial = sessions(save(tmp_path))
    assert partial.pick(["double", "sum"]) is partial.pick(["sum", "double"])


def test_weights_that_are_not_needed_are_left_out(tmp_path: Path) -> None:
    part = part_of_model(save(tmp_path), frozenset({"sum"}))
    assert part is not None
    assert [tensor.name for tensor in onnx.ModelProto.FromString(part).graph.initializer] == ["a"]


def test_external_data_is_found_from_a_part(tmp_path: Path) -> None:
    # The condition of the If stays inside: ONNX Runtime looks for it in the working directory (1.31).
    path = save(tmp_path, save_as_external_data=True, location="weights.bin", size_threshold=40)
    assert (tmp_path / "weights.bin").stat().st_size > 0
    _, partial = sessions(path)
    assert partial.pick(["sum"]).run(["sum"], X)[0].tolist() == [4, 5]


def test_more_sets_of_outputs_than_are_kept_take_the_whole_model(tmp_path: Path) -> None:
    whole, partial = sessions(save(tmp_path))
    for wanted in (["sum"], ["double"], ["branch"], ["picked"]):
        assert partial.pick(wanted) is not whole
    assert partial.pick(["sum", "branch"]) is whole


def test_a_part_that_cannot_be_opened_takes_the_whole_model(tmp_path: Path) -> None:
    def refuse(part: bytes) -> Any:
        raise MemoryError

    path = save(tmp_path)
    whole = open_session(path, Settings())
    assert PartialSessions(path, whole, refuse).pick(["sum"]) is whole
