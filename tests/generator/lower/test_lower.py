import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from google.protobuf import text_format
from onnx import TensorProto, helper
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.lower import lower
from tritonsmith.generator.repository.core import Content, Repository
from tritonsmith.generator.spec.read import read_spec

WriteSpec = Callable[[str], Path]
WriteOnnx = Callable[..., Path]


def built(path: Path, **options: Any) -> Repository:
    return lower(read_spec(path, **options))


def config_of(path: Path, model: str = "m") -> ModelConfig:
    config = built(path).models[model].config
    assert config is not None
    return config


def errors_of(path: Path) -> list[str]:
    with pytest.raises(SpecError) as problem:
        built(path)
    return [finding.message for finding in problem.value.findings]


def test_tensors_are_read_from_the_onnx_file(write_onnx: WriteOnnx, write_spec: WriteSpec) -> None:
    write_onnx(shape=("N", "seq", 8))
    config = config_of(write_spec("models: {m: {file: model.onnx, max_batch_size: 4}}"))
    expected = ModelConfig()
    text_format.Merge(
        'name: "m" backend: "onnxruntime" max_batch_size: 4 '
        'input { name: "x" data_type: TYPE_FP32 dims: [-1, 8] } '
        'output { name: "y" data_type: TYPE_FP32 dims: [-1, 8] }',
        expected,
    )
    assert config == expected


def test_without_max_batch_size_the_first_axis_stays(write_onnx: WriteOnnx, write_spec: WriteSpec) -> None:
    write_onnx()
    assert list(config_of(write_spec("models: {m: {file: model.onnx}}")).input[0].dims) == [-1, 4]


def test_the_spec_says_what_the_graph_does_not(write_onnx: WriteOnnx, write_spec: WriteSpec) -> None:
    write_onnx()
    config = config_of(
        write_spec("models: {m: {file: model.onnx, max_batch_size: 4, output: [{name: y, label_filename: l.txt}]}}")
    )
    assert (config.output[0].label_filename, list(config.output[0].dims)) == ("l.txt", [4])


def test_a_scalar_per_request_is_reshaped(write_onnx: WriteOnnx, write_spec: WriteSpec) -> None:
    write_onnx(shape=("N",))
    tensor = config_of(write_spec("models: {m: {file: model.onnx, max_batch_size: 4}}")).input[0]
    assert (list(tensor.dims), tensor.HasField("reshape"), list(tensor.reshape.shape)) == ([1], True, [])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("max_batch_size: 4, input: [{name: z}]", "the graph has no input 'z'."),
        ("max_batch_size: 4, input: [{name: x, data_type: TYPE_INT8}]", "the graph says TYPE_FP32, the spec TYPE_INT8"),
        ("max_batch_size: 4, input: [{name: x, dims: [5]}]", "the graph says [4], the spec [5]"),
        ("backend: onnxruntime, max_batch_size: x", "expected a whole number, got 'x'"),
        ("default_model_filename: ../../x.onnx", "'1/../../x.onnx' cannot be a file in the model's folder"),
        ("files: {a b.txt: tritonsmith.yaml}", "'a b.txt' cannot be a file in the model's folder"),
        ("name: other", "the name 'other' differs from the folder's, which Triton refuses"),
        ("model_metrics: {}", "Triton 24.10 does not know this field; it came with 24.11"),
        ("sequence_batching: {control_input: [{name: START}]}", "the scheduler feeds 'START', which the graph has no"),
        ("max_batch_size: -3", "max_batch_size -3 is below 0"),
        (f"max_batch_size: {'9' * 5000}", "expected a whole number"),
        ("input: [{name: x, dims: [--5, 4]}]", "expected a whole number, got '--5'"),
        ("files: {1/model.onnx/a: tritonsmith.yaml}", "'1/model.onnx' is both a file and a folder"),
        ("files: {config.pbtxt/a: tritonsmith.yaml}", "'config.pbtxt' is both a file and a folder"),
    ],
)
def test_what_contradicts_the_graph_is_told(
    write_onnx: WriteOnnx, write_spec: WriteSpec, fields: str, message: str
) -> None:
    write_onnx()
    assert message in errors_of(write_spec(f"models: {{m: {{file: model.onnx, {fields}}}}}"))[0]


def test_a_graph_without_a_batch_axis_cannot_batch(write_onnx: WriteOnnx, write_spec: WriteSpec) -> None:
    write_onnx(shape=(1, 4))
    found = errors_of(write_spec("models: {m: {file: model.onnx, max_batch_size: 4}}"))
    assert "has no dynamic first axis, so the model cannot batch (max_batch_size 4)" in found[0]


@pytest.mark.parametrize("data_type", [TensorProto.COMPLEX64, TensorProto.FLOAT8E4M3FN])
def test_a_type_that_triton_lacks_is_refused(write_onnx: WriteOnnx, write_spec: WriteSpec, data_type: int) -> None:
    write_onnx(data_type=data_type)
    name = TensorProto.DataType.Name(data_type)
    assert f"has ONNX type {name}, which Triton lacks" in errors_of(write_spec("models: {m: {file: model.onnx}}"))[0]


def test_a_truncated_file_is_refused(write_onnx: WriteOnnx, write_spec: WriteSpec, tmp_path: Path) -> None:
    path = write_onnx()
    path.write_bytes(path.read_bytes()[:-9])
    assert "no ONNX model, or it is truncated" in errors_of(write_spec("models: {m: {file: model.onnx}}"))[0]


def test_external_data_goes_along(write_spec: WriteSpec, tmp_path: Path) -> None:
    weights = helper.make_tensor("w", TensorProto.FLOAT, [4], bytes(16), raw=True)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = str(tmp_path / "big.onnx")
    onnx.save_model(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    repository = built(write_spec("models: {m: {file: {3: big.onnx}}}"))
    assert sorted(repository.models["m"].files) == ["3/model.onnx", "3/weights.bin"]


def test_versions_with_other_tensors_are_refused(write_onnx: WriteOnnx, write_spec: WriteSpec) -> None:
    write_onnx("a.onnx")
    write_onnx("b.onnx", shape=("N", 5))
    found = errors_of(write_spec("models: {m: {file: {1: a.onnx, 2: b.onnx}, max_batch_size: 1}}"))
    assert found[0].startswith("version 2 has other inputs than the versions before")


def test_states_and_controls_are_no_inputs_of_the_configuration(write_spec: WriteSpec, tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "s"], ["y"]), helper.make_node("Identity", ["y"], ["s_out"])],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1]) for name in ("x", "s", "START")],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1]) for name in ("y", "s_out")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "m.onnx")
    config = config_of(
        write_spec(
            "models:\n  m:\n    file: m.onnx\n    max_batch_size: 2\n    sequence_batching:\n"
            "      control_input: [{name: START, control: [{kind: CONTROL_SEQUENCE_START, fp32_false_true: [0, 1]}]}]\n"
            "      state: [{input_name: s, output_name: s_out, data_type: TYPE_FP32, dims: [1]}]\n"
        )
    )
    assert [[tensor.name for tensor in tensors] for tensors in (config.input, config.output)] == [["x"], ["y"]]


def test_an_ensemble_is_written_out_with_the_latest_version(write_onnx: WriteOnnx, write_spec: WriteSpec) -> None:
    write_onnx("a.onnx")
    write_onnx("b.onnx", source="y", target="z")
    repository = built(
        write_spec(
            "models:\n  e: {ensemble: [a, b]}\n  a: {file: a.onnx, max_batch_size: 8}\n"
            "  b: {file: b.onnx, max_batch_size: 4}\n"
        )
    )
    config = repository.models["e"].config
    assert config is not None
    assert list(repository.models) == ["e", "a", "b"]
    assert (config.platform, config.max_batch_size) == ("ensemble", 4)
    assert [step.model_version for step in config.ensemble_scheduling.step] == [-1, -1]
    assert dict(config.ensemble_scheduling.step[1].input_map) == {"y": "y"}
    assert list(repository.models["e"].files) == ["1/.gitkeep"]  # git drops empty folders; Triton wants the version


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ("e: {ensemble: [nobody]}", "the step's model 'nobody' is not in the spec."),
        ("e: {ensemble: [a], max_batch_size: 16}", "max_batch_size 16 is more than the steps take (8)"),
        ("e: {ensemble: [f]}\n  f: {ensemble: [e]}", "ensembles contain one another: e -> f -> e"),
        ("g: {ensemble: [a, e]}\n  e: {ensemble: [e]}", "ensembles contain one another: e -> e"),
        ("e: {ensemble: [a], dynamic_batching: {}}", "an ensemble has no dynamic_batching, only its steps have"),
        ("e: {ensemble: [a], instance_group: [{}]}", "an ensemble has no instance_group, only its steps have"),
        ("e: {ensemble: [a], backend: python}", "an ensemble has no backend, only its steps have"),
        ("e: {ensemble: [a], ensemble_scheduling: {step: []}}", "'ensemble' excludes 'ensemble_scheduling.step'"),
        ("e: {ensemble: [s]}\n  s: {backend: x, input: [{name: x}], output: [{name: y}]}", "the step's model 's' does"),
        ("e: {backend: python, calls: [b]}", "the model calls 'b', which is not in the spec."),
        ("e: {max_batch_size: 1}", "nothing says what the model is"),
        ("e: {file: tritonsmith.yaml}", "the ending of 'tritonsmith.yaml' names no backend"),
    ],
)
def test_models_that_do_not_fit_together_are_told(
    write_onnx: WriteOnnx, write_spec: WriteSpec, models: str, message: str
) -> None:
    write_onnx()
    found = errors_of(write_spec(f"models:\n  a: {{file: model.onnx, max_batch_size: 8}}\n  {models}\n"))
    assert message in found[0], found


def test_two_circles_of_ensembles_are_told_at_once(write_spec: WriteSpec) -> None:
    models = {"a": "b", "b": "c", "c": "a", "x": "y", "y": "x"}
    found = errors_of(write_spec("models:\n" + "".join(f"  {a}: {{ensemble: [{b}]}}\n" for a, b in models.items())))
    assert found == [f"ensembles contain one another: {path}" for path in ("a -> b -> c -> a", "x -> y -> x")]


def test_ensembles_may_be_nested_deeper_than_a_stack(write_onnx: WriteOnnx, write_spec: WriteSpec) -> None:
    write_onnx()
    steps = [*(f"e{number}" for number in range(1, 1500)), "m"]
    models = "".join(f"  e{number}: {{ensemble: [{step}]}}\n" for number, step in enumerate(steps))
    assert len(built(write_spec(f"models:\n{models}  m: {{file: model.onnx}}\n")).models) == 1501


def test_a_mistake_that_every_version_makes_is_told_once(write_onnx: WriteOnnx, write_spec: WriteSpec) -> None:
    write_onnx()
    versions = "{1: model.onnx, 2: model.onnx}"
    found = errors_of(write_spec(f"models: {{m: {{file: {versions}, input: [{{name: q}}]}}}}"))
    assert found == ["the graph has no input 'q'."]


def test_a_missing_file_is_one_mistake_of_the_model_and_none_of_its_ensemble(write_spec: WriteSpec) -> None:
    found = errors_of(write_spec("models: {m: {file: none.onnx}, e: {ensemble: [m]}}"))
    assert found == ["there is no file 'none.onnx'."]


def test_a_plan_needs_its_tensors_where_tensorrt_is_not_installed(
    write_spec: WriteSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)  # its import fails then
    (tmp_path / "m.plan").write_bytes(b"plan")
    found = errors_of(write_spec("models: {m: {file: m.plan}}"))
    assert found == [
        f"the {kind}s of 'm.plan' cannot be read (tensorrt is not installed here)" for kind in ("input", "output")
    ]
    tensors = "[{name: x, data_type: TYPE_FP32, dims: [4]}]"
    repository = built(write_spec(f"models: {{m: {{file: m.plan, input: {tensors}, output: {tensors}}}}}"))
    assert list(repository.models["m"].files) == ["1/model.plan"]


def test_a_python_folder_gives_its_configuration_and_its_files(write_spec: WriteSpec, tmp_path: Path) -> None:
    folder = tmp_path / "post"
    folder.mkdir()
    (folder / "config.pbtxt").write_text('max_batch_size: 8 input { name: "x" data_type: TYPE_FP32 dims: [4] }')
    (folder / "model.py").write_text("from .beside import f\nfrom .shared import g\n")
    (folder / "beside.py").write_text("from .deeper import h\n")
    for name in ("shared", "deeper"):
        (tmp_path / f"{name}.py").write_text("")
    repository = built(write_spec("models: {m: {python: post, max_batch_size: 2, parameters: {a: 1}}}"))
    model = repository.models["m"]
    assert model.config is not None
    assert (model.config.backend, model.config.max_batch_size) == ("python", 2)
    assert model.config.input[0].name == "x"
    assert sorted(model.files) == ["1/beside.py", "1/deeper.py", "1/model.py", "1/shared.py"]


def test_a_python_folder_may_have_another_name_and_a_package(write_spec: WriteSpec, tmp_path: Path) -> None:
    (tmp_path / "post" / "inner").mkdir(parents=True)
    (tmp_path / "post" / "config.pbtxt").write_text('name: "post"')
    (tmp_path / "post" / "model.py").write_text("from .inner import f\nfrom .inner.deep import g\n")
    for name in ("__init__", "deep"):
        (tmp_path / "post" / "inner" / f"{name}.py").write_text("")
    model = built(write_spec("models: {other: {python: post}}")).models["other"]
    assert model.config is not None
    assert model.config.name == "other"
    assert sorted(model.files) == ["1/inner/__init__.py", "1/inner/deep.py", "1/model.py"]


def test_a_python_folder_may_hold_links_to_folders_and_files(write_spec: WriteSpec, tmp_path: Path) -> None:
    for folder in ("post", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.py").write_text("")
    (tmp_path / "post" / "package").symlink_to(tmp_path / "elsewhere")
    model = built(write_spec("models: {m: {python: post}}")).models["m"]
    assert sorted(model.files) == ["1/model.py", "1/package/model.py"]


@pytest.mark.parametrize(
    ("link", "target", "fault"),
    [
        ("weights", "nowhere", "a link to nothing"),
        ("config.pbtxt", "nowhere", "a link to nothing"),
        ("self", "self", "a link to itself"),
        ("above", "..", "a link to a folder that holds it"),
    ],
)
def test_a_link_of_a_python_folder_that_leads_nowhere_is_named(
    write_spec: WriteSpec, tmp_path: Path, link: str, target: str, fault: str
) -> None:
    (tmp_path / "post").mkdir()
    (tmp_path / "post" / "model.py").write_text("")
    (tmp_path / "post" / link).symlink_to(target)
    (said,) = errors_of(write_spec("models: {m: {python: post}}"))
    assert said == f"'post/{link}' is {fault}"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (None, "'post' holds no model.py"),
        ("from .nowhere import f", "'.nowhere' is neither beside"),
        ("def", "not Python"),
        ("x = " + "(" * 5000, "not Python"),
    ],
)
def test_a_broken_python_folder_is_told(
    write_spec: WriteSpec, tmp_path: Path, script: str | None, message: str
) -> None:
    (tmp_path / "post").mkdir()
    if script is not None:
        (tmp_path / "post" / "model.py").write_text(script)
    assert message in errors_of(write_spec("models: {m: {python: post}}"))[0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("input: [{name: x, data_type: TYPE_FP16}]", "the ensemble says FP16 [-1,4] for 'x', its steps FP32 [-1,4]"),
        ("output: [{name: y, dims: [5]}]", "the ensemble says FP32 [-1,5] for 'y', its steps FP32 [-1,4]"),
    ],
)
def test_what_an_ensemble_says_of_its_tensors_must_be_what_its_steps_say(
    write_onnx: WriteOnnx, write_spec: WriteSpec, fields: str, message: str
) -> None:
    write_onnx()
    path = write_spec(f"models:\n  a: {{file: model.onnx, max_batch_size: 8}}\n  e: {{ensemble: [a], {fields}}}\n")
    assert errors_of(path) == [message]


def test_an_input_with_a_default_in_the_graph_cannot_batch(write_spec: WriteSpec, tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3]), helper.make_tensor_value_info("w", 1, [3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor("w", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    config = config_of(write_spec("models: {m: {file: m.onnx, input: [{name: w}]}}"))
    assert [(tensor.name, tensor.optional) for tensor in config.input] == [("x", False), ("w", True)]
    found = errors_of(write_spec("models: {m: {file: m.onnx, max_batch_size: 4, input: [{name: w, dims: [3]}]}}"))
    assert "input 'w' of shape [3] has no dynamic first axis" in found[0]


def test_settings_of_the_server_travel_with_the_repository(write_spec: WriteSpec) -> None:
    path = write_spec(
        "triton: 25.05\nhardware: {gpu: L4}\nserver: {response_cache: {size_bytes: 1024}}\n"
        "models: {a: {backend: x, calls: [b]}, b: {backend: y}}\n"
    )
    assert built(path).settings == {
        "triton": "25.05",
        "hardware": {"gpu": "L4"},
        "server": {"response_cache": {"size_bytes": 1024}},
        "calls": {"a": ["b"]},
    }


def test_a_file_s_text_can_stand_in_the_spec(write_spec: WriteSpec) -> None:
    model = lower(read_spec(write_spec("models: {m: {backend: b, files: {1/a.yaml: {text: 'x: 1'}}}}"))).models["m"]
    assert model.files == {"1/a.yaml": Content(b"x: 1")}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{1/a.yaml: {txt: x}}", "unknown key 'txt'. Did you mean 'text'?"),
        ("{../a: {text: x}}", "'../a' is no path inside the model's folder"),
        ("{config.pbtxt: {text: x}}", "'config.pbtxt' is no path inside the model's folder"),
        ("{1/a.yaml: {text: [1]}}", "expected a value, got a list"),
    ],
)
def test_a_text_that_is_none_is_told(write_spec: WriteSpec, given: str, message: str) -> None:
    with pytest.raises(SpecError) as problem:
        lower(read_spec(write_spec(f"models: {{m: {{backend: b, files: {given}}}}}")))
    assert message in str(problem.value)


STEPS = """models:
  m:
    backend: python
    files: {1/model.py: {text: pass}}
    input: [{name: x, data_type: TYPE_FP32, dims: [4]}]
    output: [{name: y, data_type: TYPE_FP32, dims: [4]}]
  e:
    ensemble:
      - {model_name: m, model_version: 2,
         output_map: {y: z}}
      - {model_name: m,
         input_map: {x: z}}
  bare:
    ensemble: [m]
"""


@pytest.mark.parametrize(
    ("model", "path", "place"),
    [
        ("e", "ensemble_scheduling.step", (8, 5)),
        ("e", "ensemble_scheduling.step[0]", (9, 9)),
        ("e", "ensemble_scheduling.step[0].model_name", (9, 10)),
        ("e", "ensemble_scheduling.step[0].model_version", (9, 25)),
        ("e", "ensemble_scheduling.step[0].output_map.y", (10, 23)),
        ("e", "ensemble_scheduling.step[0].input_map.x", (9, 9)),  # wired by us
        ("e", "ensemble_scheduling.step[1].input_map", (12, 10)),
        ("e", "ensemble_scheduling.step[1].input_map.x", (12, 22)),
        ("e", "ensemble_scheduling.step[1].model_version", (11, 9)),
        ("bare", "ensemble_scheduling.step[0].model_name", (14, 16)),
        ("bare", "ensemble_scheduling.step[0].input_map.x", (14, 16)),
    ],
)
def test_a_step_knows_where_it_was_written(
    write_spec: WriteSpec, model: str, path: str, place: tuple[int, int]
) -> None:
    found = built(write_spec(STEPS)).models[model].origins[path]
    assert (found.line, found.column) == place


def test_null_deletes_what_a_folders_configuration_says(write_spec: WriteSpec, tmp_path: Path) -> None:
    folder = tmp_path / "post"
    folder.mkdir()
    (folder / "model.py").write_text("class TritonPythonModel:\n    pass\n")
    (folder / "config.pbtxt").write_text(
        "max_batch_size: 4 dynamic_batching {} "
        'input { name: "x" data_type: TYPE_FP32 dims: 1 } output { name: "y" data_type: TYPE_FP32 dims: 1 }'
    )
    assert config_of(write_spec("models: {m: {python: post}}")).HasField("dynamic_batching")
    assert not config_of(write_spec("models: {m: {python: post, dynamic_batching: null}}")).HasField("dynamic_batching")
    profile = "models: {m: {python: post}}\nprofiles: {p: {models: {m: {dynamic_batching: null}}}}"
    repository = lower(read_spec(write_spec(profile), profile="p"))
    config = repository.models["m"].config
    assert config is not None and not config.HasField("dynamic_batching")
