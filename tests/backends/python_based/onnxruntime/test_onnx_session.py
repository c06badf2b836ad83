"""What a configuration asks of ONNX Runtime, and what happens where it cannot be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tritonsmith.backends.python_based.onnxruntime.onnx_session import (
    SettingError,
    Settings,
    default_max_batch_size,
    find_model,
    open_session,
    read_settings,
    run_options,
)

CPU = ("CPUExecutionProvider",)
OPTION = "--backend-config="


def settings(config: dict[str, Any], kind: str = "CPU", available: tuple[str, ...] = CPU) -> Settings:
    return read_settings(config, kind, 1, available)


def parameters(**values: str) -> dict[str, Any]:
    return {"parameters": {key.replace("__", "."): {"string_value": value} for key, value in values.items()}}


def accelerator(where: str, name: str, **values: str) -> dict[str, Any]:
    entry = {"name": name, "parameters": values}
    return {"optimization": {"execution_accelerators": {f"{where}_execution_accelerator": [entry]}}}


def test_the_default_is_one_thread_that_does_not_spin() -> None:
    found = settings({})
    assert found.intra_op_threads == 1
    assert found.entries["session.intra_op.allow_spinning"] == "0"
    assert found.providers == (("CPUExecutionProvider", {}),)


def test_parameters_of_the_cpp_backend_are_honoured() -> None:
    given = parameters(
        intra_op_thread_count="3", inter_op_thread_count="2", execution_mode="1", enable_mem_arena="0",
        enable_mem_pattern="true", session__use_device_allocator_for_initializers="1",
        memory__enable_memory_arena_shrinkage="cpu:0",
    )  # fmt: skip
    found = settings(given)
    assert (found.intra_op_threads, found.inter_op_threads, found.is_parallel) == (3, 2, True)
    assert (found.has_memory_arena, found.has_memory_pattern) == (False, True)
    assert found.entries["session.use_device_allocator_for_initializers"] == "1"
    assert found.run_entries == {"memory.enable_memory_arena_shrinkage": "cpu:0"}


@pytest.mark.parametrize(
    ("level", "name"),
    [("-1", "ORT_ENABLE_BASIC"), ("0", "ORT_ENABLE_ALL"), ("1", "ORT_ENABLE_EXTENDED"), ("2", "ORT_DISABLE_ALL")],
)
def test_graph_levels_are_the_cpp_backends(level: str, name: str) -> None:
    assert settings({"optimization": {"graph": {"level": level}}}).graph_level == name


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (parameters(execution_mode="2"), "Expected values for  execution_mode are 0 or 1 but got 2"),
        (parameters(intra_op_thread_count="many"), "failed to convert 'many' to int"),
        (parameters(enable_mem_arena="maybe"), "failed to convert 'maybe' to boolean"),
        (accelerator("gpu", "nonsense"), "unknown Execution Accelerator 'nonsense' is requested"),
        (accelerator("cpu", "tensorrt"), "unknown Execution Accelerator 'tensorrt' is requested"),
    ],
)
def test_values_the_cpp_backend_refuses_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        settings(given)


@pytest.mark.parametrize(("where", "name"), [("gpu", "tensorrt"), ("gpu", "cuda"), ("cpu", "openvino")])
def test_an_accelerator_that_is_not_here_is_left_out_and_said(where: str, name: str) -> None:
    found = settings(accelerator(where, name))
    assert found.providers == (("CPUExecutionProvider", {}),)
    assert f"'{name}' is left out" in found.notices[0]


def test_kind_gpu_without_cuda_is_an_error_that_says_what_to_install() -> None:
    with pytest.raises(SettingError, match=r"KIND_GPU on device 1.*install onnxruntime-gpu"):
        settings({}, kind="GPU")


def test_kind_gpu_uses_cuda_on_the_instances_device() -> None:
    given = accelerator("gpu", "cuda", cudnn_conv_use_max_workspace="0") | parameters(
        cudnn_conv_algo_search="1", gpu_mem_limit="1000"
    )
    found = settings(given, kind="GPU", available=("CUDAExecutionProvider", *CPU))
    expected = {
        "cudnn_conv_algo_search": "HEURISTIC",
        "gpu_mem_limit": "1000",
        "cudnn_conv_use_max_workspace": "0",
        "device_id": "1",
    }
    assert found.providers == (("CUDAExecutionProvider", expected), ("CPUExecutionProvider", {}))


def test_tensorrt_comes_before_cuda_with_its_options_translated() -> None:
    given = accelerator("gpu", "tensorrt", precision_mode="FP16", max_workspace_size_bytes="64", trt_dla_core="0")
    found = settings(given, kind="GPU", available=("TensorrtExecutionProvider", "CUDAExecutionProvider", *CPU))
    assert [name for name, _ in found.providers][:2] == ["TensorrtExecutionProvider", "CUDAExecutionProvider"]
    assert found.providers[0][1] == {
        "trt_fp16_enable": "1",
        "trt_max_workspace_size": "64",
        "trt_dla_core": "0",
        "device_id": "1",
    }


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("precision_mode", "FP8", "unsupported precision mode 'FP8' is requested"),
        ("speed", "11", "unknown parameter 'speed' is provided for TensorRT Execution Accelerator"),
    ],
)
def test_tensorrt_options_the_cpp_backend_refuses_are_refused(key: str, value: str, message: str) -> None:
    available = ("TensorrtExecutionProvider", "CUDAExecutionProvider", *CPU)
    with pytest.raises(SettingError, match=message):
        settings(accelerator("gpu", "tensorrt", **{key: value}), kind="GPU", available=available)


@pytest.mark.parametrize(
    ("argv", "size"),
    [
        (["tritonserver"], 4),
        (["tritonserver", f"{OPTION}default-max-batch-size=7"], 7),
        (["t", "--backend-config", "onnxruntime,default-max-batch-size=9", f"{OPTION}default-max-batch-size=7"], 9),
        (["t", f"{OPTION}tensorflow,default-max-batch-size=9"], 4),
    ],
)  # fmt: skip
def test_the_default_batch_size_is_read_from_the_servers_command_line(argv: list[str], size: int) -> None:
    assert default_max_batch_size(argv) == size


def test_a_folder_named_like_the_file_holds_the_model(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").mkdir()
    (tmp_path / "model.onnx" / "model.onnx").touch()
    assert find_model(tmp_path, "", "m") == tmp_path / "model.onnx" / "model.onnx"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"unable to find '.*other\.onnx' for model instance 'm'"):
        find_model(tmp_path, "other.onnx", "m")


def test_settings_reach_the_session(tmp_path: Path) -> None:
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])], "g",
        [info("x", TensorProto.FLOAT, ["n"])], [info("y", TensorProto.FLOAT, ["n"])],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "m.onnx")
    found = settings(parameters(execution_mode="1", intra_op_thread_count="2", enable_mem_arena="0",
                                memory__enable_memory_arena_shrinkage="cpu:0"))  # fmt: skip
    session = open_session(tmp_path / "m.onnx", found)
    options = session.get_session_options()
    assert (options.intra_op_num_threads, options.enable_cpu_mem_arena) == (2, False)
    assert options.execution_mode.name == "ORT_PARALLEL"
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert run_options(found).get_run_config_entry("memory.enable_memory_arena_shrinkage") == "cpu:0"
    assert session.run(["y"], {"x": np.ones(2, np.float32)})[0].tolist() == [2, 2]
