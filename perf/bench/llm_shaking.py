"""Clients of the model `tensorrt_llm` that behave badly: they stop, leave, send nonsense; and count what they get."""

from __future__ import annotations

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tritonsmith.perf.bench.llm_client import Response, Stream

# What a client does: how often of a hundred requests.
SHARES = {"stream": 50, "whole": 12, "rows": 6, "stop": 10, "leave": 10, "bad": 8, "oversize": 4}
LONG = 400  # tokens of an answer that is not waited for


@dataclass(frozen=True)
class Target:
    """The model that is asked: where, and what it takes."""

    url: str
    vocab: int
    context: int


@dataclass
class Tally:
    """What became of the requests, by what was done; `wrong` says what should not have been."""

    done: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def shake(target: Target, requests: int, *, seed: int = 0, clients: int = 8) -> Tally:
    """Send so many requests from several clients at once, and return what became of them."""
    tally, lock = Tally(), threading.Lock()
    share = -(-requests // clients)
    counts = [min(share, requests - start) for start in range(0, requests, share)]
    with ThreadPoolExecutor(clients) as threads:
        runs = [threads.submit(_Client(target, seed * 1000 + n, tally, lock).run, c) for n, c in enumerate(counts)]
        for one in runs:
            one.result()
    return tally


class _Client:
    """One after the other; a stream of its own, a new one after it left."""

    def __init__(self, target: Target, seed: int, tally: Tally, lock: threading.Lock) -> None:
        self._target, self._tally, self._lock = target, tally, lock
        self._random = random.Random(seed)  # noqa: S311
        self._ids = (f"{seed}-{number}" for number in itertools.count())
        self._stream = Stream(target.url)
        self._acts: Mapping[str, Callable[[], str]] = {
            "stream": self._read,
            "whole": self._read_whole,
            "rows": self._read_rows,
            "stop": self._stop,
            "leave": self._leave,
            "bad": self._send_nonsense,
            "oversize": self._send_too_much,
        }

    def run(self, requests: int) -> None:
        try:
            for _ in range(requests):
                (name,) = self._random.choices(list(SHARES), list(SHARES.values()))
                wrong = self._acts[name]()
                with self._lock:
                    self._tally.done[name] += 1
                    if wrong:
                        self._tally.wrong.append(f"{name}: {wrong}")
        finally:
            self._stream.close()

    def _prompt(self, least: int = 1, most: int = 60) -> list[int]:
        return [self._random.randrange(self._target.vocab) for _ in range(self._random.randint(least, most))]

    def _read(self) -> str:
        length = self._random.randint(1, 30)
        self._stream.ask(self._prompt(), length, streaming=True, runtime_top_k=self._random.choice((1, 20)))
        return _amiss(list(self._stream.rest()), [1] * length)

    def _read_whole(self) -> str:
        length, prompt = self._random.randint(1, 30), self._prompt()
        self._stream.ask(prompt, length, return_perf_metrics=True, return_log_probs=True)
        return _amiss(list(self._stream.rest()), [len(prompt) + length])

    def _read_rows(self) -> str:
        length, rows = self._random.randint(1, 10), self._random.randint(2, 4)
        prompt = self._prompt()
        self._stream.ask([prompt] * rows, length)
        return _amiss(list(self._stream.rest()), [len(prompt) + length] * rows)

    def _stop(self) -> str:
        id_ = next(self._ids)
        self._stream.ask(self._prompt(), LONG, streaming=True, id_=id_)
        for _ in range(self._random.randint(0, 3)):
            self._stream.next()
        self._stream.ask([1], 1, stop=True, id_=id_)
        for _ in range(2):  # the stopped one's end, and the answer to `stop`
            *_, end = self._stream.rest()
            if end.error:
                return end.error
        return ""

    def _leave(self) -> str:
        self._stream.ask(self._prompt(), LONG, streaming=self._random.random() < 0.8)
        if self._random.random() < 0.5:
            self._stream.next()
        self._stream.close()
        self._stream = Stream(self._target.url)
        return ""

    def _send_nonsense(self) -> str:
        tensors, words = self._random.choice(NONSENSE)
        self._stream.ask(**{"tokens": self._prompt(), "length": 5, "streaming": True, **tensors})
        return self._refused(words)

    def _send_too_much(self) -> str:
        context = self._target.context
        self._stream.ask(self._prompt(context, context + 50), 5, streaming=True)
        return self._refused(f"this engine takes {context - 1}")

    def _refused(self, words: str) -> str:
        *rest, end = self._stream.rest()
        with self._lock:
            self._tally.errors[words] += 1
        return "" if words in end.error and not rest else f"expected '{words}', got {end}"


NONSENSE: Sequence[tuple[dict[str, Any], str]] = (
    ({"beam_width": 3}, "beam_width: beam search"),
    ({"temperature": -1.0}, "temperature -1 is negative"),
    ({"length": 0}, "request_output_len is 0"),
    ({"tokens": [1, -5]}, "input_ids holds -5"),
    ({"input_lengths": 1000}, "input_lengths 1000 exceeds"),
    ({"return_generation_logits": True}, "return_generation_logits: logits"),
    ({"stop_words_list": np.array([[[1, 2], [9, -1]]], np.int32)}, "stop_words_list: the offset 9"),
    ({"draft_input_ids": np.ones((1, 2), np.int32)}, "draft_input_ids: draft tokens"),
    ({"runtime_top_p": 7.0}, "runtime_top_p 7 exceeds 1"),
)


def _amiss(responses: Sequence[Response], lengths: Sequence[int]) -> str:
    """Return what is wrong with the responses of a request that should have so many tokens each; empty if nothing."""
    if responses[-1].error:
        return responses[-1].error
    found = [len(response.tokens) for response in responses]
    return "" if found == list(lengths) else f"responses of {found} tokens, not {list(lengths)}"
