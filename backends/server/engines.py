"""Whether the TensorRT-LLM in NVIDIA's container can load a repository's LLMs."""

from __future__ import annotations

from pathlib import Path

from tritonsmith.generator.catalog.releases import RELEASES
from tritonsmith.generator.catalog.tensorrtllm.versions import parse_version
from tritonsmith.generator.errors import RepositoryError, SpecError, UsageError
from tritonsmith.generator.inspect.checkpoint import is_checkpoint
from tritonsmith.generator.inspect.json_file import read_json
from tritonsmith.generator.manifests.launch import is_engine_model, llm_document
from tritonsmith.generator.manifests.server import MODELS
from tritonsmith.generator.repository.core import Model, Repository

_FOLDERS = ("gpt_model_path", "encoder_model_path")  # parameters that name an engine
BUILD_SCRIPT = "engine.sh"  # in the folder of a model whose engine is still to be built


def require_same_tensorrt_llm(repository: Repository, release: str) -> None:
    """Refuse a release whose TensorRT-LLM is another one than that for which the repository was written.

    An engine is loaded by the version alone that built it; the tensors of its models and of the LLM API's change with
    minor versions.

    Raises: UsageError.
    """
    engines = [model.name for model in repository.models.values() if is_engine_model(model)]
    texts = [model.name for model in repository.models.values() if llm_document(model)]
    written_for = repository.settings.get("triton", release)
    if not (engines or texts) or written_for not in RELEASES:
        return
    ours, theirs = (RELEASES[name].tensorrt_llm for name in (written_for, release))
    if ours != theirs if engines else parse_version(ours) != parse_version(theirs):
        raise UsageError(
            f"{(engines or texts)[0]} was written for TensorRT-LLM {ours or 'unknown'} (Triton {written_for}), and the "
            f"container of {release} has {theirs or 'none that is known'}",
            hint=f'serve it with --triton {written_for}, or build it with triton: "{release}"',
        )


def require_engines(repository: Repository, root: Path, image: str) -> None:
    """Refuse a model whose engine is none yet: NVIDIA's C++ backend loads engines alone. `root` holds the repository.

    Raises: RepositoryError.
    """
    for model in filter(is_engine_model, repository.models.values()):
        for folder in _engine_folders(model, root):
            if next(folder.glob("rank*.engine"), None) is None and (kind := _kind(folder)):
                script = root / model.name / BUILD_SCRIPT
                build = f"{script} (its first lines say how)" if script.is_file() else f"trtllm-build in {image}"
                other = "" if kind == "checkpoint" else "; or target: llmapi, which generates from such a folder"
                raise RepositoryError(
                    f"{model.name}: '{folder}' is a {kind}, and NVIDIA's backend loads engines (rank0.engine) alone",
                    hint=f"build one with {build}, then engine: that folder{other}",
                )


def _engine_folders(model: Model, root: Path) -> list[Path]:
    """Return the folders that a model names and that lie on this machine."""
    parameters = model.config.parameters if model.config is not None else {}
    texts = [parameters[name].string_value for name in _FOLDERS if name in parameters]
    inside = f"{MODELS}/"
    places = [
        root.absolute() / text.removeprefix(inside) if text.startswith(inside) else Path(text) for text in texts if text
    ]
    return [place for place in places if place.is_absolute() and place.is_dir()]


def _kind(folder: Path) -> str:
    """Return what a folder without an engine holds, empty where nothing says it."""
    try:
        found = read_json(folder / "config.json", "config.json")
    except SpecError:
        return ""
    return "checkpoint" if is_checkpoint(found) else "Hugging Face folder"
