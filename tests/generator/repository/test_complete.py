"""Configurations are completed as Triton completes them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import pytest
from google.protobuf import text_format
from onnx import TensorProto, helper
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.findings import error
from tritonsmith.generator.repository.complete import complete_config
from tritonsmith.generator.repository.core import Content, Model, SourceFile


def completed(config: str = "", *files: str, name: str = "m") -> ModelConfig:
    written = text_format.Parse(config, ModelConfig())
    return complete_config(Model(name, written, {file: Content(b"") for file in files}))


Tensors = Mapping[str, Sequence[str | int | None]]
ONNX = 'input {name: "x"} output {name: "y"} '  # complete, so that no graph is looked at


@pytest.mark.parametrize(
    ("config", "files", "expected"),
    [
        ("", ["1/model.py"], ("python", "", "model.py")),
        ("", ["1/model.plan"], ("tensorrt", "tensorrt_plan", "model.plan")),
        ("", ["1/model.pt"], ("pytorch", "pytorch_libtorch", "model.pt")),
        ("", ["1/model.xml"], ("openvino", "", "model.xml")),
        ("", ["1/model.savedmodel/x"], ("tensorflow", "tensorflow_savedmodel", "model.savedmodel")),
        ("", ["1/model.graphdef"], ("tensorflow", "tensorflow_graphdef", "model.graphdef")),
        (ONNX, ["1/model.onnx"], ("onnxruntime", "onnxruntime_onnx", "model.onnx")),
        (ONNX, ["1/model.onnx/model.onnx"], ("onnxruntime", "onnxruntime_onnx", "model.onnx")),
        (ONNX, ["1/model.py", "1/model.onnx"], ("onnxruntime", "onnxruntime_onnx", "model.onnx")),
        ("", ["1/model.plan", "1/model.py"], ("tensorrt", "tensorrt_plan", "model.plan")),
        ("", ["1/model.plan/x", "1/model.py"], ("python", "", "model.py")),
        (ONNX + 'platform: "onnxruntime_onnx"', ["1/x"], ("onnxruntime", "onnxruntime_onnx", "model.onnx")),
        ('platform: "tensorflow_graphdef"', ["1/x"], ("tensorflow", "tensorflow_graphdef", "model.graphdef")),
        ('backend: "python"', ["1/model.onnx"], ("python", "", "model.py")),
        ('backend: "python" default_model_filename: "a.py"', ["1/a.py"], ("python", "", "a.py")),
        ('default_model_filename: "model.py"', [], ("python", "", "model.py")),
        ('backend: "identity"', ["1/model.py"], ("identity", "", "")),
        ('platform: "foo"', ["1/model.py"], ("", "foo", "")),
        # The first folder by name is looked into, whatever it is.
        ("", ["0warmup/model.plan", "1/model.py"], ("tensorrt", "tensorrt_plan", "model.plan")),
        ("", ["2/model.plan", "10/model.py"], ("python", "", "model.py")),
        ('platform: "ensemble"', ["1/model.py"], ("", "ensemble", "")),
    ],
)
def test_the_backend_is_told_from_the_files_in_tritons_order(
    config: str, files: list[str], expected: tuple[str, str, str]
) -> None:
    found = completed(config, *files)
    assert (found.backend, found.platform, found.default_model_filename) == expected
    assert found.name == "m"


def test_the_name_may_say_the_backend() -> None:
    found = completed(name="x.identity.y")
    assert (found.backend, found.default_model_filename) == ("identity.y", "model.identity.y")


def test_where_nothing_says_the_backend_it_is_an_error() -> None:
    with pytest.raises(RepositoryError, match="nothing says which backend"):
        completed("", "1/other.bin")


def test_a_configuration_that_did_not_parse_cannot_be_completed() -> None:
    with pytest.raises(RepositoryError, match="broken"):
        complete_config(Model("m", None, findings=(error("broken"),)))


def onnx_model(folder: Path, config: str, inputs: Tensors, outputs: Tensors) -> Model:
    """A model without tensors in its configuration; its graph has those of these names and shapes."""
    made_inputs, made_outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in tensors.items()]
        for tensors in (inputs, outputs)
    )
    node = helper.make_node("Identity", [next(iter(inputs))], [next(iter(outputs))])
    graph = helper.make_graph([node], "g", made_inputs, made_outputs)
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return Model("m", text_format.Parse(config, ModelConfig()), {"1/model.onnx": SourceFile(path)}, ("1",))


def test_a_batching_graph_gives_tensors_a_batch_size_and_a_dynamic_batcher(tmp_path: Path) -> None:
    found = complete_config(onnx_model(tmp_path, "", {"x": ["N", 4]}, {"y": ["N"], "z": ["N", "k"]}))
    expected = """
      name: "m" platform: "onnxruntime_onnx" backend: "onnxruntime" default_model_filename: "model.onnx"
      max_batch_size: 4 dynamic_batching {}
      input { name: "x" data_type: TYPE_FP32 dims: 4 }
      output { name: "y" data_type: TYPE_FP32 dims: 1 reshape {} } output { name: "z" data_type: TYPE_FP32 dims: -1 }
    """
    assert found == text_format.Parse(expected, ModelConfig())


@pytest.mark.parametrize(
    ("config", "batch", "scheduler"),
    [
        ("max_batch_size: 16", 16, "dynamic_batching"),
        ("max_batch_size: 1", 1, None),
        ("sequence_batching {}", 4, "sequence_batching"),
    ],
)
def test_what_the_configuration_says_stays(tmp_path: Path, config: str, batch: int, scheduler: str | None) -> None:
    found = complete_config(onnx_model(tmp_path, config, {"x": ["N", 4]}, {"y": ["N", 4]}))
    assert (found.max_batch_size, found.WhichOneof("scheduling_choice")) == (batch, scheduler)


def test_a_graph_that_does_not_batch_keeps_every_axis(tmp_path: Path) -> None:
    found = complete_config(onnx_model(tmp_path, "", {"x": [1, 4]}, {"y": []}))
    assert (found.max_batch_size, found.HasField("dynamic_batching")) == (0, False)
    assert (list(found.input[0].dims), list(found.output[0].dims)) == ([1, 4], [1])
    assert not found.output[0].HasField("reshape")


def test_a_batch_size_for_a_graph_that_does_not_batch_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="max_batch_size is 8"):
        complete_config(onnx_model(tmp_path, "max_batch_size: 8", {"x": [1, 4]}, {"y": [1, 4]}))


def test_given_tensors_are_kept_and_both_given_leave_the_graph_alone(tmp_path: Path) -> None:
    given = 'input { name: "mine" data_type: TYPE_INT8 dims: 7 }'
    found = complete_config(onnx_model(tmp_path, given, {"x": ["N", 4]}, {"y": ["N", 4]}))
    assert [*(item.name for item in found.input), *(item.name for item in found.output)] == ["mine", "y"]
    found = complete_config(
        onnx_model(tmp_path, f"{given} {given.replace('input', 'output')}", {"x": ["N"]}, {"y": ["N"]})
    )
    assert (found.max_batch_size, found.WhichOneof("scheduling_choice")) == (0, None)


def test_a_missing_or_truncated_graph_is_an_error_of_the_repository(tmp_path: Path) -> None:
    model = onnx_model(tmp_path, "", {"x": ["N"]}, {"y": ["N"]})
    (tmp_path / "model.onnx").write_bytes((tmp_path / "model.onnx").read_bytes()[:-20])
    with pytest.raises(RepositoryError, match="truncated"):
        complete_config(model)
    with pytest.raises(RepositoryError, match=r"'1/model\.onnx' is missing"):
        completed('backend: "onnxruntime"', "1/other")
