"""What an engine or a checkpoint has settled already: its spread over GPUs, its types, the limits it was built with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tritonsmith.generator.inspect.architecture import read_architecture, read_spread
from tritonsmith.generator.inspect.checkpoint import is_checkpoint
from tritonsmith.generator.inspect.engine import is_engine
from tritonsmith.generator.inspect.json_file import read_json
from tritonsmith.perf.plan.core import CacheType, Serving, Spread, WeightType

DEFAULTS = Serving(Spread(), "bf16", "bf16")
_CACHES: dict[str, CacheType] = {"FP8": "fp8", "INT8": "int8"}


@dataclass(frozen=True)
class Built:
    """What is settled. `cache_type` is None where the cache has the activations' type, `version` TensorRT-LLM's."""

    spread: Spread
    cache_type: CacheType | None
    max_batch_size: int
    max_num_tokens: int
    version: str = ""

    def serving(self, weight: WeightType, cache: CacheType) -> Serving:
        """Return how it is served, with the model's types where it says nothing else."""
        cached = self.cache_type or cache
        return Serving(self.spread, weight, cached, self.max_batch_size, self.max_num_tokens)


def read_built(path: Path) -> Built | None:
    """Return what an engine or a checkpoint has settled; None for a Hugging Face model, which leaves all open.

    Raises: SpecError where nothing can be read.
    """
    found = read_json(path / "config.json" if path.is_dir() else path, "config.json")
    if is_engine(found):
        shape, limits = found.below("pretrained_config"), found.below("build_config")
    elif is_checkpoint(found):
        shape, limits = found, found.below("build_config")
    else:
        return None
    spread = read_spread(shape.below("mapping"))
    return Built(
        Spread(spread.tensor, spread.pipeline, spread.moe_expert),
        _CACHES.get(read_architecture(shape).kv_cache_quantisation),
        limits.whole("max_batch_size", DEFAULTS.max_batch_size, least=1),
        limits.whole("max_num_tokens", DEFAULTS.max_num_tokens, least=1),
        found.text("version", "") if is_engine(found) else "",
    )
