"""Whether the files that a configuration names are there: labels, samples of warm-up, initial states."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith.generator.checks.case import Case, ModelCase
from tritonsmith.generator.checks.registry import Stage, check, check_case
from tritonsmith.generator.checks.rules.places import Lies, what_lies_at
from tritonsmith.generator.findings import Finding, Phase, Place, error
from tritonsmith.generator.repository.names import CONFIG_FILE

_LABELS_STAY_SINCE = "26.02"  # Source: core#465: model.cc
_NAMING = frozenset({"output", "model_warmup", "sequence_batching"})


@check_case(
    "TS204",
    "the files that a configuration names are there",
    triton="failed to open text file for read {path}: No such file or directory",
    stage=Stage.CONFIG,
)
def named_files_exist(case: Case) -> Iterator[Finding]:
    """Label, warm-up and initial state files are read at load; config.pbtxt itself by a strict server.

    Source: core: model.cc (labels), backend_model_instance.cc (warmup/), sequence_state.cc (initial_state/),
    model_repository_manager.cc (InitializeModelInfo).
    """
    if not case.target.is_auto_complete:
        for model in case.repository.models.values():
            if model.config is None and not model.findings and not model.text:
                place = Place(f"{model.name}/{CONFIG_FILE}")
                message = "there is no config.pbtxt, and the server is started without auto-complete"
                yield case.about(model, error(message, place, remedy="write one, or leave auto-complete on"))
    for found in case.models():
        if not found.fields.isdisjoint(_NAMING):
            yield from _missing(found)


def _missing(model: ModelCase) -> Iterator[Finding]:
    for path, name, is_label in _named_files(model):
        lies, is_inside = what_lies_at(model.case, model.model, name)
        if is_label and not is_inside and model.target.release.name >= _LABELS_STAY_SINCE:
            continue  # TS216
        if lies is Lies.OUTSIDE:
            yield model.error(path, f"'{name}' is outside the repository", remedy=f"put it into {model.name}/")
        elif lies is Lies.NOTHING:
            hint = f"add {model.name}/{name}, in a spec with files: {{{name}: ...}}"
            yield model.error(path, f"there is no {name}", remedy=hint)


@check(
    "TS216",
    "a label file is in the model's folder",
    triton="label file path '{path}' for output '{name}' in model '{name}' is outside model directory",
    on=("output",),
    stage=Stage.CONFIG,
)
def labels_stay(model: ModelCase) -> Iterator[Finding]:
    """Since 26.02 a label file outside the model's folder is refused.

    Source: core#465: model.cc (Model::Init).
    """
    if model.target.release.name < _LABELS_STAY_SINCE:
        return
    for index, output in enumerate(model.config.output):
        name = output.label_filename
        if ".." in name and not what_lies_at(model.case, model.model, name)[1]:
            message = f"the label file '{name}' is outside the model's folder"
            yield model.error(f"output[{index}].label_filename", message, remedy=f"put it into {model.name}/")


@check(
    "TS217",
    "the files that a configuration names are no folders",
    phase=Phase.CRASH,
    on=tuple(sorted(_NAMING)),
    stage=Stage.CONFIG,
)
def named_files_are_no_folders(model: ModelCase) -> Iterator[Finding]:
    """The size that the system tells of a folder is no text's: the exception is not caught, and the server ends.

    Source: core: filesystem/implementations/local.h (ReadTextFile).
    """
    for path, name, is_label in _named_files(model):
        lies, is_inside = what_lies_at(model.case, model.model, name)
        if lies is Lies.FOLDER and not (is_label and not is_inside and model.target.release.name >= _LABELS_STAY_SINCE):
            yield model.error(path, f"'{name}' is a folder", remedy="name the file in it")


def _named_files(model: ModelCase) -> Iterator[tuple[str, str, bool]]:
    """Yield the field, the file from the model's folder, and whether it holds labels, for each that is read at load."""
    config, text = model.config, model.model.text
    if text and "_file" not in text:  # none of the three fields is written
        return
    for index, output in enumerate(config.output):
        if output.label_filename:
            yield f"output[{index}].label_filename", output.label_filename, True
    groups = config.instance_group
    is_warmed_up = not groups or not all(group.passive for group in groups)
    for index, sample in enumerate(config.model_warmup if is_warmed_up else ()):
        for name, given in sample.inputs.items() if sample.batch_size else ():
            if given.WhichOneof("input_data_type") == "input_data_file":
                yield f"model_warmup[{index}].inputs.{name}", f"warmup/{given.input_data_file}", False
    for index, state in enumerate(config.sequence_batching.state):
        for initial in state.initial_state:
            if initial.WhichOneof("state_data") == "data_file":
                yield f"sequence_batching.state[{index}].initial_state", f"initial_state/{initial.data_file}", False
