"""Each model's configuration as the target's server completes it when it loads the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.errors import RepositoryError, SpecError
from tritonsmith.generator.inspect.python_file import PythonFile
from tritonsmith.generator.repository.complete import (
    complete_fields,
    complete_from_graph,
    graph_path,
    wants_graph,
)
from tritonsmith.generator.repository.core import Model
from tritonsmith.generator.repository.names import served_versions, versions_of

if TYPE_CHECKING:
    from tritonsmith.generator.inspect.auto_complete import Refusal
    from tritonsmith.generator.inspect.onnx import OnnxFacts

PythonFiles = Callable[[Model, str], PythonFile | None]
OnnxFiles = Callable[[Model, str], "OnnxFacts | SpecError | None"]


@dataclass(frozen=True)
class Completion:
    """A completed configuration.

    `is_whole` is False where a model's own code decides the rest when it is loaded: what is missing then is no
    mistake. `refusal` is why Triton refuses what that code does.
    """

    config: ModelConfig
    is_whole: bool = True
    refusal: Refusal | None = None


def complete_model(
    model: Model, *, is_auto_complete: bool, python_file: PythonFiles, onnx_file: OnnxFiles
) -> Completion | RepositoryError:
    """Return a model's configuration, completed, or why nothing can be made of it.

    Files are read only where the configuration leaves to them what they hold.
    """
    try:
        config = complete_fields(model)
    except RepositoryError as problem:
        return problem
    if is_auto_complete and config.backend == "python":
        return _by_code(model, config, python_file)
    if is_auto_complete and wants_graph(config):
        return _by_graph(model, config, onnx_file)
    return Completion(config)


def _by_code(model: Model, config: ModelConfig, python_file: PythonFiles) -> Completion:
    from tritonsmith.generator.repository.complete_python import OpenCompletionError, complete_python

    versions = served_versions(config, versions_of(model))
    name = config.default_model_filename or "model.py"
    source = python_file(model, f"{versions[-1]}/{name}") if versions else None
    if source is None:
        return Completion(config)  # it never ends loading
    if source.tree is None:
        return Completion(config, is_whole=False)
    try:
        refusal = complete_python(config, source.tree)
        return Completion(config, is_whole=refusal is None, refusal=refusal)
    except OpenCompletionError:
        return Completion(config, is_whole=False)


def _by_graph(model: Model, config: ModelConfig, onnx_file: OnnxFiles) -> Completion:
    facts = onnx_file(model, graph_path(model, config))
    if facts is None or isinstance(facts, SpecError) or facts.findings:
        return Completion(config)
    if facts.is_batchable or config.max_batch_size <= 0:
        complete_from_graph(config, facts)
    return Completion(config)
