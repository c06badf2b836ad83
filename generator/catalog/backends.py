"""The backends that a spec can name by their files: what each file is called in a version folder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Backend:
    """One row: a backend's name, its model's default file name, and the endings by which a file is recognised."""

    name: str
    model_file: str
    endings: tuple[str, ...] = ()
    is_read: bool = False  # whether inputs and outputs are read from the file (tensorrt: only where it is installed)


# Source: core: model_config_utils.cc (default_model_filename per backend), backends' READMEs.
_ROWS = (
    Backend("onnxruntime", "model.onnx", (".onnx",), is_read=True),
    Backend("tensorrt", "model.plan", (".plan", ".engine", ".trt"), is_read=True),
    Backend("pytorch", "model.pt", (".pt", ".pt2", ".torchscript")),
    Backend("openvino", "model.xml", (".xml",)),
    Backend("python", "model.py", (".py",)),
)

BACKENDS: dict[str, Backend] = {row.name: row for row in _ROWS}

# In one of NVIDIA's images, at least. Source: server: build.py (enable_all); the images for TensorRT-LLM and vLLM.
STANDARD_BACKENDS = frozenset(
    {*BACKENDS, "dali", "fil", "identity", "repeat", "square", "tensorflow", "tensorrtllm", "vllm"}
)

# Of these, the release whose images no longer have it. Source: server: build.py (enable_all) on the release branches.
_DROPPED_SINCE = {"tensorflow": "25.03"}
# Those that NVIDIA's images have as a model.py too. Source: pytorch_backend, vllm_backend.
PYTHON_BASED_BACKENDS = frozenset({"pytorch", "vllm"})
# In /opt/tritonserver/repoagents of NVIDIA's images. Source: server: build.py (enable_all).
REPOSITORY_AGENTS = frozenset({"checksum"})
# The platforms that a backend can be named with; any other backend takes any platform.
# Source: core: model_config_utils.cc (GetBackendType, GetBackendTypeFromPlatform).
PLATFORMS: dict[str, tuple[str, ...]] = {
    "tensorflow": ("tensorflow_graphdef", "tensorflow_savedmodel"),
    "tensorrt": ("tensorrt_plan",),
    "onnxruntime": ("onnxruntime_onnx",),
    "pytorch": ("pytorch_libtorch",),
}
_PYTORCH_SINCE = {"torch_aoti": "26.03", "libtorch": "26.04"}


def standard_backends(release: str) -> frozenset[str]:
    """Return the backends of a release's images: the plain one's, TensorRT-LLM's and vLLM's."""
    return STANDARD_BACKENDS - {name for name, since in _DROPPED_SINCE.items() if release >= since}


def platforms_of(backend: str, release: str) -> tuple[str, ...]:
    """Return the platforms that a backend can be named with, none where it takes any."""
    newer = [name for name, since in _PYTORCH_SINCE.items() if backend == "pytorch" and release >= since]
    return (*PLATFORMS.get(backend, ()), *newer)


def backend_of_file(name: str) -> Backend | None:
    """Return the backend that serves a file of this name, None where its ending says nothing."""
    return next((row for row in _ROWS if name.lower().endswith(row.endings)), None)
