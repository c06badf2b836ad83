"""What a backend completes from a model's file when it loads it, so that the configuration need not say it."""

from __future__ import annotations

from tritonsmith.generator.checks.case import ModelCase

# Backends that complete tensors which the configuration only names, and add a batcher. What ONNX and Python models add
# is completed already, where their files tell (checks/completed.py); LibTorch's files do not say their tensors.
_COMPLETING = frozenset({"tensorrt", "tensorflow", "openvino", "vllm", "dali"})


def is_completed_later(model: ModelCase) -> bool:
    """Whether the model's backend may complete tensors or batcher from what is not read here."""
    if not model.target.is_auto_complete or model.is_ensemble:
        return False
    return model.config.backend in _COMPLETING or not model.is_whole
