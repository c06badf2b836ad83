"""Fixtures that several folders share: small ONNX models, engines and specs, written where a test wants them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

Shape = Sequence[int | str]
WriteOnnx = Callable[..., Path]
ENGINES = Path(__file__).parent / "data" / "engines"


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Ask what fails beside real servers once more: they share the machine with others. The summary tells of it."""
    for item in items:
        if item.get_closest_marker("live"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture
def write_onnx(tmp_path: Path) -> WriteOnnx:
    """Return a function that writes an identity model: one input copied to one output."""

    def write(
        name: str = "model.onnx",
        *,
        source: str = "x",
        target: str = "y",
        shape: Shape = ("N", 4),
        data_type: int = TensorProto.FLOAT,
    ) -> Path:
        graph = helper.make_graph(
            [helper.make_node("Identity", [source], [target])],
            "identity",
            [helper.make_tensor_value_info(source, data_type, shape)],
            [helper.make_tensor_value_info(target, data_type, shape)],
        )
        path = tmp_path / name
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        return path

    return write


@pytest.fixture
def write_spec(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that writes a spec."""

    def write(text: str) -> Path:
        path = tmp_path / "tritonsmith.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def write_engine(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the folder of an engine from tests/data/engines, changed by dotted keys."""

    def write(
        name: str, changes: Mapping[str, Any] | None = None, *, folder: str = "engine", ranks: int | None = None
    ) -> Path:
        config = json.loads((ENGINES / f"{name}.json").read_text())
        for key, value in (changes or {}).items():
            *parents, last = key.split(".")
            place = config
            for parent in parents:
                place = place[parent]
            place[last] = value
        path = tmp_path / folder
        path.mkdir(parents=True)
        (path / "config.json").write_text(json.dumps(config))
        count = config["pretrained_config"]["mapping"]["world_size"] if ranks is None else ranks
        for rank in range(count):
            (path / f"rank{rank}.engine").write_bytes(b"engine")
        return path

    return write
