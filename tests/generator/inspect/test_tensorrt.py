"""The reader of TensorRT plans, against a small `tensorrt` that holds callers to the documented Python API.

The real one needs an NVIDIA GPU. Source: https://docs.nvidia.com/deeplearning/tensorrt (Python API: ICudaEngine).
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.inspect.tensorrt import read_plan
from tritonsmith.generator.lower import lower
from tritonsmith.generator.spec.read import read_spec
from tritonsmith.generator.wiring import boundary_of

WriteSpec = Callable[[str], Path]

FAKE = '''
import enum, json
__version__ = "10.0.1"
DataType = enum.Enum("DataType", "FLOAT HALF INT8 INT32 BOOL UINT8 FP8 BF16 INT64 INT4")
TensorIOMode = enum.Enum("TensorIOMode", "NONE INPUT OUTPUT")

class Logger:
    VERBOSE, INFO, WARNING, ERROR, INTERNAL_ERROR = range(5)
    def __init__(self, min_severity=WARNING):
        assert min_severity in range(5)

class Runtime:
    def __init__(self, logger):
        if not isinstance(logger, Logger):
            raise TypeError("__init__(): incompatible constructor arguments")
    def deserialize_cuda_engine(self, serialized_engine):
        if not isinstance(serialized_engine, (bytes, bytearray, memoryview)):
            raise TypeError("deserialize_cuda_engine(): incompatible function arguments")
        if serialized_engine == b"no gpu":
            raise RuntimeError("CUDA initialization failure with error: 35")
        return ICudaEngine(json.loads(serialized_engine)) if serialized_engine[:1] == b"{" else None

class ICudaEngine:
    def __init__(self, tensors):
        self._tensors = tensors
    @property
    def num_io_tensors(self):
        return len(self._tensors)
    def get_tensor_name(self, index):
        return list(self._tensors)[index]
    def get_tensor_dtype(self, name):
        return DataType[self._tensors[name][1]]
    def get_tensor_mode(self, name):
        return TensorIOMode[self._tensors[name][0]] if name in self._tensors else TensorIOMode.NONE
    def get_tensor_shape(self, name):
        return Dims(self._tensors[name][2])
    def is_shape_inference_io(self, name):
        return self._tensors[name][3:] == [True]

class Dims:
    """Not a tuple: a sequence."""
    def __init__(self, shape):
        self._shape = shape
    def __len__(self):
        return len(self._shape)
    def __getitem__(self, index):
        return self._shape[index]
'''

PLAN = '{"x": ["INPUT", "HALF", [-1, 3, 8]], "n": ["INPUT", "INT32", [3], true], "y": ["OUTPUT", "BF16", [-1]]}'


@pytest.fixture(autouse=True)
def tensorrt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "site" / "tensorrt").mkdir(parents=True)
    (tmp_path / "site" / "tensorrt" / "__init__.py").write_text(FAKE)
    monkeypatch.syspath_prepend(tmp_path / "site")
    real = sys.modules.pop("tensorrt", None)
    yield
    sys.modules.pop("tensorrt", None)
    if real is not None:
        sys.modules["tensorrt"] = real


def config_of(path: Path) -> ModelConfig:
    config = lower(read_spec(path)).models["m"].config
    assert config is not None
    return config


def test_inputs_and_outputs_are_read_from_the_plan(write_spec: WriteSpec, tmp_path: Path) -> None:
    (tmp_path / "m.plan").write_text(PLAN)
    config = config_of(write_spec("models: {m: {file: m.plan, max_batch_size: 4}}"))
    assert config.backend == "tensorrt"
    x, n = config.input
    assert (x.name, x.data_type, list(x.dims)) == ("x", 10, [3, 8])
    assert (n.name, n.is_shape_tensor, list(n.dims)) == ("n", True, [2])  # its first value is the batch
    assert (list(config.output[0].dims), config.output[0].HasField("reshape")) == ([1], True)


def test_without_a_batch_every_axis_is_written(write_spec: WriteSpec, tmp_path: Path) -> None:
    (tmp_path / "m.plan").write_text(PLAN)
    config = config_of(write_spec("models: {m: {file: m.plan}}"))
    assert [list(tensor.dims) for _, tensor in boundary_of(config)] == [[-1, 3, 8], [3], [-1]]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("input: [{name: z}]", "the graph has no input 'z'."),
        ("max_batch_size: 2, input: [{name: x, dims: [4, 8]}]", "the graph says [3, 8], the spec [4, 8]"),
        ("output: [{name: y, data_type: TYPE_FP32}]", "the graph says TYPE_BF16, the spec TYPE_FP32"),
    ],
)
def test_what_contradicts_the_plan_is_told(write_spec: WriteSpec, tmp_path: Path, fields: str, message: str) -> None:
    (tmp_path / "m.plan").write_text(PLAN)
    with pytest.raises(SpecError) as problem:
        config_of(write_spec(f"models: {{m: {{file: m.plan, {fields}}}}}"))
    assert [finding.message for finding in problem.value.findings] == [message]


def test_a_plan_of_a_fixed_batch_cannot_batch(write_spec: WriteSpec, tmp_path: Path) -> None:
    (tmp_path / "m.plan").write_text('{"x": ["INPUT", "FLOAT", [1, 4]], "y": ["OUTPUT", "FLOAT", [1, 4]]}')
    with pytest.raises(SpecError, match="input 'x' of shape \\[1, 4\\] has no dynamic first axis"):
        config_of(write_spec("models: {m: {file: m.plan, max_batch_size: 4}}"))


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ("garbage", "TensorRT 10.0.1 cannot deserialise the plan"),
        ("no gpu", "TensorRT 10.0.1 does not work on this machine: CUDA initialization failure with error: 35"),
        ('{"x": ["INPUT", "FP8", [1]]}', "tensor 'x' has TensorRT type FP8, which Triton lacks"),
    ],
)
def test_a_plan_that_cannot_be_read_is_told(tmp_path: Path, plan: str, message: str) -> None:
    (tmp_path / "m.plan").write_text(plan)
    with pytest.raises(SpecError) as problem:
        read_plan(tmp_path / "m.plan")
    assert problem.value.message == message
    assert problem.value.where == str(tmp_path / "m.plan")
    assert problem.value.hint


@pytest.mark.parametrize("failure", ["ImportError('libnvinfer.so.10')", "OSError('libcudart.so.12')"])
def test_a_tensorrt_that_does_not_load_is_as_none_at_all(tmp_path: Path, failure: str) -> None:
    (tmp_path / "site" / "tensorrt" / "__init__.py").write_text(f"raise {failure}")
    assert read_plan(tmp_path / "m.plan") is None
