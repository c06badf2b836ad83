"""Several LLMs of one pipeline on one GPU."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from tritonsmith.ensembles.text_generation.llms import shares_a_gpu
from tritonsmith.ensembles.text_generation.rules.registry import Case, rule
from tritonsmith.generator.catalog.tensorrtllm.engines import WHOLE_FRACTION
from tritonsmith.generator.findings import Finding


@rule("TL070", "KV caches on one GPU leave room for one another")
def fractions_add_up(case: Case) -> Iterator[Finding]:
    """A fraction is taken of what is free when a model loads: 0.9 and 0.9 leave the second a tenth, and no one a rest.

    Source: tensorrtllm_backend #59, TensorRT-LLM #486, #1188.
    """
    for one, other in combinations(case.llms, 2):
        if not shares_a_gpu(one, other) or any("max_tokens_in_paged_kv_cache" in llm.given for llm in (one, other)):
            continue
        fractions = [llm.number("kv_cache_free_gpu_mem_fraction", WHOLE_FRACTION) for llm in (one, other)]
        if sum(fractions) > WHOLE_FRACTION + 1e-9:
            message = (
                f"{one.name} and {other.name} share a GPU, and their kv_cache_free_gpu_mem_fraction add up to "
                f"{sum(fractions):g} ({fractions[0]:g} + {fractions[1]:g}), more than {WHOLE_FRACTION}"
            )
            hint = "smaller fractions, or max_tokens_in_paged_kv_cache for each"
            yield case.use.error(message, *other.where("kv_cache_free_gpu_mem_fraction"), hint=hint)
