"""A request inside the engine: its tokens so far, where its keys and values lie, and what was said about it."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from ..request import Blocks, Event, Finish, Request, Timing
from .blocks import Key
from .sampling import Chooser, chooser_of


class Sequence:
    """The state of one request. `length` tokens are known, of which `computed` have their keys and values in `row`."""

    __slots__ = (
        "arrival_ns",
        "chooser",
        "computed",
        "first_scheduled_ns",
        "first_token_ns",
        "keys",
        "last_token_ns",
        "length",
        "log_probs",
        "number",
        "own_blocks",
        "prompt_length",
        "request",
        "reused_blocks",
        "row",
        "sent",
        "tokens",
    )

    def __init__(self, request: Request, number: int, vocab: int) -> None:
        self.request, self.number = request, number
        self.prompt_length = self.length = len(request.tokens)
        self.tokens: npt.NDArray[np.int32] = np.empty(self.length + request.max_new_tokens, np.int32)
        self.tokens[: self.length] = request.tokens
        self.chooser: Chooser | None = chooser_of(request, vocab)
        self.log_probs: list[float] = []
        self.sent = self.length  # tokens that need not be sent any more
        self.row = -1
        self.computed = 0
        self.keys: list[Key] = []  # of its shared blocks, from the first on
        self.own_blocks = 0
        self.reused_blocks = -1  # found when it was first scheduled; -1: it has not been
        self.arrival_ns = time.monotonic_ns()
        self.first_scheduled_ns = self.first_token_ns = self.last_token_ns = 0

    @property
    def generated(self) -> int:
        """Number of tokens of the answer so far."""
        return self.length - self.prompt_length

    @property
    def blocks(self) -> int:
        """Number of blocks that it holds."""
        return len(self.keys) + self.own_blocks

    def append(self, token: int) -> Finish:
        """Add a token to the answer; return why the answer ends with it, if it does."""
        self.tokens[self.length] = token
        self.length += 1
        request = self.request
        if token == request.end_id:
            return "stop"
        if request.stop_words and self._ends_with_stop_word(token):
            return "stop"
        return "length" if self.length == len(self.tokens) else ""

    def next_event(self, token: int) -> Event:
        """Return the event for the newest token alone: what nearly every event is."""
        self.sent = self.length
        return Event(self.request, (token,), (self.log_probs[-1],) if self.log_probs else ())

    def event(self, finish: Finish, error: str = "") -> Event:
        """Return the last event, with the tokens that were not sent yet."""
        new = tuple(self.tokens[self.sent : self.length].tolist())
        log_probs = tuple(self.log_probs[self.sent - self.prompt_length :]) if self.log_probs else ()
        self.sent = self.length
        timing = Timing(self.arrival_ns, self.first_scheduled_ns, self.first_token_ns, self.last_token_ns)
        reused = max(self.reused_blocks, 0)
        blocks = Blocks(new=max(self.blocks - reused, 0), reused=reused, total=self.blocks)
        return Event(self.request, new, log_probs, finish, error, timing, blocks)

    def _ends_with_stop_word(self, token: int) -> bool:
        # The beginning of a word may lie in the prompt. Source: TensorRT-LLM, stopCriteriaKernels.cu
        for word in self.request.stop_words:
            start = self.length - len(word)
            if token == word[-1] and start >= 0 and tuple(self.tokens[start : self.length].tolist()) == word:
                return True
        return False
