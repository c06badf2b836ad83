"""What flows between a server and an engine: a request goes in, an event comes out for each step that made tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.int32]
Finish = Literal["", "stop", "length", "cancelled", "error"]


class RequestError(ValueError):
    """A request that cannot be served: its message names the value and the limit, and goes to the client as it is."""


class QueueFullError(RequestError):
    """A request that found as many waiting as may wait: it could be served later."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. With neither top_k nor top_p the choice is greedy, as in TensorRT-LLM.

    Source: TensorRT-LLM: topKSamplingLayer (k 0 and p 0 become k 1).
    """

    temperature: float = 1.0
    top_k: int = 0  # 0: unset
    top_p: float = 0.0  # 0: unset
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int = 0

    @property
    def is_greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        return self.top_k == 1 or (self.top_k == 0 and self.top_p <= 0.0)


@dataclass(frozen=True, eq=False)
class Request:
    """One sequence to be completed; requests are told apart by identity."""

    tokens: Tokens  # [length], the prompt
    max_new_tokens: int
    end_id: int = -1  # -1: none
    min_tokens: int = 0  # before that many, end_id is not chosen
    sampling: Sampling = Sampling()
    stop_words: tuple[tuple[int, ...], ...] = ()  # generation ends after any of these
    bad_words: tuple[tuple[int, ...], ...] = ()  # none of these is ever completed
    needs_log_probs: bool = False
    needs_steps: bool = True  # False: one event at the end, with every token


@dataclass(frozen=True)
class Timing:
    """When a request passed each stage: nanoseconds of the monotonic clock."""

    arrival_ns: int = 0
    first_scheduled_ns: int = 0
    first_token_ns: int = 0
    last_token_ns: int = 0


@dataclass(frozen=True)
class Blocks:
    """What a request took from the KV cache, in blocks."""

    new: int = 0
    reused: int = 0
    total: int = 0


@dataclass(frozen=True)
class Event:
    """New tokens of a request; the last event of a request has a finish, and may have no token.

    The end token itself is among the tokens where generation ended on it, as TensorRT-LLM has it; stop words too.
    """

    request: Request
    tokens: tuple[int, ...]
    log_probs: tuple[float, ...] = ()  # of each token, where the request needs them
    finish: Finish = ""
    error: str = ""  # with finish "error"
    timing: Timing = Timing()  # on the last event
    blocks: Blocks = Blocks()  # on the last event


@dataclass(frozen=True)
class Counters:
    """The state of an engine, for metrics; blocks are those of the KV cache."""

    active: int = 0  # requests inside, waiting ones included
    max_active: int = 0
    scheduled: int = 0  # in the last step
    context: int = 0  # of these, still reading their prompt
    waiting: int = 0
    paused: int = 0
    context_tokens: int = 0  # prompt tokens in the last step
    generating: int = 0
    iterations: int = 0
    max_blocks: int = 0
    free_blocks: int = 0
    used_blocks: int = 0
    reused_blocks: int = 0  # counted since the start
    tokens_per_block: int = 0
    memory_bytes: dict[str, int] = field(default_factory=dict)  # cpu, gpu, pinned
