"""Prompts in, text out: the llmapi model between Triton and an engine of tokens. Runs inside Triton.

Streamed responses hold what is new, as tensorrt_llm_bls sends it; NVIDIA's model sends the whole text so far each time.
Numbers have the types that config.pbtxt declares; NVIDIA's model sends them as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt

from .detokenise import Detokeniser
from .llmapi_config import Configuration
from .prompt import Prompt, PromptError, is_stop, read_prompt

Array = npt.NDArray[Any]


@dataclass(eq=False)
class Answer:
    """A request while it is answered."""

    prompt: Prompt
    id: str
    sender: Any
    text: Detokeniser
    stop: StopBefore
    pieces: list[str] = field(default_factory=list)  # not sent yet
    log_prob: float = 0.0
    is_over: bool = False


class StopBefore:
    """Ends a text before the word that is complete first, however the text is cut; what may begin one is held back."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._held = ""
        self.found = ""

    def push(self, piece: str, *, is_last: bool = False) -> str:
        """Return the text that is certain now."""
        if self.found or not self._words:
            return "" if self.found else piece
        text = self._held + piece
        ends = [(text.find(word) + len(word), text.find(word), word) for word in self._words if word in text]
        if ends:
            _, place, self.found = min(ends)
            self._held = ""
            return text[:place]
        keep = 0 if is_last else max(_overlap(text, word) for word in self._words)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, word: str) -> int:
    """Return how many characters at the text's end begin the word."""
    return next((length for length in range(min(len(text), len(word) - 1), 0, -1) if text.endswith(word[:length])), 0)


class Completer:
    """Serves an engine's tokens as text.

    Triton's thread reads and submits; the engine's puts each step into a queue; ours makes text of it, sends it, and
    looks from time to time who has gone.
    """

    def __init__(
        self, engine: Any, found: Configuration, triton: Any, request: Any, sampling: Any, refusals: tuple[Any, Any]
    ) -> None:
        """Take an engine, and the classes of its contract."""
        self._engine, self._found, self._triton = engine, found, triton
        self._make_request, self._make_sampling = request, sampling
        self._refused, self._full = refusals
        self._steps: SimpleQueue[Sequence[Any] | None] = SimpleQueue()
        self._answers: dict[Any, Answer] = {}
        self._lock = Lock()  # of _answers
        self._thread = Thread(target=self._run, name="completer")

    def start(self) -> None:
        """Start the engine and the thread."""
        self._engine.start(self._steps.put)
        self._thread.start()

    def close(self) -> None:
        """End both; requests inside get an error."""
        self._engine.close()
        self._steps.put(None)
        self._thread.join()

    def accept(self, requests: Sequence[Any]) -> None:
        """Submit requests to the engine; what cannot be served is answered at once."""
        for request in requests:
            sender = request.get_response_sender()
            tensors = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            try:
                if is_stop(tensors):
                    self._stop(request.request_id(), sender)
                else:
                    self._submit(read_prompt(tensors, is_decoupled=self._found.is_decoupled), request, sender)
            except self._full as problem:
                self._fail(sender, str(problem), self._triton.TritonError.UNAVAILABLE)
            except (PromptError, self._refused) as problem:
                self._fail(sender, str(problem), self._triton.TritonError.INVALID_ARG)

    def _submit(self, prompt: Prompt, request: Any, sender: Any) -> None:
        tokenizer, limits = self._found.tokenizer, self._engine.limits
        ids = tokenizer.codec.encode_prompt(prompt.text)
        longest = min(limits.max_input_len, limits.max_seq_len - 1)
        if not 1 <= len(ids) <= longest:
            raise PromptError(f"the prompt has {len(ids)} tokens; this model takes 1 to {longest}")
        asked = self._make_request(
            tokens=np.array(ids, np.int32),
            max_new_tokens=min(prompt.max_tokens, limits.max_seq_len - len(ids)),
            end_id=tokenizer.end_id,
            sampling=self._make_sampling(**prompt.sampling),
            needs_log_probs=prompt.log_prob,
            # a stop word is text: it is looked for as the text is made
            needs_steps=prompt.is_streaming or bool(prompt.stop),
        )
        text = Detokeniser(tokenizer.codec, skip_special_tokens=self._found.skip_special_tokens)
        answer = Answer(prompt, request.request_id(), sender, text, StopBefore(prompt.stop))
        with self._lock:
            self._answers[asked] = answer
        try:
            self._engine.submit(asked)
        except self._refused:
            self._forget(asked)
            raise

    def _stop(self, request_id: str, sender: Any) -> None:
        """End the requests of this id, which then answer with what they have; this one answers as NVIDIA's does."""
        if not request_id:
            raise PromptError("stop needs the id of the request to be stopped as its own request id")
        with self._lock:
            requests = [asked for asked, answer in self._answers.items() if answer.id == request_id]
        for asked in requests:
            self._engine.cancel(asked)
        self._fail(sender, "Request cancelled by client", self._triton.TritonError.CANCELLED)

    def _run(self) -> None:
        period_s = self._found.cancellation_check_period_ms / 1000
        due_s = monotonic() + period_s
        while True:
            try:
                step = self._steps.get(timeout=max(0.0, due_s - monotonic()))
                if step is None:
                    return
                for event in step:
                    self._follow(event)
            except Empty:
                pass
            if monotonic() >= due_s:
                self._cancel_abandoned()
                due_s = monotonic() + period_s

    def _follow(self, event: Any) -> None:
        """Make text of what a step brought for one request, and send it."""
        answer = self._answers.get(event.request)
        if answer is None:
            return
        answer.log_prob += sum(event.log_probs)
        text = "" if answer.is_over else answer.text.push(event.tokens) + (answer.text.flush() if event.finish else "")
        piece = answer.stop.push(text, is_last=bool(event.finish))
        if answer.stop.found and not answer.is_over:
            answer.is_over = True
            if not event.finish:
                self._engine.cancel(event.request)  # its last event follows, and ends the answer
        answer.pieces += [piece] if piece else []
        if event.finish:
            self._forget(event.request)
            self._finish(answer, event)
        elif answer.prompt.is_streaming and answer.pieces:
            self._send(answer, self._tensors(answer, None), is_last=False)

    def _finish(self, answer: Answer, event: Any) -> None:
        if event.finish == "error":
            self._fail(answer.sender, event.error, self._triton.TritonError.INTERNAL)
        else:
            self._send(answer, self._tensors(answer, event), is_last=True)

    def _tensors(self, answer: Answer, last: Any) -> dict[str, Array]:
        """Return the outputs of a response; `last` is the event that ended the answer."""
        prompt = answer.prompt
        text = "".join(answer.pieces)
        answer.pieces.clear()
        if prompt.with_prompt and not prompt.is_streaming:
            text = prompt.text + text
        tensors: dict[str, Array] = {"text_output": _text(text)}
        finish = "stop" if answer.stop.found else last.finish if last else ""
        if prompt.finish_reason:
            tensors["finish_reason"] = _text(finish or "None")
        if prompt.stop_reason:
            tensors["stop_reason"] = _text(answer.stop.found or "None")
        if prompt.log_prob:
            tensors["cumulative_logprob"] = np.array([answer.log_prob], np.float32)
        if prompt.perf_metrics and last:
            tensors |= dict(_measures(last))
        return tensors

    def _send(self, answer: Answer, tensors: dict[str, Array], *, is_last: bool) -> None:
        outputs = [self._triton.Tensor(name, array) for name, array in tensors.items() if name in self._found.outputs]
        flags = self._triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL if is_last else 0
        answer.sender.send(self._triton.InferenceResponse(outputs), flags=flags)

    def _fail(self, sender: Any, message: str, code: Any) -> None:
        response = self._triton.InferenceResponse([], self._triton.TritonError(message, code))
        sender.send(response, flags=self._triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _cancel_abandoned(self) -> None:
        for asked, answer in list(self._answers.items()):
            if answer.sender.is_cancelled():
                self._engine.cancel(asked)

    def _forget(self, asked: Any) -> None:
        with self._lock:
            self._answers.pop(asked, None)


def _text(text: str) -> Array:
    return np.array([text.encode()], np.object_)


def _measures(event: Any) -> Iterator[tuple[str, Array]]:
    """Yield what is measured of a request, as config.pbtxt declares it."""
    blocks, timing = event.blocks, event.timing
    counts = {"reused_block": blocks.reused, "missed_block": blocks.new, "alloc_new_blocks": blocks.new}
    for name, count in {**counts, "alloc_total_blocks": blocks.total}.items():
        yield f"kv_cache_{name}", np.array([count], np.int32)
    yield "kv_cache_hit_rate", np.array([blocks.reused / max(blocks.reused + blocks.new, 1)], np.float32)
    for stage in ("arrival", "first_scheduled", "first_token", "last_token"):
        yield f"{stage}_time_ns", np.array([getattr(timing, f"{stage}_ns")], np.int64)
