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


def backend_of_file(name: str) -> Backend | None:
    """Return the backend that serves a file of this name, None where its ending says nothing."""
    return next((row for row in _ROWS if name.lower().endswith(row.endings)), None)
