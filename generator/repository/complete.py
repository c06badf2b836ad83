"""Complete a configuration as Triton's auto-complete does when it loads the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput, ModelOutput

from tritonsmith.generator.errors import RepositoryError, SpecError
from tritonsmith.generator.repository.core import Model, SourceFile
from tritonsmith.generator.repository.names import served_versions, top_folders, versions_of

if TYPE_CHECKING:
    from tritonsmith.generator.inspect.onnx import OnnxFacts, OnnxTensor

# --backend-config=default-max-batch-size, unless set (core: backend_model.cc, backend_config_defaults).
DEFAULT_MAX_BATCH_SIZE = 4


@dataclass(frozen=True)
class _Rule:
    """How a backend is told from a model's file; `is_folder` where the file must be (not) a folder, None: either."""

    backend: str
    file: str
    platform: str = ""  # filled in where the configuration has none
    is_folder: bool | None = False
    platforms: tuple[str, ...] = ()  # which say the backend


# In Triton's order: the first that fits wins, so model.onnx goes before model.py.
# Source: core: model_config_utils.cc (AutoCompleteBackendFields), constants.h.
_RULES = (
    _Rule("tensorflow", "model.savedmodel", "tensorflow_savedmodel", True, ("tensorflow_savedmodel",)),
    _Rule("tensorflow", "model.graphdef", "tensorflow_graphdef", False, ("tensorflow_graphdef",)),
    _Rule("tensorrt", "model.plan", "tensorrt_plan", False, ("tensorrt_plan",)),
    _Rule("onnxruntime", "model.onnx", "onnxruntime_onnx", None, ("onnxruntime_onnx",)),
    _Rule("openvino", "model.xml", "", None),
    _Rule("pytorch", "model.pt", "pytorch_libtorch", False, ("pytorch_libtorch", "libtorch")),
    _Rule("python", "model.py", "", None),
)


def complete_config(model: Model) -> ModelConfig:
    """Return the model's configuration, completed: name, backend, platform, default file name; ONNX tensors.

    What other backends complete when they run (a Python model's auto_complete_config) is not known here.

    Raises: RepositoryError where Triton could not complete it either, or the configuration did not parse.
    """
    config = complete_fields(model)
    if wants_graph(config):
        complete_from_graph(config, _graph_facts(model, config))
    return config


def complete_fields(model: Model) -> ModelConfig:
    """Return the model's configuration with name, backend, platform and default file name, which Triton always fills.

    Raises: RepositoryError where Triton could not tell the backend either, or the configuration did not parse.
    """
    if model.config is None and model.findings:
        raise RepositoryError("\n".join(map(str, model.findings)), where=model.name)
    config = ModelConfig()
    if model.config is not None:
        config.CopyFrom(model.config)
    config.name = config.name or model.name
    if config.platform != "ensemble":
        _complete_backend(model, config)
    return config


def wants_graph(config: ModelConfig) -> bool:
    """Whether the ONNX graph is to say what the configuration leaves out."""
    return config.backend == "onnxruntime" and not ((config.input or config.batch_input) and config.output)


def backend_of(model: Model) -> str:
    """Return the backend that serves a model, as its configuration names it or its files tell; empty where none do."""
    config = ModelConfig()
    if model.config is not None:
        config.CopyFrom(model.config)
    if config.platform == "ensemble":
        return config.backend or config.platform
    try:
        _complete_backend(model, config)
    except RepositoryError:
        return ""
    return config.backend


def first_version(model: Model) -> str:
    """Return the folder that Triton looks into to tell the backend, empty where there is none.

    It is the first by name, version or not (core: model_config_utils.cc, AutoCompleteBackendFields).
    """
    return min(top_folders(model), default="")


def _complete_backend(model: Model, config: ModelConfig) -> None:
    contents = _contents(model, first_version(model))
    says_nothing = not config.platform and not config.default_model_filename
    for rule in _RULES:
        if _fits(rule, config, contents if says_nothing else {}):
            config.backend = config.backend or rule.backend
            config.platform = config.platform or rule.platform
            config.default_model_filename = config.default_model_filename or rule.file
            return
    if not config.backend and says_nothing:
        _, dot, backend = model.name.partition(".")
        if not dot:
            raise RepositoryError(
                f"nothing says which backend serves model '{model.name}': it has no configuration of a backend, and "
                "its version folder no file that would tell",
                where=model.name,
                hint='write backend: "..." into config.pbtxt',
            )
        config.backend, config.default_model_filename = backend, f"model.{backend}"


def _fits(rule: _Rule, config: ModelConfig, contents: dict[str, bool]) -> bool:
    if rule.backend == "tensorflow":
        # Two platforms share a backend, so the platform decides, or the file from which it is told.
        if config.platform:
            return config.platform in rule.platforms
        if config.backend not in ("", "tensorflow"):
            return False
        return config.default_model_filename == rule.file or contents.get(rule.file) is rule.is_folder
    if config.backend:
        return config.backend == rule.backend
    if config.platform in rule.platforms or config.default_model_filename == rule.file:
        return True
    return rule.file in contents and rule.is_folder in (None, contents[rule.file])


def _contents(model: Model, version: str) -> dict[str, bool]:
    """Return the names in a version folder, and whether each is a folder."""
    found: dict[str, bool] = {}
    prefix = f"{version}/"
    for path, is_folder in [*((path, False) for path in model.files), *((path, True) for path in model.folders)]:
        if version and path.startswith(prefix):
            name, inner, _ = path.removeprefix(prefix).partition("/")
            found[name] = found.get(name, False) or is_folder or bool(inner)
    return found


def complete_from_graph(config: ModelConfig, facts: OnnxFacts) -> None:
    """Fill max_batch_size, a dynamic batcher, inputs and outputs from the ONNX graph.

    Raises: RepositoryError where the configuration wants to batch and the graph cannot.

    Source: onnxruntime_backend: src/onnxruntime.cc (ModelState::AutoCompleteConfig, AutoCompleteMaxBatch).
    """
    if facts.is_batchable:
        config.max_batch_size = config.max_batch_size or DEFAULT_MAX_BATCH_SIZE
        if config.max_batch_size > 1 and config.WhichOneof("scheduling_choice") is None:
            config.dynamic_batching.SetInParent()
    elif config.max_batch_size > 0:
        raise RepositoryError(
            f"max_batch_size is {config.max_batch_size}, but not every input and output of the graph has a dynamic "
            "first axis",
            where=config.name,
            hint="leave max_batch_size out, or export the model with dynamic first axes",
        )
    if not config.input and not config.batch_input:
        for tensor in facts.inputs:
            _fill(config.input.add(), tensor, config.max_batch_size)
    if not config.output:
        for tensor in facts.outputs:
            _fill(config.output.add(), tensor, config.max_batch_size)


def graph_path(model: Model, config: ModelConfig, version: int | None = None) -> str:
    """Return where a version's ONNX graph lies in the model's folder; by default the newest that is loaded.

    An ensemble's step is completed from the newest. A folder holds the graph beside its external data.
    """
    if version is None:
        versions = served_versions(config, versions_of(model))
        version = versions[-1] if versions else 1
    path = f"{version}/{config.default_model_filename or 'model.onnx'}"
    return path if path in model.files else f"{path}/model.onnx" if f"{path}/model.onnx" in model.files else path


def _graph_facts(model: Model, config: ModelConfig) -> OnnxFacts:
    from tritonsmith.generator.inspect.onnx import read_onnx  # imports onnx, which few repositories need

    path = graph_path(model, config)
    file = model.files.get(path)
    if not isinstance(file, SourceFile):
        raise RepositoryError(f"the model file '{path}' is missing", where=model.name, hint="put the ONNX file there")
    try:
        facts = read_onnx(file.path)
    except SpecError as problem:
        raise RepositoryError(problem.message, where=problem.where, hint=problem.hint) from None
    if facts.findings:
        raise RepositoryError("\n".join(map(str, facts.findings)), where=model.name)
    return facts


def _fill(item: ModelInput | ModelOutput, tensor: OnnxTensor, max_batch_size: int) -> None:
    from tritonsmith.generator.inspect.onnx import triton_dims

    dims, is_scalar = triton_dims(tensor, max_batch_size)
    item.name = tensor.name
    item.dims.extend(dims)
    if tensor.datatype is not None:
        item.data_type = tensor.datatype.number  # type: ignore[assignment]
    if is_scalar:
        item.reshape.SetInParent()
