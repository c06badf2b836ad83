"""Clients of a pipeline's text models, the ensemble and tensorrt_llm_bls, that behave badly; they know the answers."""

from __future__ import annotations

import http.client
import json
import queue
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from tritonsmith.perf.bench.engine_visitor import LONG
from tritonsmith.perf.bench.llm_client import Response, Stream, infer_input, open_stream
from tritonsmith.perf.bench.text_pipeline import BLS, ENSEMBLE
from tritonsmith.perf.bench.visitor import Nonsense, Tally, Target, Visitor

# What they do: how often of a hundred requests.
ENSEMBLE_SHARES = {
    "stream": 50, "whole": 10, "post": 4, "rows": 6, "stop": 14, "leave": 2, "bad": 10, "oversize": 4
}  # fmt: skip
BLS_SHARES = {"stream": 50, "whole": 10, "post": 4, "rows": 6, "leave": 12, "hang up": 4, "bad": 10, "oversize": 4}
PROMPTS = (
    "What is Triton?",
    "What is a model repository?",
    "What is a backend?",
    "What is a version policy?",
    "What is an instance group?",
    "What is an ensemble?",
)
LENGTHS = (1, 7, 30)
STOP_LIMIT_S, STOP_PERIOD_S = 30.0, 0.1


class TextVisitor(Visitor):
    """Asks by text."""

    def __init__(self, target: Target, seed: str, tally: Tally, model: str) -> None:
        super().__init__(target, seed, tally, model)
        self.acts = {
            "stream": self._read,
            "whole": self._read_whole,
            "post": self._post,
            "rows": self._read_rows,
            "stop": self._stop,
            "leave": self._leave,
            "hang up": self._hang_up,
            "bad": self._send_nonsense,
            "oversize": self._send_too_much,
        }

    def _ask(self, prompt: str, length: int, *, rows: int = 1, id_: str = "", **more: Any) -> None:
        inputs = [infer_input(name, array) for name, array in arrays(prompt, length, rows=rows, **more).items()]
        self.stream.send(self.model, inputs, id_=id_)

    def _choose(self) -> tuple[str, int]:
        return self.random.choice(PROMPTS), self.random.choice(LENGTHS)

    def _read(self) -> str:
        prompt, length = self._choose()
        id_ = self.next_id() if self.random.random() < 0.5 else ""
        self._ask(prompt, length, stream=True, id_=id_)
        return self._amiss(list(self.stream.rest()), prompt, length)

    def _read_whole(self) -> str:
        prompt, length = self._choose()
        self._ask(prompt, length, exclude_input_in_output=True, return_log_probs=True)
        return self._amiss(list(self.stream.rest()), prompt, length)

    def _read_rows(self) -> str:
        prompt, length = self._choose()
        rows = self.random.randint(2, 4)
        self._ask(prompt, length, rows=rows, exclude_input_in_output=True)
        return self._amiss(list(self.stream.rest()), prompt, length, rows)

    def _post(self) -> str:
        prompt, length = self._choose()
        body = {"text_input": prompt, "max_tokens": length, "stream": False, "exclude_input_in_output": True}
        with closing(self._posted("generate", body)) as connection:
            answer = json.loads(connection.getresponse().read())
        found, expected = answer.get("text_output", answer), self.target.answers[prompt, length]
        return "" if found == expected else f"answered {found!r}, not {expected!r}"

    def _posted(self, verb: str, body: Mapping[str, Any]) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self.target.http_url, timeout=30)
        connection.request("POST", f"/v2/models/{self.model}/{verb}", json.dumps(body))
        return connection

    def _begin(self, *, is_streaming: bool = True, id_: str = "") -> None:
        """Ask for a long answer, and wait for the first few responses or none."""
        self._ask(self.random.choice(PROMPTS), LONG, min_length=LONG, stream=is_streaming, id_=id_)
        for _ in range(self.random.randint(0, 3) if is_streaming else 0):
            self.stream.next()

    def _stop(self) -> str:
        """As a client of an ensemble has to that loses interest: the engine is told, until the stream has ended."""
        id_ = self.next_id()
        self._begin(id_=id_)
        with open_stream(self.target.grpc_url) as other:
            for _ in range(round(STOP_LIMIT_S / STOP_PERIOD_S)):
                if error := _stopped(other, id_):
                    return error
                try:
                    *_, end = self.stream.rest(STOP_PERIOD_S)
                except queue.Empty:  # it waits in a queue of Triton's, where nothing can be stopped
                    continue
                return end.error
        return "is not stopped"

    def _leave(self) -> str:
        self._begin(is_streaming=self.random.random() < 0.8)
        self.leave()
        return ""

    def _hang_up(self) -> str:
        body = {"text_input": self.random.choice(PROMPTS), "max_tokens": LONG, "min_length": LONG, "stream": True}
        with closing(self._posted("generate_stream", body)) as connection:
            first = connection.getresponse().read(6)
        return "" if first == b"data: " else f"the stream begins with {first!r}"

    def _send_nonsense(self) -> str:
        nonsense = self.next_of(NONSENSE[self.model])
        given = {**arrays(self.random.choice(PROMPTS), 5, stream=True), **nonsense.inputs}
        inputs = [infer_input(name, array) for name, array in given.items() if array is not None]
        self.stream.send(self.model, inputs, outputs=nonsense.outputs)
        return self.refused(nonsense.words)

    def _send_too_much(self) -> str:
        context = self.target.context
        self._ask("word " * self.random.randint(context, context + 50), 5, stream=True)
        return self.refused(f"the engine takes at most {context} tokens")

    def _amiss(self, responses: Sequence[Response], prompt: str, length: int, rows: int = 1) -> str:
        """Return what is wrong with an answer, of which each row is the same; empty if nothing."""
        if responses[-1].error:
            return responses[-1].error
        found, expected = "".join(response.text for response in responses), self.target.answers[prompt, length] * rows
        return "" if found == expected else f"answered {found!r}, not {expected!r}"


def known_answers(grpc_url: str) -> dict[tuple[str, int], str]:
    """Return what the pipeline answers while nobody else asks: to each prompt, in each length."""
    answers = {}
    with open_stream(grpc_url) as stream:
        for prompt in PROMPTS:
            for length in LENGTHS:
                given = arrays(prompt, length, exclude_input_in_output=True)
                stream.send(BLS, [infer_input(name, array) for name, array in given.items()])
                answers[prompt, length] = "".join(response.text for response in stream.rest())
    return answers


def arrays(prompt: str, length: int, *, rows: int = 1, **more: Any) -> dict[str, Any]:
    """Return a request's tensors by name; `more` are numbers and flags."""
    given = {"text_input": prompt.encode(), "max_tokens": length, **more}
    kinds = {bytes: np.object_, bool: np.bool_, int: np.int32}
    return {name: np.full((rows, 1), value, kinds[type(value)]) for name, value in given.items()}


def _stopped(stream: Stream, id_: str) -> str:
    """Tell the engine to end the request of an id, and return the error, if it says one."""
    stream.ask([1], 1, stop=True, id_=id_)
    *_, end = stream.rest()
    return end.error


def _one(value: Any, kind: type) -> Any:
    return np.array([[value]], kind)


TEXT_NONSENSE: Sequence[Nonsense] = (
    Nonsense({"text_input": _one(b"a\xff\xfe", np.object_)}, "is not UTF-8: invalid start byte at byte 1"),
    Nonsense({"stop_words": _one(b"\xff", np.object_)}, "is not UTF-8: invalid start byte at byte 0"),
    Nonsense({"embedding_bias_words": _one(b"x", np.object_)}, "each word needs one weight"),
    Nonsense({"temperature": _one(-1, np.float32)}, "temperature -1 is negative"),
    Nonsense({"temperature": _one(np.nan, np.float32)}, "temperature is nan"),
    Nonsense({"top_p": _one(7, np.float32)}, "runtime_top_p 7 exceeds 1"),
    Nonsense({"max_tokens": _one(-5, np.int32)}, " is -5; it must be "),
    Nonsense({"beam_width": _one(3, np.int32)}, "beam_width: beam search"),
    Nonsense({"max_tokens": _one(5, np.float32)}, "'max_tokens' data-type is 'FP32'"),
    Nonsense({"max_tokens": np.ones((1, 2), np.int32)}, "unexpected shape for input 'max_tokens'"),
    Nonsense({"max_tokens": np.ones((2, 1), np.int32)}, "batch size does not match other inputs"),
    Nonsense({"text_input": None, "stream": None}, "missing required input(s) ['text_input']"),
    Nonsense({"max_tokens": None, "stream": None}, "missing required input(s) ['max_tokens']"),
    Nonsense({"output_ids": _one(1, np.int32)}, "unexpected inference input 'output_ids'"),
    Nonsense({}, "unexpected inference output 'output_ids'", ("output_ids",)),
)
# Triton counts a request's inputs and does not look which they are: with another one in place of a required one, an
# ensemble waits for it, gives up, and answers with an empty response (tried on 2.51).
MISSING = ("text_input", "max_tokens")
NONSENSE: Mapping[str, Sequence[Nonsense]] = {
    ENSEMBLE: (*TEXT_NONSENSE, *(Nonsense({name: None}, "") for name in MISSING)),
    BLS: (*TEXT_NONSENSE, *(Nonsense({name: None}, f"input '{name}' is missing") for name in MISSING)),
}
