"""One iteration's statistics of TensorRT-LLM -> Counters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..request import Counters


def counters_of(stats: Mapping[str, Any], max_active: int, before: Counters) -> Counters:
    """Return the counters that the statistics of an iteration stand for.

    Source: TensorRT-LLM: executor/types.h (IterationStats), and the names by which `/metrics` of trtllm-serve has them.
    """
    batch, cache = stats.get("inflightBatchingStats") or {}, stats.get("kvCacheStats") or {}
    active, scheduled = stats.get("numActiveRequests", 0), batch.get("numScheduledRequests", 0)
    return Counters(
        active=active,
        max_active=stats.get("maxNumActiveRequests", max_active),
        scheduled=scheduled,
        context=batch.get("numContextRequests", 0),
        waiting=max(0, active - scheduled),
        paused=batch.get("numPausedRequests", 0),
        context_tokens=batch.get("numCtxTokens", 0),
        generating=batch.get("numGenRequests", 0),
        iterations=stats.get("iter", before.iterations),
        max_blocks=cache.get("maxNumBlocks", 0),
        free_blocks=cache.get("freeNumBlocks", 0),
        used_blocks=cache.get("usedNumBlocks", 0),
        reused_blocks=cache.get("reusedBlocks", 0),
        tokens_per_block=cache.get("tokensPerBlock", 0),
        memory_bytes={kind: stats.get(f"{kind}MemUsage", 0) for kind in ("cpu", "gpu", "pinned")},
    )
