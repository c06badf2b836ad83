"""Where the engine's and the tokenizer's files lie in the repository, and the paths by which the models name them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tritonsmith.ensembles.blueprint import Use
from tritonsmith.ensembles.text_generation.settings import Settings
from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.findings import Finding, Place, error
from tritonsmith.generator.inspect.huggingface import read_tokenizer
from tritonsmith.generator.spec.document import Engine
from tritonsmith.generator.spec.paths import folder_problem

# C++ wants an absolute path, and /models is where NVIDIA's containers see the repository. On the laptop the backend
# looks such a path up in its own model folder.
CONTAINER_ROOT = "/models"
# Which ids end and pad a text stands beside the tokenizer's own files.
_BESIDE_TOKENIZER = ("generation_config.json", "config.json")


@dataclass(frozen=True)
class Placed:
    """A path as a model names it, and the files to be copied for it: path in the model's folder -> file."""

    path: str
    files: Mapping[str, str] = field(default_factory=dict)


def place_engine(engine: Engine, model: str) -> Placed:
    """Return where a model finds its engine."""
    if engine.place == "mounted" or engine.path is None:
        return Placed(engine.at)
    if engine.place == "link":
        return Placed(str(engine.path.resolve()))
    folder = "1/engine"
    files = {f"{folder}/{path.relative_to(engine.path).as_posix()}": str(path) for path in _files(engine.path)}
    return Placed(f"{CONTAINER_ROOT}/{model}/{folder}", files)


def place_tokenizer(settings: Settings, use: Use) -> Placed:
    """Return where the models with a tokenizer find it: beside their model.py unless it lies on the server."""
    if settings.tokenizer_dir:
        return Placed(settings.tokenizer_dir)
    folder = _tokenizer_folder(settings, use)
    names = _tokenizer_files(folder, []) if folder and not folder_problem(folder, str(folder)) else ()
    return Placed("tokenizer", {f"1/tokenizer/{name}": str(folder / name) for name in names if folder})


def tokenizer_findings(settings: Settings, use: Use) -> Iterator[Finding]:
    """Yield what keeps the models from finding a tokenizer."""
    folder = _tokenizer_folder(settings, use)
    found: list[Finding] = []
    hint = "with: {tokenizer: FOLDER}, one that holds tokenizer.json; or tokenizer_dir: a path on the server"
    if settings.tokenizer_dir:
        if settings.tokenizer:
            yield use.error(
                "tokenizer_dir excludes tokenizer: it says that nothing is to be copied", "with", "tokenizer"
            )
        if not settings.tokenizer_dir.startswith("/"):
            message = f"'{settings.tokenizer_dir}' is not an absolute path"
            yield use.error(message, "with", "tokenizer_dir", hint="tokenizer: FOLDER copies one from this machine")
    elif folder is None:
        yield use.error("the engine is not on this machine, and nothing says where the tokenizer is", "with", hint=hint)
    elif settings.tokenizer and (problem := folder_problem(folder, settings.tokenizer)):
        yield use.error(problem, "with", "tokenizer", hint=hint)
    elif not _tokenizer_files(folder, found):
        where = ("with", "tokenizer") if settings.tokenizer else ("engine",)
        yield use.error(f"'{folder.name}' holds no tokenizer (no tokenizer.json)", *where, hint=hint)
    yield from found


def _tokenizer_folder(settings: Settings, use: Use) -> Path | None:
    if settings.tokenizer:
        return use.folder / settings.tokenizer
    return use.engine.path if use.engine else None


def _tokenizer_files(folder: Path, findings: list[Finding]) -> tuple[str, ...]:
    """Return the names of a tokenizer's files in a folder, none where it holds no vocabulary."""
    try:
        tokenizer = read_tokenizer(folder, findings)
    except SpecError as problem:  # tokenizer_config.json cannot be read
        findings.append(error(problem.message, Place(problem.where), remedy=problem.hint))
        return ()
    if not tokenizer.has_vocabulary:
        return ()
    return (*tokenizer.files, *(name for name in _BESIDE_TOKENIZER if (folder / name).is_file()))


def _files(folder: Path) -> list[Path]:
    """Return the files below a folder but hidden ones (a clone's .git, .cache of a download)."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
