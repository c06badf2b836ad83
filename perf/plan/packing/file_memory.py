"""What a model takes of a GPU as its own files say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.plan.core import Figure, LanguageModel, Part, Serving, Spread, exact, total
from tritonsmith.perf.plan.memory.onnx import model_parts
from tritonsmith.perf.plan.memory.overheads import runtime_parts, working_parts
from tritonsmith.perf.plan.memory.replica import kv_bytes_per_token, state_bytes_per_sequence
from tritonsmith.perf.plan.memory.weights import weight_bytes, weight_parts
from tritonsmith.perf.plan.models.read import read_model
from tritonsmith.perf.plan.precisions import cache_of

_GIB = 2**30
# An engine takes at most this of what is free when it starts, its bound in tokens notwithstanding; the lesser counts.
_FREE_SHARE = Serving(Spread(), "bf16", "bf16").kv_fraction


@dataclass(frozen=True)
class Needs:
    """Bytes on the GPU, and read to load; whether what is left of a GPU goes into its cache; what has to be set."""

    memory_bytes: Figure
    load_bytes: float
    takes_the_rest: bool = False
    note: str = ""


def needs_of(path: Path, name: str, *, kv_tokens: int = 0, batch_size: int = 1, axes: Mapping[str, int]) -> Needs:
    """Return what one replica of a model takes of one GPU.

    A language model's engine takes what is left for its KV cache, unless `kv_tokens` bounds that. An ONNX or TensorRT
    model has one instance, which gets up to `batch_size` rows; `axes` are the sizes of its open axes.

    Raises: UsageError where there is no such file, kv_tokens are given for what has none, or an axis lacks; what
    reading it raises.
    """
    if not path.exists():
        raise UsageError(f"models.{name}: there is no {path}", hint="name its file or folder, or say its memory: 6GiB")
    if path.is_dir() or path.suffix == ".json":
        return _language_model(read_model(path), name, kv_tokens)
    if kv_tokens:
        raise UsageError(f"models.{name}: {path.name} keeps no KV cache", hint="leave kv_tokens out")
    parts = model_parts(path, batch_size=batch_size, axes=axes)
    return Needs(total(parts, f"{path.name}: {_words(parts)} GiB"), float(path.stat().st_size))


def _language_model(model: LanguageModel, name: str, kv_tokens: int) -> Needs:
    serving = Serving(Spread(), model.weight_type, cache_of(model.weight_type, model.weight_type))
    per_token = kv_bytes_per_token(model, serving)
    states = serving.max_batch_size * state_bytes_per_sequence(model, serving)
    cache = exact(kv_tokens * per_token / _FREE_SHARE + states, model.source)
    arithmetic = f"{kv_tokens:,} tokens x {per_token:,.0f} B / {_FREE_SHARE:g}"
    parts = [*weight_parts(model, serving), *working_parts(model, serving), *runtime_parts(serving.spread)]
    parts += [Part(f"cache of {arithmetic}:", cache, arithmetic)] if cache.value else []
    note = f"{name}: set max_tokens_in_paged_kv_cache: {kv_tokens}" if kv_tokens else ""
    memory = total(parts, f"{Path(model.source).name}: {_words(parts)} GiB")
    return Needs(memory, weight_bytes(model, model.weight_type).value, not kv_tokens, note)


def _words(parts: Sequence[Part]) -> str:
    return " + ".join(f"{part.name} {part.bytes.value / _GIB:.2f}" for part in parts)
