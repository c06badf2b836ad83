"""What a repository's models take of a GPU: weights as their files have them, and the part of KV caches."""

from __future__ import annotations

from dataclasses import dataclass

from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup

from tritonsmith.generator.checks.case import Case, ModelCase
from tritonsmith.generator.checks.rules.instances import AUTO, GPU, groups_of, kind_of
from tritonsmith.generator.checks.rules.llm.llmapi import Document, document_of, documents_of
from tritonsmith.generator.checks.rules.llm.llms import Llm, llm_of, llms_of
from tritonsmith.generator.manifests.sharing.share import KV_FRACTION
from tritonsmith.generator.repository.core import Content, File

_FRACTION, _TOKENS = "kv_cache_free_gpu_mem_fraction", "max_tokens_in_paged_kv_cache"
_ENDS = (".engine", ".plan", ".onnx", ".pt")  # what is loaded onto a GPU as it is
_CHECKPOINT = ".safetensors"
_RECAST = ("quant_config", "dtype", "load_format")  # of a model.yaml: weights are not loaded as the files have them


@dataclass(frozen=True)
class Cache:
    """An engine's KV cache that takes a part of the free memory: where that is said, and how less is written.

    `key` is the place in config.pbtxt, empty where another file says it; `remedy` has a place for the number.
    """

    model: ModelCase
    fraction: float
    name: str
    key: str
    remedy: str


def caches_of(case: Case) -> list[Cache]:
    """Return the KV caches that are bounded by a part of the free memory, and not by a number of tokens."""
    found = [_engine_cache(llm) for llm in case.once(llms_of) if not llm.whole(_TOKENS)]
    return found + [cache for one in case.once(documents_of) if (cache := _document_cache(one)) is not None]


def weights_of(case: Case) -> dict[str, float]:
    """Return the bytes that each model's weights take of its GPU, where the repository holds them, by its name.

    Each instance of a model has its own; an engine's groups are on the CPU, and it is there once.
    """
    return {model.name: _file_bytes(model) * copies(model) for model in case.models()}


def copies(model: ModelCase) -> int:
    """Return how often a model is on a GPU, 0 where it is not."""
    document = document_of(model) if model.config.backend == "python" else None
    if document is not None:
        return document.instances
    if llm_of(model) is not None:
        return 1
    return sum(max(1, group.count) for group in groups_on_gpu(model))


def groups_on_gpu(model: ModelCase) -> list[ModelInstanceGroup]:
    """Return the groups that are on a GPU; a Python model is only where its configuration says so."""
    if model.is_ensemble:
        return []
    groups = [group for _, group in groups_of(model)] or [ModelInstanceGroup(kind=AUTO)]
    is_python = model.config.backend == "python"
    return [group for group in groups if (group.kind if is_python else kind_of(group, model.target.gpus)) == GPU]


def _engine_cache(llm: Llm) -> Cache:
    remedy = f'{_FRACTION}: "{{:g}}"; or {_TOKENS}'
    return Cache(llm.model, llm.fraction(), _FRACTION, f"parameters.{_FRACTION}", remedy)


def _document_cache(document: Document) -> Cache | None:
    said = document.below("kv_cache_config")
    part = said.get("free_gpu_memory_fraction", KV_FRACTION)
    if isinstance(said.get("max_tokens"), int) or isinstance(part, bool) or not isinstance(part, int | float):
        return None
    name = "kv_cache_config.free_gpu_memory_fraction"
    # each instance is an engine with a cache of its own
    remedy = f"{name}: {{:g}} in {document.path}; or max_tokens"
    return Cache(document.model, float(part) * document.instances, name, "", remedy)


def _file_bytes(model: ModelCase) -> float:
    ends: tuple[str, ...] = _ENDS
    document = document_of(model) if model.config.backend == "python" else None
    if document is None or not document.values.keys() & set(_RECAST):
        ends += (_CHECKPOINT,)
    return float(sum(_size(file) for path, file in model.model.files.items() if path.endswith(ends)))


def _size(file: File) -> int:
    try:
        return len(file.data) if isinstance(file, Content) else file.path.stat().st_size
    except OSError:
        return 0
