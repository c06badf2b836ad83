"""From a model configuration to an open ONNX Runtime session: file, options, execution providers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Config = Mapping[str, Any]

# optimization { graph { level } }. Source: onnxruntime_backend r24.10, ModelState::ModelState.
_GRAPH_LEVELS = {-1: "ORT_ENABLE_BASIC", 1: "ORT_ENABLE_EXTENDED", 2: "ORT_DISABLE_ALL"}
_TENSORRT_NAMES = {
    "max_workspace_size_bytes": "trt_max_workspace_size",
    "int8_calibration_table_name": "trt_int8_calibration_table_name",
    "int8_use_native_calibration_table": "trt_int8_use_native_calibration_table",
}
_TENSORRT_PRECISIONS: dict[str, dict[str, str]] = {
    "FP32": {},
    "FP16": {"trt_fp16_enable": "1"},
    "BF16": {"trt_bf16_enable": "1"},
    "INT8": {"trt_int8_enable": "1"},
}
_CUDA_CHOICES = {
    "cudnn_conv_algo_search": ("EXHAUSTIVE", "HEURISTIC", "DEFAULT"),
    "arena_extend_strategy": ("kNextPowerOfTwo", "kSameAsRequested"),
}
_CUDA_PASSED_ON = ("gpu_mem_limit", "do_copy_in_default_stream")


class SettingError(ValueError):
    """Raised when the configuration asks for what cannot be done; the message names it."""


@dataclass(frozen=True)
class Settings:
    """What the configuration asks of ONNX Runtime, decided before ONNX Runtime is touched.

    `intra_op_threads` and `inter_op_threads` of 0 leave the choice to ONNX Runtime (all cores).
    `notices` are requests that this machine cannot honour, each a sentence for the log.
    """

    intra_op_threads: int = 1
    inter_op_threads: int = 0
    graph_level: str = "ORT_ENABLE_ALL"
    is_parallel: bool = False
    has_memory_arena: bool | None = None
    has_memory_pattern: bool | None = None
    entries: Mapping[str, str] = field(default_factory=dict)
    run_entries: Mapping[str, str] = field(default_factory=dict)
    providers: tuple[tuple[str, Mapping[str, str]], ...] = (("CPUExecutionProvider", {}),)
    libraries: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def find_model(version_folder: Path, default_model_filename: str, model: str) -> Path:
    """The ONNX file to load; a folder of that name holds `model.onnx` beside its external data.

    Raises:
        SettingError: there is no such file.

    Source: onnxruntime_backend r24.10, ModelState::LoadModel.
    """
    path = version_folder / (default_model_filename or "model.onnx")
    if path.is_dir():
        path = path / "model.onnx"
    if not path.is_file():
        raise SettingError(f"unable to find '{path}' for model instance '{model}'")
    return path


def read_settings(config: Config, kind: str, device: int, available: tuple[str, ...]) -> Settings:
    """What `config` asks for one instance of `kind` ("CPU", "GPU") on `device`.

    `available` are the names of the execution providers that the installed ONNX Runtime has.

    Raises:
        SettingError: a value is not one the C++ backend takes, or the instance needs a GPU and there is none.
    """
    parameters = {key: value.get("string_value", "") for key, value in config.get("parameters", {}).items()}
    optimization = config.get("optimization") or {}
    accelerators = optimization.get("execution_accelerators") or {}
    providers, notices = _providers(accelerators, parameters, kind, device, available)
    mode = _integer(parameters, "execution_mode", 0)
    if mode not in (0, 1):
        raise SettingError(
            f"Invalid configuration value provided. Expected values for  execution_mode are 0 or 1 but got {mode} ."
        )
    return Settings(
        # One thread, not one per core: a server runs one session per instance beside the server itself, and they
        # share the cores; parallelism comes from instances and batches. More is asked for by name.
        intra_op_threads=_integer(parameters, "intra_op_thread_count", 1),
        inter_op_threads=_integer(parameters, "inter_op_thread_count", 0),
        graph_level=_GRAPH_LEVELS.get(int((optimization.get("graph") or {}).get("level", 0)), "ORT_ENABLE_ALL"),
        is_parallel=mode == 1,
        has_memory_arena=_boolean(parameters, "enable_mem_arena"),
        has_memory_pattern=_boolean(parameters, "enable_mem_pattern"),
        # Threads that spin while they wait gain x1.6 on idle cores and lose x3 on shared ones (measured: 2 cores,
        # load 10), and a server's cores are shared. `session.intra_op.allow_spinning` in parameters overrides.
        entries={
            "session.intra_op.allow_spinning": "0",
            "session.inter_op.allow_spinning": "0",
            **{key: value for key, value in parameters.items() if key.startswith("session.")},
        },
        run_entries={key: value for key, value in parameters.items() if key.startswith("memory.")},
        providers=providers,
        libraries=tuple((config.get("model_operations") or {}).get("op_library_filename", ())),
        notices=notices,
    )


def open_session(path: Path, settings: Settings, part: bytes | None = None) -> Any:
    """An `onnxruntime.InferenceSession` on the file at `path`, or on `part` of it (a serialized model)."""
    # Imported here: the process that Triton starts for auto-completion needs it only where something is missing.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, settings.graph_level)
    options.intra_op_num_threads = settings.intra_op_threads
    options.inter_op_num_threads = settings.inter_op_threads
    options.log_severity_level = 3  # warnings about the graph are the author's business, not the operator's
    if settings.is_parallel:
        options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
    if settings.has_memory_arena is not None:
        options.enable_cpu_mem_arena = settings.has_memory_arena
    if settings.has_memory_pattern is not None:
        options.enable_mem_pattern = settings.has_memory_pattern
    for key, value in settings.entries.items():
        options.add_session_config_entry(key, value)
    for library in settings.libraries:
        options.register_custom_ops_library(library)
    providers = [(name, dict(choices)) for name, choices in settings.providers]
    if part is not None:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent))
    return onnxruntime.InferenceSession(str(path) if part is None else part, options, providers=providers)


def run_options(settings: Settings) -> Any:
    """An `onnxruntime.RunOptions`, or None where nothing was asked for."""
    if not settings.run_entries:
        return None
    import onnxruntime

    options = onnxruntime.RunOptions()
    for key, value in settings.run_entries.items():
        options.add_run_config_entry(key, value)
    return options


def available_providers() -> tuple[str, ...]:
    """Names of the execution providers that the installed ONNX Runtime has."""
    import onnxruntime

    return tuple(onnxruntime.get_available_providers())


def default_max_batch_size(argv: list[str]) -> int:
    """`--backend-config=onnxruntime,default-max-batch-size=N` (or without a backend) from tritonserver's argv; else 4.

    A Python-based backend is never told: Triton hands it the settings of the backend named `python`.
    Source: core r24.10, backend_config.cc (kDefaultMaxBatchSize).
    """
    value, rank = 4, 0
    arguments = iter(argv)
    for argument in arguments:
        setting = argument.removeprefix("--backend-config=") if argument != "--backend-config" else next(arguments, "")
        for own_rank, prefix in ((1, "default-max-batch-size="), (2, "onnxruntime,default-max-batch-size=")):
            if setting.startswith(prefix) and own_rank >= rank:
                value, rank = int(setting.removeprefix(prefix)), own_rank
    return value


def _providers(
    accelerators: Config, parameters: Mapping[str, str], kind: str, device: int, available: tuple[str, ...]
) -> tuple[tuple[tuple[str, Mapping[str, str]], ...], tuple[str, ...]]:
    """The execution providers in order of preference, and what could not be honoured."""
    providers: list[tuple[str, Mapping[str, str]]] = []
    notices: list[str] = []
    cuda: dict[str, str] = {}
    for accelerator in accelerators.get("gpu_execution_accelerator", ()):
        name, choices = accelerator["name"], accelerator.get("parameters", {})
        if name not in ("tensorrt", "cuda"):
            raise SettingError(f"unknown Execution Accelerator '{name}' is requested")
        if kind != "GPU":
            notices.append(f"the execution accelerator '{name}' is left out: the instance is KIND_{kind}")
        elif name == "cuda":
            cuda = dict(choices)
        elif "TensorrtExecutionProvider" not in available:
            notices.append("the execution accelerator 'tensorrt' is left out: this ONNX Runtime is built without it")
        else:
            providers.append(("TensorrtExecutionProvider", {**_tensorrt(choices), "device_id": str(device)}))
    for accelerator in accelerators.get("cpu_execution_accelerator", ()):
        if accelerator["name"] != "openvino":
            raise SettingError(f"unknown Execution Accelerator '{accelerator['name']}' is requested")
        if "OpenVINOExecutionProvider" in available:
            providers.append(("OpenVINOExecutionProvider", {"device_type": "CPU"}))
        else:
            notices.append("the execution accelerator 'openvino' is left out: this ONNX Runtime is built without it")
    if kind == "GPU":
        if "CUDAExecutionProvider" not in available:
            raise SettingError(
                f"the instance is KIND_GPU on device {device}, but this ONNX Runtime has no CUDA provider: install "
                "onnxruntime-gpu in place of onnxruntime, or use KIND_CPU"
            )
        providers.append(("CUDAExecutionProvider", {**_cuda(parameters), **cuda, "device_id": str(device)}))
    providers.append(("CPUExecutionProvider", {}))
    return tuple(providers), tuple(notices)


def _tensorrt(choices: Mapping[str, str]) -> dict[str, str]:
    """Options of ONNX Runtime's TensorRT provider from the accelerator's parameters."""
    options: dict[str, str] = {}
    for key, value in choices.items():
        if key == "precision_mode":
            if value not in _TENSORRT_PRECISIONS:
                raise SettingError(f"unsupported precision mode '{value}' is requested")
            options.update(_TENSORRT_PRECISIONS[value])
        elif key in _TENSORRT_NAMES or key.startswith("trt_"):
            options[_TENSORRT_NAMES.get(key, key)] = value
        else:
            raise SettingError(f"unknown parameter '{key}' is provided for TensorRT Execution Accelerator")
    return options


def _cuda(parameters: Mapping[str, str]) -> dict[str, str]:
    """Options of ONNX Runtime's CUDA provider from the model's parameters (the deprecated way of giving them)."""
    options = {key: parameters[key] for key in _CUDA_PASSED_ON if key in parameters}
    for key, names in _CUDA_CHOICES.items():
        if key in parameters:
            number = _integer(parameters, key, 0)
            if not 0 <= number < len(names):
                raise SettingError(f"unsupported {key} value '{number}' is requested")
            options[key] = names[number]
    return options


def _integer(parameters: Mapping[str, str], key: str, default: int) -> int:
    text = parameters.get(key, str(default))
    try:
        return int(text)
    except ValueError:
        raise SettingError(f"failed to convert '{text}' to int integral number: parameter '{key}'") from None


def _boolean(parameters: Mapping[str, str], key: str) -> bool | None:
    if key not in parameters:
        return None
    text = parameters[key].lower()
    if text in ("true", "1"):
        return True
    if text in ("false", "0"):
        return False
    raise SettingError(f"failed to convert '{parameters[key]}' to boolean: parameter '{key}'")


def server_arguments() -> list[str]:
    """The argv of the tritonserver that started this process; empty where it cannot be read."""
    try:
        return Path(f"/proc/{os.getppid()}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []
