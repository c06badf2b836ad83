"""Python packages that models and Python-based backends import: what installs them, and which image has them."""

from __future__ import annotations

# module -> (distribution, version): the newest that has wheels for both containers' Pythons, 3.10 and 3.12.
# Source: PyPI.
PACKAGES: dict[str, tuple[str, str]] = {
    "PIL": ("pillow", "11.3.0"),
    "jinja2": ("jinja2", "3.1.6"),
    "onnx": ("onnx", "1.18.0"),
    "onnxruntime": ("onnxruntime", "1.22.1"),
    "tokenizers": ("tokenizers", "0.21.4"),
    "yaml": ("PyYAML", "6.0.2"),
}
ONNXRUNTIME_GPU = ("onnxruntime-gpu", "1.22.0")  # the same module, and not beside the other
# What reads a store, by its scheme.
STORES: dict[str, tuple[str, str]] = {
    "s3": ("s3fs", "2025.9.0"),
    "gs": ("gcsfs", "2025.9.0"),
    "as": ("adlfs", "2025.8.0"),
}

# Source: server: build.py (dockerfile_prepare_container_linux installs numpy for the Python backend).
_OF_EVERY_IMAGE = frozenset({"numpy"})
# Source: TensorRT-LLM: requirements.txt, and what transformers requires; another version than its own breaks it.
_OF_TENSORRT_LLM = frozenset(
    {"tensorrt_llm", "torch", "transformers", "tokenizers", "PIL", "onnx", "yaml", "jinja2", "safetensors", "pydantic"}
)


def modules_of_image(*, has_tensorrt_llm: bool) -> frozenset[str]:
    """Return the modules that NVIDIA's image brings, of those that models here import."""
    return _OF_EVERY_IMAGE | (_OF_TENSORRT_LLM if has_tensorrt_llm else frozenset())


# The backends for which tritonsmith has Python-based ones, and what those import; the image without TensorRT-LLM has
# NVIDIA's onnxruntime backend, the one with it has NVIDIA's tensorrtllm backend, and neither has both.
# Source: tensorrtllm_backend: issue 401, README.md.
BACKEND_MODULES: dict[str, tuple[str, ...]] = {
    "onnxruntime": ("numpy", "onnx", "onnxruntime"),
    "tensorrtllm": ("numpy", "onnx", "onnxruntime"),
}
BACKEND_OF_IMAGE = {False: "onnxruntime", True: "tensorrtllm"}  # by whether it has TensorRT-LLM
