"""A client of the model `tensorrt_llm` that behaves badly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tritonsmith.perf.bench.llm_client import Response, infer_input, inputs_for
from tritonsmith.perf.bench.llm_model import MODEL
from tritonsmith.perf.bench.visitor import Nonsense, Tally, Target, Visitor

# What it does: how often of a hundred requests.
ENGINE_SHARES = {"stream": 50, "whole": 12, "rows": 6, "stop": 10, "leave": 10, "bad": 8, "oversize": 4}
LONG = 400  # tokens of an answer that is not waited for


class EngineVisitor(Visitor):
    """Asks by token ids, which are made up."""

    def __init__(self, target: Target, seed: str, tally: Tally) -> None:
        super().__init__(target, seed, tally, MODEL)
        self.acts = {
            "stream": self._read,
            "whole": self._read_whole,
            "rows": self._read_rows,
            "stop": self._stop,
            "leave": self._leave,
            "bad": self._send_nonsense,
            "oversize": self._send_too_much,
        }

    def _prompt(self, least: int = 1, most: int = 60) -> list[int]:
        return [self.random.randrange(self.target.vocab) for _ in range(self.random.randint(least, most))]

    def _read(self) -> str:
        length = self.random.randint(1, 30)
        self.stream.ask(self._prompt(), length, streaming=True, runtime_top_k=self.random.choice((1, 20)))
        return _amiss(list(self.stream.rest()), [1] * length)

    def _read_whole(self) -> str:
        length, prompt = self.random.randint(1, 30), self._prompt()
        self.stream.ask(prompt, length, return_log_probs=True)
        return _amiss(list(self.stream.rest()), [len(prompt) + length])

    def _read_rows(self) -> str:
        length, rows = self.random.randint(1, 10), self.random.randint(2, 4)
        prompt = self._prompt()
        self.stream.ask([prompt] * rows, length)
        return _amiss(list(self.stream.rest()), [len(prompt) + length] * rows)

    def _stop(self) -> str:
        id_ = self.next_id()
        self.stream.ask(self._prompt(), LONG, streaming=True, id_=id_)
        for _ in range(self.random.randint(0, 3)):
            self.stream.next()
        self.stream.ask([1], 1, stop=True, id_=id_)
        for _ in range(2):  # the stopped one's end, and the answer to `stop`
            *_, end = self.stream.rest()
            if end.error:
                return end.error
        return ""

    def _leave(self) -> str:
        self.stream.ask(self._prompt(), LONG, streaming=self.random.random() < 0.8)
        if self.random.random() < 0.5:
            self.stream.next()
        self.leave()
        return ""

    def _send_nonsense(self) -> str:
        nonsense = self.next_of(ENGINE_NONSENSE)
        usual = [one for one in inputs_for(self._prompt(), 5, streaming=True) if one.name() not in nonsense.inputs]
        changed = [infer_input(name, value) for name, value in nonsense.inputs.items() if value is not None]
        self.stream.send(MODEL, usual + changed, outputs=nonsense.outputs)
        return self.refused(nonsense.words)

    def _send_too_much(self) -> str:
        context = self.target.context
        self.stream.ask(self._prompt(context, context + 50), 5, streaming=True)
        return self.refused(f"this engine takes {context - 1}")


def _int(value: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    return np.array([[value]], np.int32)


def _float(value: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array([[value]], np.float32)


ENGINE_NONSENSE: Sequence[Nonsense] = (
    Nonsense({"beam_width": _int(3)}, "beam_width: beam search"),
    Nonsense({"temperature": _float(-1)}, "temperature -1 is negative"),
    Nonsense({"runtime_top_p": _float(7)}, "runtime_top_p 7 exceeds 1"),
    Nonsense({"runtime_top_p": _float(float("nan"))}, "runtime_top_p is nan"),
    Nonsense({"request_output_len": _int(0)}, "request_output_len is 0"),
    Nonsense({"input_ids": np.array([[1, -5]], np.int32), "input_lengths": _int(2)}, "input_ids holds -5"),
    Nonsense({"input_lengths": _int(1000)}, "input_lengths 1000 exceeds"),
    Nonsense({"return_generation_logits": np.array([[True]])}, "return_generation_logits: logits"),
    Nonsense({"stop_words_list": np.array([[[1, 2], [9, -1]]], np.int32)}, "stop_words_list: the offset 9"),
    Nonsense({"draft_input_ids": np.ones((1, 2), np.int32)}, "draft_input_ids: draft tokens"),
    Nonsense({"request_output_len": _float(5)}, "'request_output_len' data-type is 'FP32'"),
    Nonsense({"input_ids": None}, "input_ids is missing"),
    Nonsense({"input_ids": None, "input_lengths": None, "streaming": None}, "missing required input(s)"),
    Nonsense({"text_input": np.array([[b"a"]], np.object_)}, "unexpected inference input 'text_input'"),
    Nonsense({}, "unexpected inference output 'text_output'", ("text_output",)),
)


def _amiss(responses: Sequence[Response], lengths: Sequence[int]) -> str:
    """Return what is wrong with the responses of a request that should have so many tokens each; empty if nothing."""
    if responses[-1].error:
        return responses[-1].error
    found = [len(response.tokens) for response in responses]
    return "" if found == list(lengths) else f"responses of {found} tokens, not {list(lengths)}"
