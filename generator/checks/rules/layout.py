"""Whether each model folder is called, divided and filled as Triton looks for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from tritonsmith.generator.catalog.backends import BACKENDS
from tritonsmith.generator.checks.case import Case, ModelCase
from tritonsmith.generator.checks.registry import Stage, check, check_case
from tritonsmith.generator.findings import Finding, Phase, error, warning
from tritonsmith.generator.fixes import AddFile, SetField
from tritonsmith.generator.repository.complete import first_version
from tritonsmith.generator.repository.core import Model
from tritonsmith.generator.repository.names import (
    CONFIG_FILE,
    NEWEST_VERSION,
    is_plain_name,
    taken_version,
    top_folders,
    versions_of,
)
from tritonsmith.generator.repository.walk import NEITHER

# Backends whose models are a file in the version's folder, called by default_model_filename.
_OF_ONE_FILE = frozenset({*BACKENDS, "tensorflow"})
_DEAD = ("a link to nothing", "a link to itself")
# Of these Triton asks whether they are folders, to tell the backend. Source: core: model_config_utils.cc.
_TOLD_BY_FILE = frozenset({"model.savedmodel", "model.graphdef", "model.plan", "model.pt"})
_MEANT_AS_VERSION = re.compile(r"0+[0-9]+|[vV](?:er(?:sion)?)?[-_. ]?[0-9]+|version|latest")


@check(
    "TS201",
    "a model has a version to load",
    triton="at least one version must be available under the version policy of model '{name}'",
    stage=Stage.CREATE,
)
def versions_exist(model: ModelCase) -> Iterator[Finding]:
    """Triton refuses a model without one, an ensemble too; git and object stores drop empty folders.

    A version policy that chooses none of the folders ends the same way.

    Source: core: model_lifecycle.cc (VersionsToLoad, AsyncLoad).
    """
    if model.versions:
        return
    found = versions_of(model.model)
    if any(_is_beyond(folder) for folder in top_folders(model.model)):
        return  # TS210
    if not found:
        hint = f"add {model.name}/1/ (with a file in it, such as .gitkeep, for an ensemble)"
        fix = AddFile("1/.gitkeep") if model.is_ensemble else None  # an empty folder hangs a Python model
        likely = sorted(folder for folder in top_folders(model.model) if _MEANT_AS_VERSION.fullmatch(folder))
        message = (
            f"the model has no version folder; {likely[0]}/ is none" if likely else "the model has no version folder"
        )
        yield model.error("", message, remedy=f"call {likely[0]}/ 1/" if likely else hint, fix=fix)
        return
    there = ", ".join(map(str, found))
    policy = model.config.version_policy
    if policy.WhichOneof("policy_choice") == "latest":
        message, remedy = "the version policy loads the latest 0 versions", "write a number of 1 or more"
        yield model.error("version_policy.latest.num_versions", message, remedy=remedy)
    else:
        asked = ", ".join(map(str, policy.specific.versions)) or "none"
        message = f"the version policy asks for {asked}; there is {there}"
        yield model.error("version_policy.specific", message, remedy=f"name one of {there}")


@check(
    "TS202",
    "a version folder holds the Python model's file",
    phase=Phase.HANG,
    on=("default_model_filename",),
    stage=Stage.INIT,
)
def python_files_exist(model: ModelCase) -> Iterator[Finding]:
    """A Python model without its model.py never finishes loading: up to 26.x only kill -9 ends that server.

    The file is looked for in the folder that has the version's number as its name: of 1abc, which Triton takes for
    version 1, in 1.

    Source: python_backend: python_be.cc; server#8766.
    """
    if model.config.backend != "python":
        return
    name = model.config.default_model_filename
    for version in model.versions:
        if _path(version, name) not in model.model.files and not _is_found_elsewhere(model, version, name):
            yield _missing_file(model, version, name)


@check("TS206", "a version folder holds the model's file", on=("default_model_filename",))
def model_files_exist(model: ModelCase) -> Iterator[Finding]:
    """Backends open default_model_filename, or what cc_model_filenames has for the GPU, in the version's folder.

    The embedded server's stand-ins of the C++ backends may load without it; requests fail then.

    Source: onnxruntime_backend, tensorrt_backend, pytorch_backend, openvino_backend: LoadModel.
    """
    config = model.config
    if config.backend == "python" or config.backend not in _OF_ONE_FILE or config.runtime == "model.py":
        return
    names = [config.default_model_filename, *config.cc_model_filenames.values()]
    phase = Phase.REQUEST if model.target.is_embedded else Phase.LOAD
    for version in model.versions:
        paths = [_path(version, name) for name in names]
        if not any(path in model.model.files or path in model.model.folders for path in paths):
            yield replace(_missing_file(model, version, names[0]), phase=phase)


@check(
    "TS207",
    "a Python model's file is a module of its version folder",
    triton="ModuleNotFoundError: No module named '{name}'{alone}",
    on=("default_model_filename",),
    stage=Stage.INIT,
)
def python_files_are_modules(model: ModelCase) -> Iterator[Finding]:
    """Python imports it by its name without the last three letters: a folder, a pipe, a path that climbs out is none.

    Source: python_backend: pb_stub.cc (Stub::StubSetup).
    """
    if model.config.backend != "python":
        return
    name = model.config.default_model_filename
    for version in model.versions:
        path = _path(version, name)
        if path in model.model.folders or model.model.faults.get(path) == NEITHER:
            what = "a folder" if path in model.model.folders else NEITHER
            yield model.error("", f"{version}/{name} is {what}", remedy=f"put the Python file at {version}/{name}")
        elif _is_found_elsewhere(model, version, name):
            message = f"default_model_filename '{name}' is not in the version's folder"
            yield model.error("default_model_filename", message, remedy=f"move the file into {model.name}/{version}/")
        elif path in model.model.files and not _is_module(name):
            message = f"default_model_filename '{name}' is no module's name"
            yield model.error("default_model_filename", message, remedy="a plain name with .py at its end")


def _is_module(name: str) -> bool:
    """Whether Triton imports a file of this name: as `1.<name without its last three>`, if it ends like .py."""
    is_imported = name[-1:] in (".", "p", "y") and "/" not in name
    return not is_imported or (name.endswith(".py") and "." not in name[:-3])


def _is_found_elsewhere(model: ModelCase, version: int, name: str) -> bool:
    """Whether the path leads to something, though not to a file in the version's folder."""
    from tritonsmith.generator.checks.rules.places import Lies, what_lies_at

    path = _path(version, name)
    if path in model.model.folders or model.model.faults.get(path) == NEITHER:
        return True
    return ".." in name and what_lies_at(model.case, model.model, path)[0] in (Lies.FILE, Lies.FOLDER)


def _path(version: int, name: str) -> str:
    """Return where backends look for a file of a version, whose number they take as one without a sign."""
    return f"{version % 2**64}/{name}"


def _missing_file(model: ModelCase, version: int, name: str) -> Finding:
    where = version % 2**64
    meant = [folder for folder in top_folders(model.model) if taken_version(folder) == version]
    if meant and str(where) not in meant:
        message = f"the folder {meant[0]}/ is taken for version {version}, whose {name} is looked for in {where}/"
        return model.error("", message, remedy=f"call the folder {abs(version) or 1}/")
    written = model.model.config is not None and model.model.config.default_model_filename
    message = f"version {version} has no {name}, which backend {model.config.backend} loads"
    return model.error(
        "default_model_filename" if written else "", message, remedy=f"add {model.name}/{version}/{name}"
    )


@check(
    "TS203",
    "a model is called like its folder",
    triton="unexpected directory name '{name}' for model '{name}', directory name must equal model name",
    stage=Stage.POLL,
)
def names_match(model: ModelCase) -> Iterator[Finding]:
    """Triton knows a model by its folder, so a configuration that names another is taken for a mistake.

    Source: core: model_repository_manager.cc (InitializeModelInfo).
    """
    if model.config.name != model.name:
        message = f"the configuration names '{model.config.name}', the folder is '{model.name}'"
        yield model.error("name", message, remedy="leave the name out", fix=SetField("name", f'"{model.name}"'))


@check_case(
    "TS208",
    "a model's name can be asked for",
    triton="failed to poll model '{encoded}': model not found in any model repository.",
    stage=Stage.POLL,
)
def names_are_plain(case: Case) -> Iterator[Finding]:
    """Triton does not decode its routes: what a client must percent-encode reaches no model over HTTP.

    Over gRPC a Python model whose name has a blank hangs up to 25.x, and is refused later: its process is started
    through a shell.

    Source: server: http_server.cc; python_backend: stub_launcher.cc ("Invalid stub name").
    """
    for model in case.repository.models.values():
        if "" in model.faults:
            yield case.about(
                model, error(f"the model's folder is {model.faults['']}", remedy="mend it, or take it away")
            )
        elif not is_plain_name(model.name.replace("~", "_")):
            message = f"the name '{model.name}' has more than letters, digits, '_', '-' and '.'"
            yield case.about(model, error(message, remedy="rename the folder"))


@check("TS209", "a version's folder is called by its number")
def version_folders_are_numbers(model: ModelCase) -> Iterator[Finding]:
    """Triton reads a number from the beginning of the name: 1abc and 1.5 are version 1, whose files are in 1/.

    A name with leading zeros, or with a letter before the number, is passed over.

    Source: core: model_lifecycle.cc (VersionsToLoad).
    """
    for folder in top_folders(model.model):
        if folder.isdigit() and folder[0] != "0":
            continue
        version = taken_version(folder)
        if version is None:
            if _MEANT_AS_VERSION.fullmatch(folder) and model.versions:
                yield model.warning("", f"{folder}/ is no version to Triton", remedy="call it by its number alone")
        elif str(version) != folder or version < 0:
            message = f"the folder '{folder}' is taken for version {version}, whose files are looked for in {version}/"
            yield model.warning("", message, remedy="call it by its number alone, or put another letter first")


@check_case(
    "TS210",
    "a version's number is below 2^63",
    phase=Phase.CRASH,
    stage=Stage.CREATE,
)
def version_numbers_fit(case: Case) -> Iterator[Finding]:
    """The exception of std::stoll is not caught: the server ends at once, also where the policy would not load it.

    Source: core: model_lifecycle.cc (VersionsToLoad).
    """
    for model in case.repository.models.values():
        for folder in top_folders(model):
            if _is_beyond(folder):
                message = f"the folder {folder} is a number greater than {NEWEST_VERSION}"
                yield case.about(model, error(message, remedy="rename it"))


def _is_beyond(folder: str) -> bool:
    return len(folder) >= 19 and abs(taken_version(folder) or 0) > NEWEST_VERSION


@check("TS211", "an ensemble's version folder is kept by git")
def ensemble_folders_are_kept(model: ModelCase) -> Iterator[Finding]:
    """Git and object stores keep no empty folders; without one Triton refuses the ensemble (TS201)."""
    if not model.is_ensemble:
        return
    for version in model.versions[-1:]:
        if str(version) in model.model.folders and not any(
            path.startswith(f"{version}/") for path in (*model.model.files, *model.model.folders)
        ):
            yield model.warning(
                "",
                f"the version folder {version}/ is empty: git and object stores do not keep it",
                remedy=f"put a file into it, such as {version}/.gitkeep",
                fix=AddFile(f"{version}/.gitkeep"),
            )


@check("TS212", "the versions of the policy are there", on=("version_policy",))
def chosen_versions_exist(model: ModelCase) -> Iterator[Finding]:
    """Of a specific policy Triton loads the versions that are there, and says of the others a line in its log alone.

    Source: core: model_lifecycle.cc (VersionsToLoad).
    """
    if not model.versions:
        return
    for version in model.config.version_policy.specific.versions:
        if version not in model.versions:
            message = f"the version policy asks for version {version}, which is not there"
            yield model.warning("version_policy.specific", message, remedy=f"add {model.name}/{version}/")


@check("TS213", "a file name that is set is read", on=("default_model_filename", "cc_model_filenames"))
def file_names_are_read(model: ModelCase) -> Iterator[Finding]:
    """The Python and the TensorRT-LLM backend choose no file by the GPU, and TensorRT-LLM's takes its from parameters.

    Source: tensorrtllm_backend: model.md (gpt_model_path); python_backend: python_be.cc.
    """
    config, written = model.config, model.model.config
    if written is None or config.backend not in ("python", "tensorrtllm"):
        return
    fields = ("cc_model_filenames",) + ("default_model_filename",) * (config.backend == "tensorrtllm")
    for field in fields:
        if getattr(written, field):
            message = f"backend {config.backend} does not read {field}"
            yield model.warning(field, message, remedy="leave it out")


@check_case(
    "TS205",
    "what lies directly in a model's folder can be read",
    triton="failed to stat file {path}",
    stage=Stage.POLL,
)
def top_entries_are_readable(case: Case) -> Iterator[Finding]:
    """Triton asks of every entry whether it is a folder; a link that leads nowhere makes the model fail to poll.

    Source: core: filesystem/implementations/local.h (IsDirectory).
    """
    for model in case.repository.models.values():
        for path, fault in model.faults.items():
            if fault in _DEAD and _is_looked_at(model, path):
                yield case.about(model, _faulty(model.name, path, fault))


def _is_looked_at(model: Model, path: str) -> bool:
    """Whether the path of a fault is one that Triton asks of when it polls; the model's own folder is not."""
    folder, _, name = path.rpartition("/")
    if not folder:
        return bool(path)
    config = model.config
    says_nothing = config is None or not (config.backend or config.platform or config.default_model_filename)
    return says_nothing and folder == first_version(model) and name in _TOLD_BY_FILE


@check_case("TS214", "what lies below a model's folder can be read")
def entries_are_readable(case: Case) -> Iterator[Finding]:
    """Deeper down, what cannot be read costs a line in the server's log, until a backend wants it.

    Source: core: model_repository_manager.cc (GetPathModifiedTime).
    """
    for model in case.repository.models.values():
        for path, fault in model.faults.items():
            is_circle = fault.endswith("holds it")
            if path not in ("", CONFIG_FILE) and not is_circle and not (fault in _DEAD and _is_looked_at(model, path)):
                yield case.about(model, replace(_faulty(model.name, path, fault), severity=warning("").severity))


@check_case("TS215", "no links lead in circles", phase=Phase.HANG)
def no_links_in_circles(case: Case) -> Iterator[Finding]:
    """Triton follows links as deep as the system lets it, forty levels: of two in one circle, 2^40 ways.

    Source: core: model_repository_manager.cc (GetPathModifiedTime).
    """
    for model in case.repository.models.values():
        circles = [path for path, fault in model.faults.items() if path and fault.endswith("holds it")]
        for path in circles:
            found = _faulty(model.name, path, model.faults[path])
            yield case.about(model, found if len(circles) > 1 else replace(found, severity=warning("").severity))


def _faulty(model: str, path: str, fault: str) -> Finding:
    return error(f"{model}/{path} is {fault}", remedy="mend it, or take it away")
