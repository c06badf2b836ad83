"""What a model takes of a GPU as its own files say it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.plan.core import Figure, LanguageModel, Serving, Spread
from tritonsmith.perf.plan.memory import kv_bytes_per_token, state_bytes_per_sequence
from tritonsmith.perf.plan.models import read_model
from tritonsmith.perf.plan.overheads import runtime_parts, working_parts
from tritonsmith.perf.plan.weights import weight_bytes, weight_parts

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


def needs_of(path: Path, name: str, kv_tokens: int) -> Needs:
    """Return what a model takes of one GPU.

    A language model takes what is left for its KV cache, unless `kv_tokens` bounds that.

    Raises: UsageError where there is no such file, or it is of no known kind; what reading it raises.
    """
    if path.is_dir() or path.suffix == ".json":
        return _language_model(read_model(path), name, kv_tokens)
    raise UsageError(f"models.{name}: {path} is no model whose memory is known", hint="say its memory: 6GiB")


def _language_model(model: LanguageModel, name: str, kv_tokens: int) -> Needs:
    cache_type = "fp16" if model.weight_type == "fp16" else "bf16"
    serving = Serving(Spread(), model.weight_type, cache_type)
    parts = [*weight_parts(model, serving), *working_parts(model, serving), *runtime_parts(serving.spread)]
    figures = [part.bytes for part in parts]
    per_token = kv_bytes_per_token(model, serving)
    rest = kv_tokens * per_token / _FREE_SHARE + serving.max_batch_size * state_bytes_per_sequence(model, serving)
    words = [f"{part.name} {part.bytes.value / _GIB:.2f}" for part in parts]
    if kv_tokens:
        words.append(f"{kv_tokens:,} tokens x {per_token:,.0f} B / {_FREE_SHARE:g}: {rest / _GIB:.2f}")
    note = f"{name}: set max_tokens_in_paged_kv_cache: {kv_tokens}" if kv_tokens else ""
    source = f"{model.source}: {' + '.join(words)} GiB"
    return Needs(_summed(figures, rest, source), weight_bytes(model, model.weight_type).value, not kv_tokens, note)


def _summed(figures: Sequence[Figure], more: float, source: str) -> Figure:
    """Return a sum; errors that are independent add up by their squares."""
    value = more + sum(figure.value for figure in figures)
    less = math.sqrt(sum((figure.value - figure.low) ** 2 for figure in figures))
    over = math.sqrt(sum((figure.high - figure.value) ** 2 for figure in figures))
    return Figure(value, value - less, value + over, source)
