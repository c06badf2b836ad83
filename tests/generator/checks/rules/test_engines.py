"""The rules about plans, against a small `tensorrt`: the real one needs an NVIDIA GPU."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tritonsmith.generator.findings import Finding, Phase, Severity

Judge = Callable[..., list[Finding]]

FAKE = """
import enum, json
__version__ = "10.0.1"
DataType = enum.Enum("DataType", "FLOAT INT8")
TensorIOMode = enum.Enum("TensorIOMode", "NONE INPUT OUTPUT")

class Logger:
    ERROR = 3
    def __init__(self, severity):
        pass

class Runtime:
    def __init__(self, logger):
        pass
    def deserialize_cuda_engine(self, plan):
        return Engine(json.loads(plan)) if plan[:1] == b"{" else None

class Engine:
    def __init__(self, tensors):
        self.tensors = tensors
        self.num_io_tensors = len(tensors)
    def get_tensor_name(self, index):
        return list(self.tensors)[index]
    def get_tensor_dtype(self, name):
        return DataType[self.tensors[name][1]]
    def get_tensor_mode(self, name):
        return TensorIOMode[self.tensors[name][0]]
    def get_tensor_shape(self, name):
        return self.tensors[name][2]
    def is_shape_inference_io(self, name):
        return False
"""
PLAN = '{"x": ["INPUT", "FLOAT", [-1, 4]], "y": ["OUTPUT", "FLOAT", [-1, 4]]}'
X = 'input { name: "x" data_type: TYPE_FP32 dims: [4] }\n'
Y = 'output { name: "y" data_type: TYPE_FP32 dims: [4] }\n'
HEAD = 'backend: "tensorrt"\nmax_batch_size: 8\ndynamic_batching {}\n'
GROUP = "instance_group { kind: KIND_GPU count: 2 }\n"


@pytest.fixture(autouse=True)
def tensorrt(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    site: Path = tmp_path_factory.mktemp("site")
    (site / "tensorrt.py").write_text(FAKE)
    monkeypatch.syspath_prepend(site)
    real = sys.modules.pop("tensorrt", None)
    yield
    sys.modules.pop("tensorrt", None)
    if real is not None:
        sys.modules["tensorrt"] = real


@pytest.mark.parametrize(
    ("tensors", "code", "line", "message"),
    [
        (X.replace('"x"', '"z"') + Y, "TS930", 4, "1/model.plan has no tensor 'z'"),
        (X + Y.replace("FP32", "INT8"), "TS931", 5, "'y' is TYPE_INT8, in 1/model.plan TYPE_FP32"),
    ],
)
def test_what_differs_from_the_plan_is_told(
    judge_files: Judge, tensors: str, code: str, line: int, message: str
) -> None:
    findings = judge_files({"1/model.plan": PLAN}, HEAD + tensors, release="26.07", gpus=1)
    assert [(finding.code, finding.place.line, finding.phase) for finding in findings] == [(code, line, Phase.LOAD)]
    assert message in findings[0].message


def test_copies_of_a_dynamic_plan_are_noted(judge_files: Judge) -> None:
    found = judge_files({"1/model.plan": PLAN}, HEAD + X + Y + GROUP, gpus=1)
    assert [(finding.code, finding.severity, finding.place.line) for finding in found] == [("TS932", Severity.NOTE, 6)]
    assert "each of the 2 instances holds its own copy of the plan" in found[0].message
    static = PLAN.replace("-1", "8")
    assert judge_files({"1/model.plan": static}, HEAD + X + Y + GROUP, gpus=1) == []
    varying = HEAD + X.replace("4", "-1") + Y + GROUP  # a plan of another machine's says nothing here
    assert [finding.code for finding in judge_files({"1/model.plan": "garbage"}, varying, gpus=1)] == ["TS932"]


@pytest.mark.parametrize("plan", [PLAN, "garbage"])
def test_a_plan_that_agrees_or_cannot_be_read_here_has_no_finding(judge_files: Judge, plan: str) -> None:
    assert judge_files({"1/model.plan": plan}, HEAD + X + Y, gpus=1) == []
