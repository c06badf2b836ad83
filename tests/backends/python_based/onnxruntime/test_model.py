"""What happens to requests whose answer cannot be built; the rest of `model.py` is tried on the real server.

No graph that a server loads makes Triton's Tensor fail, so here the stub's module is stood in for by one that does.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tritonsmith.backends.python_based import onnxruntime as backend

BACKEND = Path(backend.__file__).parent
UNSENDABLE = 13.0
CONFIG = {
    "name": "m",
    "max_batch_size": 8,
    "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": ["2"]}],
    "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": ["2"]}],
}


@dataclass(frozen=True)
class Tensor:
    label: str
    array: NDArray[Any]

    def __post_init__(self) -> None:
        if self.label == "y" and UNSENDABLE in self.array:
            raise MemoryError("no shared memory left")

    def name(self) -> str:
        return self.label

    def as_numpy(self) -> NDArray[Any]:
        if np.isnan(self.array).any():
            raise RuntimeError("the tensor lies elsewhere")
        return self.array


@dataclass(frozen=True)
class Response:
    tensors: Sequence[Tensor]
    error: str = ""


@dataclass(frozen=True)
class Request:
    value: float

    def inputs(self) -> list[Tensor]:
        return [Tensor("x", np.full((1, 2), self.value, np.float32))]

    def requested_output_names(self) -> list[str]:
        return ["y"]

    def is_cancelled(self) -> bool:
        return False


class TritonError:
    INTERNAL, INVALID_ARG = "internal", "invalid argument"

    def __new__(cls, message: str, code: str) -> str:  # type: ignore[misc]
        return f"{code}: {message}"


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The backend's model of y = x, initialized as the stub does it."""
    stub = ModuleType("triton_python_backend_utils")
    facts: Mapping[str, Any] = {
        "Tensor": Tensor,
        "InferenceResponse": Response,
        "TritonError": TritonError,
        "using_decoupled_model_transaction_policy": lambda config: False,
    }
    stub.__dict__.update(facts)
    monkeypatch.setitem(sys.modules, stub.__name__, stub)
    monkeypatch.syspath_prepend(BACKEND)
    spec = importlib.util.spec_from_file_location("model_under_test", BACKEND / "model.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "1").mkdir()
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", ends[:1], ends[1:])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9),
        tmp_path / "1" / "model.onnx",
    )
    served = module.TritonPythonModel()
    served.initialize(
        {
            "model_config": json.dumps(CONFIG),
            "model_repository": str(tmp_path),
            "model_version": "1",
            "model_instance_kind": "CPU",
            "model_instance_device_id": "0",
            "model_instance_name": "m_0",
        }
    )
    return served


def test_an_answer_that_cannot_be_built_fails_its_own_request(model: Any) -> None:
    first, unsendable, unreadable, last = model.execute(list(map(Request, (1.0, UNSENDABLE, float("nan"), 2.0))))
    assert (first.error, last.error) == ("", "")
    np.testing.assert_array_equal(last.tensors[0].array, [[2.0, 2.0]])
    assert unsendable.error == "internal: output 'y' cannot be sent: no shared memory left"
    assert unreadable.error == "internal: the tensor lies elsewhere"


@pytest.mark.parametrize(
    ("value", "reason"),
    [(UNSENDABLE, "output 'y' cannot be sent: no shared memory left"), (float("nan"), "the tensor lies elsewhere")],
)
def test_so_does_the_answer_of_a_request_that_comes_alone(model: Any, value: float, reason: str) -> None:
    model.clock.took(1, 0.0)  # a quick model is not asked whether its request was cancelled
    (alone,) = model.execute([Request(value)])
    assert alone.error == f"internal: {reason}"
