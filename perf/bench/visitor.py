"""What all clients that shake a server have: where they ask, what they do how often, and what became of it."""

from __future__ import annotations

import itertools
import queue
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tritonclient.utils import InferenceServerException

from tritonsmith.perf.bench.llm_client import Response, Stream


@dataclass(frozen=True)
class Target:
    """The pipeline that is asked: where, what its engine takes, and what it answers to a prompt and a length.

    `shares` says of each model how often of a hundred requests what is done.
    """

    grpc_url: str
    http_url: str
    vocab: int
    context: int
    answers: Mapping[tuple[str, int], str]
    shares: Mapping[str, Mapping[str, int]]


@dataclass
class Tally:
    """What became of the requests, by what was done; `wrong` says what should not have been."""

    done: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    _turns: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, what: str, wrong: str) -> None:
        """Count a request; `wrong` is empty where it went as it should."""
        with self._lock:
            self.done[what] += 1
            if wrong:
                self.wrong.append(f"{what}: {wrong}")

    def turn(self, model: str) -> int:
        """Return how often this was asked for the model before: so all its visitors together send all there is."""
        with self._lock:
            self._turns[model] += 1
            return self._turns[model] - 1

    def add_error(self, words: str) -> None:
        """Count an error that was asked for."""
        with self._lock:
            self.errors[words] += 1


@dataclass(frozen=True)
class Nonsense:
    """A request's inputs that are changed (None: left out), the outputs it asks for, and what the error has to say.

    Where `words` are empty there is no error, but no output either.
    """

    inputs: Mapping[str, Any]
    words: str
    outputs: tuple[str, ...] = ()


class Visitor:
    """One client of one model, with a stream of its own: one request after the other, a new stream after it left.

    `acts` are what it can do, by name; each returns what was wrong, or nothing.
    """

    def __init__(self, target: Target, seed: str, tally: Tally, model: str) -> None:
        self.target, self.model = target, model
        self.random = random.Random(seed)  # noqa: S311
        self.stream = Stream(target.grpc_url)
        self.acts: dict[str, Callable[[], str]] = {}
        self._ids = (f"{seed} {number}" for number in itertools.count())
        self._tally = tally

    def visit(self) -> None:
        """Do one thing, and count it."""
        shares = self.target.shares[self.model]
        (name,) = self.random.choices(list(shares), list(shares.values()))
        try:
            wrong = self.acts[name]()
        except (InferenceServerException, OSError, queue.Empty) as problem:  # the stream has ended, or nothing came
            wrong = f"{type(problem).__name__}: {problem}; unread {self.stream.unread()}"
            self.leave()
        self._tally.add(f"{self.model}: {name}", wrong)

    def next_id(self) -> str:
        """Return a request id that nobody else has."""
        return next(self._ids)

    def leave(self) -> None:
        """Go away in the midst of what is asked, and come back."""
        self.stream.close()
        self.stream = Stream(self.target.grpc_url)

    def next_of(self, kinds: Sequence[Nonsense]) -> Nonsense:
        """Return the kind of nonsense whose turn it is."""
        return kinds[self._tally.turn(self.model) % len(kinds)]

    def refused(self, words: str) -> str:
        """Return what is wrong unless the request is refused with these words, and nothing else."""
        *rest, end = self.stream.rest()
        self._tally.add_error(words)
        is_said = words in end.error if words else not end.error
        return "" if is_said and not rest and not end.tensors else f"expected '{words}', got {_shown(end)}"

    def close(self) -> None:
        """Close the stream."""
        self.stream.close()


def _shown(response: Response) -> str:
    return response.error or f"outputs {sorted(response.tensors)}"
