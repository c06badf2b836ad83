"""Whether each model folder holds what its backend looks for."""

from __future__ import annotations

from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.catalog.backends import BACKENDS
from tritonsmith.generator.checks.case import Case, ModelCase
from tritonsmith.generator.checks.registry import Stage, check, check_case
from tritonsmith.generator.findings import Finding, Phase, error
from tritonsmith.generator.fixes import AddFile, SetField
from tritonsmith.generator.repository.names import versions_of


@check(
    "TS201",
    "a model has a version folder",
    triton="at least one version must be available under the version policy of model '{name}'",
)
def versions_exist(model: ModelCase) -> Iterator[Finding]:
    """Triton refuses a model without one, an ensemble too; git and object stores drop empty folders.

    Source: core: model_lifecycle.cc ("at least one version must be available under the version policy").
    """
    if not versions_of(model.model):
        hint = f"add {model.name}/1/ (with a file in it, such as .gitkeep, for an ensemble)"
        yield model.error("", "the model has no version folder", remedy=hint, fix=AddFile("1/.gitkeep"))


@check("TS202", "a version folder holds the model's file", phase=Phase.HANG)
def model_files_exist(model: ModelCase) -> Iterator[Finding]:
    """A Python model without its model.py never finishes loading: up to 26.x only kill -9 ends that server.

    Source: python_backend: python_be.cc; server#8766.
    """
    name = model.config.default_model_filename or _default_file(model.config)
    for version in versions_of(model.model) if name else ():
        path = f"{version}/{name}"
        if path not in model.model.files and path not in model.model.folders:
            message = f"version {version} has no {name}, which backend {model.config.backend} loads"
            yield model.error("", message, remedy=f"add {model.name}/{path}")


@check(
    "TS203",
    "a model is called like its folder",
    triton="unexpected directory name '{name}' for model '{name}', directory name must equal model name",
    stage=Stage.POLL,
)
def names_match(model: ModelCase) -> Iterator[Finding]:
    """Source: core: model_repository_manager.cc (InitializeModelInfo)."""
    if model.config.name != model.name:
        message = f"the configuration names '{model.config.name}', the folder is '{model.name}'"
        yield model.error("name", message, remedy="leave the name out", fix=SetField("name", f'"{model.name}"'))


@check(
    "TS204",
    "the files that a configuration names are there",
    triton="failed to open text file for read {path}: No such file or directory",
    on=("output", "model_warmup", "sequence_batching"),
)
def named_files_exist(model: ModelCase) -> Iterator[Finding]:
    """Label, warm-up and initial state files are read at load: "failed to open text file".

    Source: core: model.cc (labels), backend_model_instance.cc (warmup/), sequence_state.cc (initial_state/).
    """
    for path, name in _named_files(model.config):
        if name not in model.model.files:
            hint = f"add {model.name}/{name}, in a spec with files: {{{name}: ...}}"
            yield model.error(path, f"there is no {name}", remedy=hint)


@check_case("TS205", "what lies in a model's folder can be read")
def entries_are_readable(case: Case) -> Iterator[Finding]:
    """Triton looks at every entry; a link that leads nowhere makes the model fail to poll, one in a circle hangs it.

    Source: core: filesystem/implementations/local.h ("failed to stat file").
    """
    for model in case.repository.models.values():
        for path, fault in model.faults.items():
            name = f"{model.name}/{path}".rstrip("/")
            yield case.about(model, error(f"{name} is {fault}", remedy="mend it, or take it away"))


def _named_files(config: ModelConfig) -> Iterator[tuple[str, str]]:
    """Yield the field and the file for every file that a configuration names."""
    for index, output in enumerate(config.output):
        if output.label_filename:
            yield f"output[{index}].label_filename", output.label_filename
    for index, sample in enumerate(config.model_warmup):
        for name, given in sample.inputs.items():
            if given.input_data_file:
                yield f"model_warmup[{index}].inputs.{name}", f"warmup/{given.input_data_file}"
    for index, state in enumerate(config.sequence_batching.state):
        for initial in state.initial_state:
            if initial.data_file:
                yield f"sequence_batching.state[{index}].initial_state", f"initial_state/{initial.data_file}"


def _default_file(config: ModelConfig) -> str:
    row = BACKENDS.get(config.backend)
    return row.model_file if row else ""
