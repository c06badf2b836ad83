"""How the CPU engine runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from .errors import EngineError

# Of a prompt, in one step beside a full batch: reading them takes about as long as that batch's own tokens (measured on
# a 4 M parameter model: 16 rows 1.5 ms, 48 prompt tokens 1.6 ms), so no answer waits three times its usual step.
PROMPT_TOKENS = 48
SchedulerPolicy = Literal["guaranteed_no_evict", "max_utilization"]


@dataclass(frozen=True)
class Options:
    """What may be set; lengths are in tokens. Names are TensorRT-LLM's."""

    max_batch_size: int = 8  # sequences generated at once
    max_seq_len: int = 0  # prompt and answer together; 0: the model's max_position_embeddings
    max_tokens_in_cache: int = 0  # 0: max_batch_size times max_seq_len
    tokens_per_block: int = 32  # of the KV cache
    max_num_tokens: int = 0  # of one step while answers are generated, theirs included; 0: 48 beside max_batch_size
    enable_chunked_context: bool = True  # False: a prompt is read whole, and the answers wait
    enable_kv_cache_reuse: bool = True
    scheduler_policy: SchedulerPolicy = "guaranteed_no_evict"
    max_queue_size: int = 0  # requests that may wait; 0: no limit
    threads: int = 1  # of ONNX Runtime; a tiny model gains nothing from more

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "tokens_per_block", "threads"):
            if getattr(self, name) < 1:
                raise EngineError(f"{name} {getattr(self, name)}: it must be at least 1")
        for name in ("max_seq_len", "max_tokens_in_cache", "max_num_tokens", "max_queue_size"):
            if getattr(self, name) < 0:
                raise EngineError(f"{name} {getattr(self, name)}: it must not be negative")
        if 0 < self.max_num_tokens <= self.max_batch_size:
            raise EngineError(
                f"max_num_tokens {self.max_num_tokens}: it must exceed max_batch_size {self.max_batch_size}, "
                "or no prompt is read while a full batch generates"
            )
        if self.scheduler_policy not in get_args(SchedulerPolicy):
            choices = ", ".join(get_args(SchedulerPolicy))
            raise EngineError(f"scheduler_policy '{self.scheduler_policy}': one of {choices}")

    @property
    def step_tokens(self) -> int:
        """Tokens of one step while answers are generated."""
        return self.max_num_tokens or self.max_batch_size + PROMPT_TOKENS
