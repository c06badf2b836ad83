"""Whether each model folder holds what its backend looks for."""

from __future__ import annotations

from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.catalog.backends import BACKENDS
from tritonsmith.generator.checks.case import Case
from tritonsmith.generator.checks.registry import check
from tritonsmith.generator.findings import Finding, error
from tritonsmith.generator.repository.names import versions_of


@check("TS201", "a model has a version folder")
def versions_exist(case: Case) -> Iterator[Finding]:
    """Triton refuses a model without one, an ensemble too; git and object stores drop empty folders.

    Source: core: model_lifecycle.cc ("at least one version must be available under the version policy").
    """
    for model, _ in case.models():
        if not versions_of(model):
            hint = f"add {model.name}/1/ (with a file in it, such as .gitkeep, for an ensemble)"
            yield error("the model has no version folder", case.origin(model), key=model.name, remedy=hint)


@check("TS202", "a version folder holds the model's file")
def model_files_exist(case: Case) -> Iterator[Finding]:
    """A Python model without its model.py never finishes loading: up to 26.x only kill -9 ends that server.

    Source: python_backend: python_be.cc; server#8766.
    """
    for model, config in case.models():
        name = config.default_model_filename or _default_file(config)
        for version in versions_of(model) if name else ():
            if not any(path == f"{version}/{name}" or path.startswith(f"{version}/{name}/") for path in model.files):
                message = f"version {version} has no {name}, which backend {config.backend} loads"
                yield error(message, case.origin(model), key=model.name, remedy=f"add {model.name}/{version}/{name}")


@check("TS203", "a model is called like its folder")
def names_match(case: Case) -> Iterator[Finding]:
    """Source: core: model_repository_manager.cc ("unexpected directory name")."""
    for model, config in case.models():
        if config.name != model.name:
            message = f"the configuration names '{config.name}', the folder is '{model.name}'"
            yield error(message, case.origin(model, "name"), key=model.name, remedy="leave the name out")


@check("TS204", "the files that a configuration names are there")
def named_files_exist(case: Case) -> Iterator[Finding]:
    """Label, warm-up and initial state files are read at load: "failed to open text file".

    Source: core: model.cc (labels), backend_model_instance.cc (warmup/), sequence_state.cc (initial_state/).
    """
    for model, config in case.models():
        for path, name in _named_files(config):
            if name not in model.files:
                hint = f"add {model.name}/{name}, in a spec with files: {{{name}: ...}}"
                yield error(f"there is no {name}", case.origin(model, path), key=f"{model.name}.{path}", remedy=hint)


@check("TS205", "what lies in a model's folder can be read")
def entries_are_readable(case: Case) -> Iterator[Finding]:
    """Triton looks at every entry; a link that leads nowhere makes the model fail to poll, one in a circle hangs it.

    Source: core: filesystem/implementations/local.h ("failed to stat file").
    """
    for model in case.repository.models.values():
        for path, fault in model.faults.items():
            name = f"{model.name}/{path}".rstrip("/")
            yield error(f"{name} is {fault}", case.origin(model), key=model.name, remedy="mend it, or take it away")


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
