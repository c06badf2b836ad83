"""How the CPU engine runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from .errors import EngineError

# Tokens of a prompt that are read in one step for each answer in progress. Reading three takes about as long as making
# one (measured on a 4 M parameter model: 16 rows 1.5 ms, 48 prompt tokens 1.6 ms; 4 rows 0.45 ms, 16 tokens 0.5 ms), so
# a step with a piece of a prompt lasts two to two and a half times one without.
TOKENS_PER_ANSWER = 3
SMALLEST_PIECE = 16  # below it a token costs more
IDLE_TOKENS = 512  # where no answer waits; bounds the memory that attention needs
SchedulerPolicy = Literal["guaranteed_no_evict", "max_utilization"]


@dataclass(frozen=True)
class Options:
    """What may be set; lengths are in tokens. Names are TensorRT-LLM's."""

    max_batch_size: int = 8  # sequences generated at once
    max_seq_len: int = 0  # prompt and answer together; 0: the model's max_position_embeddings
    max_tokens_in_cache: int = 0  # 0: max_batch_size times max_seq_len
    tokens_per_block: int = 32  # of the KV cache
    max_num_tokens: int = 0  # of one step while answers are generated, theirs included, at most; 0: no limit of its own
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

    def prompt_tokens(self, answers: int) -> int:
        """Return how many tokens of prompts a step may read beside so many answers in progress."""
        if not answers:
            return IDLE_TOKENS
        piece = max(SMALLEST_PIECE, TOKENS_PER_ANSWER * answers)
        return min(piece, self.max_num_tokens - answers) if self.max_num_tokens else piece
