from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.server.adapt import (
    Host,
    fit_to_host,
    load_order,
    refusal,
    without_newer_fields,
)
from tritonsmith.generator.repository.complete import backend_of
from tritonsmith.generator.repository.core import Model
from tritonsmith.generator.repository.read import read_model

LAPTOP = Host(0, frozenset({"python", "onnxruntime"}), "24.10", stand_ins=frozenset({"onnxruntime"}))
GPUS = Host(2, LAPTOP.backends, "24.10", LAPTOP.stand_ins)


def config(text: str) -> ModelConfig:
    return text_format.Parse(text, ModelConfig())


def model(folder: Path, text: str = "") -> Model:
    return replace(read_model(folder), config=config(text))


def test_gpu_groups_go_to_the_cpu_with_their_count() -> None:
    before = config(
        "instance_group { kind: KIND_GPU count: 3 gpus: [0, 1] } instance_group { kind: KIND_CPU count: 2 }"
    )
    after, changes = fit_to_host(before, LAPTOP)
    assert after == config("instance_group { kind: KIND_CPU count: 3 } instance_group { kind: KIND_CPU count: 2 }")
    assert changes == ["instance_group[0] KIND_GPU gpus [0, 1] -> KIND_CPU (no GPU here)"]
    assert before.instance_group[0].gpus == [0, 1]  # the caller's is untouched


def test_an_automatic_group_with_gpus_goes_to_the_cpu_too() -> None:
    # 2.51 resolves it to KIND_CPU and then refuses it for its gpus
    assert fit_to_host(config("instance_group { gpus: 0 }"), LAPTOP)[0] == config("instance_group { kind: KIND_CPU }")
    assert fit_to_host(config("instance_group { count: 2 }"), LAPTOP)[1] == []


def test_accelerators_that_are_not_here_are_left_out() -> None:
    text = """backend: "onnxruntime" optimization { execution_accelerators {
        gpu_execution_accelerator { name: "tensorrt" } cpu_execution_accelerator { name: "openvino" } } }"""
    after, changes = fit_to_host(config(text), LAPTOP)
    assert not after.optimization.execution_accelerators.gpu_execution_accelerator
    assert not after.optimization.execution_accelerators.cpu_execution_accelerator
    assert [change.split(" left out")[0] for change in changes] == [
        "gpu_execution_accelerator tensorrt",
        "cpu_execution_accelerator openvino",
    ]


def test_a_machine_with_gpus_gets_what_was_written() -> None:
    before = config("instance_group { kind: KIND_GPU }")
    assert fit_to_host(before, GPUS) == (before, [])


def test_an_untouched_configuration_stays_without_optimization() -> None:
    before = config('backend: "onnxruntime"')
    assert fit_to_host(before, LAPTOP) == (before, [])


def test_fields_newer_than_the_server_are_left_out() -> None:
    text = """model_metrics { metric_control { metric_identifier { family: "f" } } }
        ensemble_scheduling { max_inflight_requests: 4 step { model_name: "a" } }"""
    older, paths = without_newer_fields(config(text), "24.10")
    assert older == config('ensemble_scheduling { step { model_name: "a" } }')
    assert sorted(paths) == ["ensemble_scheduling.max_inflight_requests", "model_metrics"]
    assert without_newer_fields(config(text), "25.11")[1] == []


@pytest.mark.parametrize(
    ("files", "text", "backend"),
    [
        ({}, 'backend: "x" platform: "tensorrt_plan"', "x"),
        ({}, 'platform: "tensorrt_plan"', "tensorrt"),
        ({}, 'platform: "ensemble"', "ensemble"),
        ({"1/model.onnx": "", "1/model.py": ""}, "", "onnxruntime"),
        ({"1/model.plan": ""}, "", "tensorrt"),
        ({"10/model.py": "", "2/model.onnx": ""}, "", "python"),  # versions are looked at as text
        ({"0warmup/model.plan": "", "1/model.py": ""}, "", "tensorrt"),  # the first folder, a version or not
        ({}, 'platform: "libtorch"', "pytorch"),
        ({}, 'default_model_filename: "model.onnx"', "onnxruntime"),
        ({"x": ""}, "", ""),
    ],
)
def test_a_backend_is_named_or_inferred_from_files(
    files: dict[str, str], text: str, backend: str, tmp_path: Path
) -> None:
    write(tmp_path / "m", files)
    assert backend_of(model(tmp_path / "m", text)) == backend


def test_a_folder_names_its_backend_after_the_first_dot(tmp_path: Path) -> None:
    write(tmp_path / "m.identity", {"1/weights": ""})
    assert backend_of(model(tmp_path / "m.identity")) == "identity"


def test_a_backend_that_is_not_here_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path, {"1/model.plan": ""})
    reason = refusal(model(tmp_path, 'platform: "tensorrt_plan"'), LAPTOP)
    assert "the backend 'tensorrt'" in reason
    assert "it has onnxruntime, python" in reason
    assert "NVIDIA GPU" in reason
    assert refusal(model(tmp_path, 'backend: "onnxruntime"'), LAPTOP) == ""
    assert refusal(model(tmp_path, 'platform: "ensemble"'), LAPTOP) == ""


def test_a_backend_that_no_container_has_is_suggested_or_asked_for(tmp_path: Path) -> None:
    assert refusal(model(tmp_path, 'backend: "onxruntime"'), LAPTOP).endswith(". Did you mean 'onnxruntime'?")
    assert "libtriton_mine.so" in refusal(model(tmp_path, 'backend: "mine"'), LAPTOP)
    assert "--container" not in refusal(model(tmp_path, 'backend: "mine"'), LAPTOP)


def test_a_model_that_brings_its_own_library_is_not_refused(tmp_path: Path) -> None:
    write(tmp_path, {"1/libtriton_mine.so": ""})
    assert refusal(model(tmp_path, 'backend: "mine"'), LAPTOP) == ""


def test_a_missing_python_file_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"1/model.py": "", "2/other.py": ""})
    assert refusal(model(tmp_path, 'backend: "python"'), LAPTOP).startswith("2/model.py is not there")
    named = model(tmp_path, 'backend: "python" default_model_filename: "other.py"')
    assert refusal(named, LAPTOP).startswith("1/other.py is not there")


def test_composing_and_called_models_come_first() -> None:
    ensemble = config('ensemble_scheduling { step { model_name: "z" } step { model_name: "absent" } }')
    configs: dict[str, ModelConfig | None] = {"a": ensemble, "broken": None, "caller": config(""), "z": config("")}
    assert load_order(configs, {"z": ("broken",)}) == ["broken", "z", "a", "caller"]


def test_a_cycle_still_gives_every_model_once() -> None:
    a, b = (config(f'ensemble_scheduling {{ step {{ model_name: "{name}" }} }}') for name in ("b", "a"))
    assert sorted(load_order({"a": a, "b": b}, {})) == ["a", "b"]


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
