"""Whether the server has what executes a model: platform, backend, runtime, repository agents, batch strategy."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import replace

from tritonsmith.generator.catalog.backends import (
    PYTHON_BASED_BACKENDS,
    STANDARD_BACKENDS,
    platforms_of,
    standard_backends,
)
from tritonsmith.generator.checks.case import Case, ModelCase
from tritonsmith.generator.checks.registry import Stage, check, check_case
from tritonsmith.generator.checks.rules.places import Lies, path_in_repository, what_lies_at
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.findings import Finding, error
from tritonsmith.generator.fixes import SetField
from tritonsmith.generator.repository.contents import first_bytes
from tritonsmith.generator.repository.core import File
from tritonsmith.generator.suggest import did_you_mean

_STRATEGY = "TRITON_BATCH_STRATEGY_PATH"
_FOLDERS_TOLD_APART_SINCE = "26.06"  # Source: core: filesystem/api.cc (IsChildPathEscapingParentPath)
_STRATEGY_STAYS_SINCE = "26.06"  # from when it must lie in the model's folder. Source: core: backend_model.cc


@check_case(
    "TS230",
    "a model says which backend serves it, or its files tell",
    triton=(
        "Invalid model name: Could not determine backend for model '{name}' with no backend in model configuration. "
        "Expected model name of the form 'model.<backend_name>'."
    ),
    stage=Stage.POLL,
)
def backends_can_be_told(case: Case) -> Iterator[Finding]:
    """Without a backend Triton looks for model.onnx, model.plan, model.py and their like in the first version folder.

    An ensemble without `platform: "ensemble"` ends here as well.

    Source: core: model_config_utils.cc (AutoCompleteBackendFields).
    """
    for name, found in case.completions.items():
        model = case.repository.models[name]
        if not isinstance(found, RepositoryError) or (model.config is None and not case.target.is_auto_complete):
            continue  # a strict server asks for config.pbtxt before it looks for the backend: TS204
        if model.config is not None and model.config.HasField("ensemble_scheduling"):
            message = "it has ensemble_scheduling but not the platform of an ensemble"
            fix = SetField("platform", '"ensemble"')
            problem = error(message, remedy='add platform: "ensemble"')
            yield case.about(model, replace(problem, fix=fix), "ensemble_scheduling")
        else:
            yield case.about(model, error(found.message, remedy=found.hint))


@check(
    "TS231",
    "a platform is one that names a backend",
    triton="unexpected platform type '{name}' for {name}",
    stage=Stage.POLL,
)
def platforms_are_known(model: ModelCase) -> Iterator[Finding]:
    """With a platform, or a default_model_filename, that Triton knows no backend for, it looks no further.

    Source: core: model_config_utils.cc (ValidateModelConfig).
    """
    config = model.config
    if config.backend or config.platform == "ensemble":
        return
    if not config.platform:
        said = f"no backend is named, and default_model_filename '{config.default_model_filename}' tells none"
        yield model.error("default_model_filename", said, remedy='add backend: "..."')
    elif config.platform in STANDARD_BACKENDS:
        fix = SetField("backend", f'"{config.platform}"')
        said = f"platform '{config.platform}' is the name of a backend"
        yield model.error("platform", said, remedy=f'write backend: "{config.platform}" instead', fix=fix)
    else:
        known = ["ensemble", *(name for backend in STANDARD_BACKENDS for name in _platforms(model, backend))]
        said = f"platform '{config.platform}' names no backend.{did_you_mean(config.platform, known)}"
        yield model.error("platform", said, remedy='name the backend instead: backend: "..."')


@check(
    "TS232",
    "platform and backend are of one kind",
    triton="unexpected 'platform' and 'backend' pair, got:{name}, {name}",
    stage=Stage.POLL,
    on=("backend",),
)
def platform_and_backend_agree(model: ModelCase) -> Iterator[Finding]:
    """TensorFlow, TensorRT, ONNX Runtime and PyTorch have platforms of their own; any other backend takes any platform.

    Source: core: model_config_utils.cc (ValidateModelConfig, GetBackendType, GetBackendTypeFromPlatform).
    """
    config = model.config
    known = _platforms(model, config.backend)
    if not known or config.platform in known or config.platform == "ensemble":
        return
    if not config.platform:  # of TensorFlow's two, none is named, and no file tells
        message = f"backend {config.backend} goes with a platform, and neither it nor a file that tells it is there"
        yield model.error("backend", message, remedy=f'add platform: "{known[-1]}" or "{known[0]}"')
        return
    near = did_you_mean(config.platform, known)
    message = f"platform '{config.platform}' is none of backend {config.backend}"
    yield model.error("platform", f"{message}.{near}" if near else message, remedy="leave the platform out")


@check(
    "TS233",
    "the server has the model's backend",
    triton=("unable to find backend library for backend '{name}', try specifying runtime on the model configuration."),
    on=("backend",),
    stage=Stage.CREATE,
)
def backends_are_there(model: ModelCase) -> Iterator[Finding]:
    """A backend is libtriton_NAME.so in the version's folder, the model's, or the server's backend directory.

    Which backends NVIDIA's images have is known, what others put into theirs is not: there an unknown name is a
    warning, unless it is nearly that of a known one.

    Source: core: backend_model.cc (GetBackendRuntimeLibraryName); server: build.py.
    """
    config, release = model.config, model.target.release.name
    backend = config.backend
    if config.runtime or model.is_ensemble or backend in (known := standard_backends(release)):
        return
    if next(_in_model(model, f"libtriton_{backend}.so"), None) is not None:
        return
    near = did_you_mean(backend, known)
    path = "backend" if model.model.config is not None and model.model.config.backend else ""
    if backend == "ensemble":
        message = "an ensemble is a platform, not a backend"
        fix = SetField("platform", '"ensemble"')
        yield model.error(path, message, remedy='write platform: "ensemble", and leave the backend out', fix=fix)
    elif backend in STANDARD_BACKENDS:
        message = f"Triton {release} no longer has backend {backend}"
        yield model.error(path, message, remedy="serve it with an older release, or convert the model")
    elif near or model.target.is_embedded:
        message = f"there is no backend '{backend}'.{near}"
        yield model.error(path, message, remedy=f"put libtriton_{backend}.so into the model's folder, or name another")
    else:
        message = f"backend '{backend}' is none of NVIDIA's images"
        yield model.warning(path, message, remedy=f"the server needs libtriton_{backend}.so in its backend directory")


@check(
    "TS234",
    "the runtime is a library that is there",
    triton="unable to find backend library '{name}' for model '{name}', searched: ...",
    on=("runtime",),
    stage=Stage.CREATE,
)
def runtimes_are_there(model: ModelCase) -> Iterator[Finding]:
    """`runtime` names a file in the version's folder, the model's, or the backend's: nothing else is tried then.

    On the embedded server standard backends are Python-based ones: of their C++ libraries it has none but Python's.

    Source: core: backend_model.cc (GetBackendLibraryProperties).
    """
    config = model.config
    runtime = config.runtime
    if runtime == "model.py" or model.is_ensemble:
        return
    if next(_in_model(model, runtime), None) is not None or _library_of_server(model, runtime) is not None:
        return
    backend = config.backend
    own = f"libtriton_{backend}.so"
    remedy = "leave the runtime out"
    if runtime == own:
        yield model.error("runtime", f"the embedded server has no {own}, a Python-based backend instead", remedy=remedy)
    elif backend in STANDARD_BACKENDS or model.target.is_embedded:
        yield model.error("runtime", f"there is no runtime '{runtime}' of backend {backend}", remedy=remedy)
    else:
        message = f"runtime '{runtime}' is not in the model's folder"
        yield model.warning("runtime", message, remedy=f"the server needs it in its folder of backend {backend}")


@check(
    "TS235",
    "a runtime of model.py is a Python-based backend",
    triton="unable to find Python backend based backend library '{name}' for model '{name}', searched: '{path}'",
    on=("runtime",),
    stage=Stage.CREATE,
)
def python_runtimes_are_there(model: ModelCase) -> Iterator[Finding]:
    """`runtime: "model.py"` is the backend's own model.py in the server's backend directory, not the model's.

    Source: core: backend_model.cc (GetBackendLibraryProperties).
    """
    backend = model.config.backend
    if model.config.runtime != "model.py" or model.is_ensemble:
        return
    if backend == "python" or (
        backend in STANDARD_BACKENDS and not model.target.is_embedded and backend not in PYTHON_BASED_BACKENDS
    ):
        message = f"backend {backend} is no Python-based one: there is no {backend}/model.py among the server's"
        yield model.error("runtime", message, remedy="leave the runtime out")


@check(
    "TS236",
    "a runtime stays in its folder",
    triton="backend library name '{path}' escapes backend directory '{path}', for model '{name}', "
    "check model config runtime field",
    on=("runtime",),
    stage=Stage.CREATE,
)
def runtimes_stay(model: ModelCase) -> Iterator[Finding]:
    """A library that is found through `..` outside the folder it is looked for in is refused, wherever that is.

    These are the version's folder, the model's and the backend's: `../python/libtriton_python.so` is in the last of
    backend python itself, and outside any other's.

    Source: core: backend_model.cc (GetBackendLibraryProperties, IsChildPathEscapingParentPath).
    """
    runtime = model.config.runtime
    if ".." not in runtime or model.is_ensemble:
        return
    own = next(_in_model(model, runtime), None)
    if own is not None:
        folder = posixpath.join(model.name, own).rstrip("/")
        library: str | None = posixpath.normpath(posixpath.join(folder, runtime))
    else:
        folder, library = model.config.backend, _library_of_server(model, runtime)
    # Before 26.06 a folder whose name begins with that of the other was not told from one in it.
    inside = folder if model.target.release.name < _FOLDERS_TOLD_APART_SINCE else f"{folder}/"
    if library is not None and not library.startswith(inside):
        message = f"runtime '{runtime}' climbs out of the folder in which it is found, {folder}"
        yield model.error("runtime", message, remedy="put the library into the model's folder, and name it alone")


@check(
    "TS242",
    "libraries in a model's folder can be loaded",
    triton="unable to load shared library: ...",
    stage=Stage.CREATE,
)
def libraries_are_libraries(model: ModelCase) -> Iterator[Finding]:
    """What is found there under the name of the backend's library, or of a batch strategy, is loaded, whatever it is.

    Source: core: shared_library.cc (OpenLibraryHandle).
    """
    if model.is_ensemble or not any(path.endswith(".so") for path in model.model.files):
        return
    config = model.config
    wanted = [config.runtime or f"libtriton_{config.backend}.so"]
    if config.runtime == "model.py":
        wanted = ["libtriton_python.so"]
    if _STRATEGY not in config.parameters and not config.HasField("sequence_batching"):
        wanted.append("batchstrategy.so")
    paths = [posixpath.normpath(posixpath.join(next(_in_model(model, name), ""), name)) for name in wanted]
    if (strategy := _strategy_of(model)) and path_in_repository(model, strategy) == model.name:
        paths.append(strategy.partition(f"/{model.name}/")[2])
    for path in paths:
        if path in model.model.files and not _is_library(model.model.files[path]):
            message = f"{path} is no library"
            yield model.error("", message, remedy="put the library there, or take the file away")


@check(
    "TS238",
    "no batch strategy beside a sequence batcher",
    triton="TRITON_BATCH_STRATEGY_PATH cannot be specified with sequence batcher, using default batching strategy",
    on=("sequence_batching",),
    stage=Stage.CONFIG,
)
def sequences_have_no_strategy(model: ModelCase) -> Iterator[Finding]:
    """Sequences are batched slot by slot, so Triton leaves a custom batch strategy out, and says so in a warning.

    Source: core: backend_model.cc (TritonModel::Create).
    """
    if _STRATEGY in model.config.parameters:
        message = f"{_STRATEGY} is for the dynamic batcher; the model has a sequence batcher"
        yield model.error(f"parameters.{_STRATEGY}", message, remedy="leave the parameter out")


@check(
    "TS239",
    "the batch strategy's library is there",
    triton="Batching library path not found: {path}",
    on=("parameters",),
    stage=Stage.CONFIG,
)
def strategies_are_there(model: ModelCase) -> Iterator[Finding]:
    """The path is the server's: absolute, or from where it was started. A strategy can as well be batchstrategy.so.

    Source: core: backend_model.cc (TritonModel::Create).
    """
    path = _strategy_of(model)
    if path is None or path_in_repository(model, path) is not None:
        return
    message = f"there is no batch strategy '{path}' in the repository"
    remedy = "call it batchstrategy.so, put it into the model's folder, and leave the parameter out"
    if path.startswith("/") and not model.target.is_embedded:
        if model.target.release.name < _STRATEGY_STAYS_SINCE:
            yield model.warning(f"parameters.{_STRATEGY}", message, remedy=remedy)
    else:
        yield model.error(f"parameters.{_STRATEGY}", message, remedy=remedy)


@check(
    "TS240",
    "the batch strategy's library is in the model's folder",
    triton="Batching library path escapes model repository.",
    on=("parameters",),
    stage=Stage.CONFIG,
)
def strategies_stay(model: ModelCase) -> Iterator[Finding]:
    """Since 26.06 a strategy outside the model's folder is refused.

    Source: core: backend_model.cc (TritonModel::Create, IsChildPathEscapingParentPath).
    """
    path = _strategy_of(model)
    if path is None or not path.startswith("/") or model.target.release.name < _STRATEGY_STAYS_SINCE:
        return
    if path_in_repository(model, path) != model.name:
        remedy = "put it into the model's folder"
        yield model.error(f"parameters.{_STRATEGY}", f"'{path}' is outside the model's folder", remedy=remedy)


def _is_library(file: File) -> bool:
    try:
        return first_bytes(file, 4) == b"\x7fELF"
    except OSError:
        return False


def _strategy_of(model: ModelCase) -> str | None:
    config = model.config
    if _STRATEGY not in config.parameters or config.HasField("sequence_batching") or model.is_ensemble:
        return None
    return config.parameters[_STRATEGY].string_value


def _library_of_server(model: ModelCase, runtime: str) -> str | None:
    """Return which library of the server's a runtime names from its backend's folder, as in python/libtriton_python.so.

    None where it names none that is known to be there. On the embedded server that is Python's alone.
    """
    parts = [model.config.backend]
    for part in runtime.split("/"):
        if part == ".." and len(parts) == 1:
            parts.pop()
        elif part == "..":
            return None  # out of what is no folder, or of all backends' folder
        elif part not in ("", "."):
            parts.append(part)
    if len(parts) != 2 or parts[1] != f"libtriton_{parts[0]}.so":
        return None
    is_there = parts[0] in (model.config.backend, *STANDARD_BACKENDS) and not model.target.is_embedded
    return "/".join(parts) if is_there or parts[0] == "python" else None


def _in_model(model: ModelCase, library: str) -> Iterator[str]:
    """Yield the folders of a model in which a library of this name is found: a version's first, then its own."""
    for folder in (*map(str, model.versions[-1:]), ""):
        if what_lies_at(model.case, model.model, posixpath.join(folder, library))[0] in (Lies.FILE, Lies.FOLDER):
            yield folder


def _platforms(model: ModelCase, backend: str) -> tuple[str, ...]:
    return platforms_of(backend, model.target.release.name)
