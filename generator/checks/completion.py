"""What a backend completes from a model's file when it loads it, so that the configuration need not say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.python_source import python_tree

if TYPE_CHECKING:
    import ast

# Backends that complete tensors which the configuration only names, and add a batcher. Of ONNX models the
# configuration is completed already (repository/complete.py); LibTorch's files do not say their tensors.
_COMPLETING = frozenset({"tensorrt", "tensorflow", "openvino", "vllm", "dali"})


def is_completed_later(model: ModelCase) -> bool:
    """Whether the model's backend may complete tensors or batcher from what is not read here."""
    if not model.target.is_auto_complete or model.is_ensemble:
        return False
    if model.config.backend != "python":
        return model.config.backend in _COMPLETING
    return _may_complete(python_tree(model))


def _may_complete(tree: ast.Module | None) -> bool:
    """Whether a Python model may have auto_complete_config, also one that it inherits."""
    import ast

    if tree is None:
        return True
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "TritonPythonModel":
            methods = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
            return bool(node.bases or node.decorator_list) or "auto_complete_config" in methods
    return True
