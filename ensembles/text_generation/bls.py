"""What tensorrt_llm_bls does with one request: preprocessing, tensorrt_llm, text. Runs inside Triton."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import uuid4

import numpy as np

from .bls_tensors import (
    FROM_PREPROCESSING,
    Tensors,
    first,
    for_engine,
    for_preprocessing,
    refuse_missing,
    refuse_unbuilt,
    to_stop,
)
from .draft_target import Speculation, read_speculation, speculate
from .generation import Answer, Conversation, Row, read_rows
from .jobs import Cancelled, Client, Job, Watch
from .model_parameters import ClientError, flag, read_parameters, require_batching, tensor_names, tokenizer_path
from .tokenizer_folder import TokenizerFolder, read_tokenizer

PARAMETERS = (
    "tokenizer_dir",
    "skip_special_tokens",
    "accumulate_tokens",  # NVIDIA's cure for lost spaces; nothing is lost here with or without it
    "preprocessing_model_name",
    "tensorrt_llm_model_name",
    "tensorrt_llm_draft_model_name",
    "multimodal_encoders_name",
)


class ModelError(RuntimeError):
    """Raised when a model that was called answers with an error; `code` is Triton's."""

    def __init__(self, model: str, message: str, code: int | None) -> None:
        super().__init__(f"{model}: {message}")
        self.code = code


class Models(Protocol):
    """The models of the server, as a Python model can call them."""

    def ask(
        self, model: str, inputs: Tensors, outputs: Sequence[str], request_id: str, *, is_decoupled: bool
    ) -> Iterator[Tensors]:
        """Yield the responses to a request; without `outputs` every output.

        Raises: ModelError.
        """


@dataclass(frozen=True)
class Setup:
    """What a configuration says."""

    tokenizer: TokenizerFolder
    skip_special_tokens: bool
    preprocessing: str
    engine: str
    draft: str
    is_decoupled: bool
    inputs: frozenset[str]
    required: frozenset[str]
    outputs: frozenset[str]


def read_setup(config: Mapping[str, Any], model_folder: str, version: str) -> Setup:
    """Return what a model configuration asks for.

    Raises: ValueError, naming the parameter, where it makes no sense.
    """
    require_batching(config)
    texts = read_parameters(config, PARAMETERS)
    flag(texts, "accumulate_tokens", default=True)
    return Setup(
        tokenizer=read_tokenizer(tokenizer_path(texts, model_folder, version)),
        skip_special_tokens=flag(texts, "skip_special_tokens", default=True),
        preprocessing=texts.get("preprocessing_model_name", "preprocessing"),
        engine=texts.get("tensorrt_llm_model_name", "tensorrt_llm"),
        draft=texts.get("tensorrt_llm_draft_model_name", ""),
        is_decoupled=bool(config.get("model_transaction_policy", {}).get("decoupled", False)),
        inputs=tensor_names(config, "input"),
        required=frozenset(tensor["name"] for tensor in config["input"] if not tensor.get("optional")),
        outputs=tensor_names(config, "output"),
    )


class Bls:
    """Answers requests by calling the other models.

    Where models answer once, `serve` may run in many threads. Where they are decoupled, one thread does everything:
    with two of them, one that waits for a response and one that makes a request block each other for ever
    (python_backend: ResponseIterator::Next waits for the GIL with the iterator's lock, Stub::GetResponseIterator for
    that lock with the GIL; seen on 2.51 within seconds).

    That the client is gone has to be asked for: Triton does not hand a cancellation on to the requests that a Python
    model makes, nor does letting go of their responses end them (tried on 2.51).
    """

    def __init__(self, setup: Setup, models: Models) -> None:
        self._setup = setup
        self._models = models
        self._watch = None if setup.is_decoupled else Watch(self._stop)

    def close(self) -> None:
        """End what runs in the background."""
        if self._watch is not None:
            self._watch.close()

    def serve(self, client: Client, inputs: Tensors, wanted: Iterable[str]) -> None:
        """Send the whole answer to a request.

        Raises: ClientError, ModelError, Cancelled where there is none, or it ends early.
        """
        job = Job(client)
        if self._watch is not None:
            self._watch.add(job)
        try:
            self._answer(job, inputs, self._setup.outputs.intersection(wanted))
        finally:
            job.close()
            if self._watch is not None:
                self._watch.remove(job)

    def _answer(self, job: Job, inputs: Tensors, outputs: frozenset[str]) -> None:
        if job.is_abandoned():  # while it waited for this instance
            raise Cancelled("cancelled by the client")
        refuse_missing(inputs, self._setup.required)
        refuse_unbuilt(inputs)
        encoded = self._preprocess(inputs)
        rows = read_rows(inputs, encoded)
        codec, skips = self._setup.tokenizer.codec, self._setup.skip_special_tokens
        conversation = Conversation(inputs, rows, codec, skip_special_tokens=skips)
        responses = self._responses(job, inputs, encoded, rows, outputs)
        try:
            self._send(job, conversation.answers(responses, outputs))
        finally:
            self._leave(job, responses)

    def _send(self, job: Job, answers: Iterable[Answer]) -> None:
        """Send answers until the last one, or until the client is gone."""
        is_ended = False
        for answer in answers:
            if job.is_stopped:
                break
            is_ended = answer.is_last or not self._setup.is_decoupled
            if is_ended:
                job.close()
            job.client.send(answer.tensors, is_last=is_ended)
        if job.is_stopped and not is_ended:
            raise Cancelled("cancelled by the client")
        if not is_ended and not self._setup.is_decoupled:
            raise ModelError(self._setup.engine, "answered without tokens", None)
        if not is_ended:
            job.close()
            job.client.end()

    def _leave(self, job: Job, responses: Iterator[Tensors]) -> None:
        """Let tensorrt_llm end what nobody waits for, and take what it has sent meanwhile."""
        with contextlib.suppress(ModelError, ClientError):
            if next(responses, None) is not None:
                self._stop(job)
                for _ in responses:
                    pass

    def _responses(
        self, job: Job, inputs: Tensors, encoded: Tensors, rows: Sequence[Row], outputs: frozenset[str]
    ) -> Iterator[Tensors]:
        """Return the responses to what preprocessing has made of a request.

        Raises: ClientError.
        """
        if any(row.max_tokens < 1 for row in rows):
            raise ClientError(f"max_tokens is {min(row.max_tokens for row in rows)}; it must be 1 or more")
        engine_inputs = for_engine(inputs, encoded)
        if int(first(inputs, "num_draft_tokens")) < 1:
            names = sorted({"output_ids", "sequence_length"} | self._passed(outputs))
            return self._ask(job, self._setup.engine, engine_inputs, names)
        if not self._setup.draft:
            raise ClientError("num_draft_tokens needs a draft model: tensorrt_llm_draft_model_name is not set")
        plan = read_speculation(inputs, engine_inputs, rows, self._setup.inputs)
        return self._speculate(job, plan, inputs)

    def _passed(self, outputs: frozenset[str]) -> set[str]:
        """Return the outputs that are asked of tensorrt_llm beside its tokens, the indices of a batch among them."""
        return (set(outputs) | {"batch_index", "sequence_index"} & set(self._setup.outputs)) - {"text_output"}

    def _preprocess(self, inputs: Tensors) -> Tensors:
        asked = for_preprocessing(inputs)
        names = list(FROM_PREPROCESSING)
        (encoded,) = self._models.ask(self._setup.preprocessing, asked, names, "", is_decoupled=False)
        return encoded

    def _ask(self, job: Job, model: str, inputs: Tensors, outputs: Sequence[str]) -> Iterator[Tensors]:
        """Yield the responses of an engine, which ends early where the job is stopped."""
        request_id = uuid4().hex
        job.asked[request_id] = model
        try:
            is_decoupled = self._setup.is_decoupled
            for response in self._models.ask(model, inputs, outputs, request_id, is_decoupled=is_decoupled):
                if is_decoupled and job.is_abandoned():
                    self._stop(job)
                yield response
        finally:
            del job.asked[request_id]

    def _speculate(self, job: Job, plan: Speculation, inputs: Tensors) -> Iterator[Tensors]:
        """Yield what a target and its draft model make together, in the form of tensorrt_llm's responses."""
        outputs = ["output_ids", "sequence_length"]
        with_logits = [*outputs, "generation_logits"] if plan.uses_logits else outputs

        def ask_draft(asked: Tensors) -> Tensors:
            return _whole(self._ask(job, self._setup.draft, asked, with_logits))

        def ask_target(asked: Tensors) -> Tensors:
            return _whole(self._ask(job, self._setup.engine, asked, outputs))

        is_streaming = bool(first(inputs, "stream"))
        tokens = [] if first(inputs, "exclude_input_in_output") else list(plan.row.prompt)
        for step in speculate(plan, ask_draft, ask_target):
            if job.is_stopped:
                return
            if is_streaming:
                yield _response(step)
            tokens += step
        if not is_streaming:
            yield _response(tokens)

    def _stop(self, job: Job) -> None:
        """Let the engines end a job's requests."""
        job.is_stopped = True
        is_decoupled = self._setup.is_decoupled
        for request_id, model in list(job.asked.items()):
            with contextlib.suppress(ModelError):  # it has ended by itself
                asked = self._models.ask(model, to_stop(), ["output_ids"], request_id, is_decoupled=is_decoupled)
                collections.deque(asked, maxlen=0)


def _whole(responses: Iterable[Tensors]) -> Tensors:
    """Return the one response that has tokens."""
    found = [response for response in responses if "output_ids" in response]
    return found[-1] if found else _response([])


def _response(tokens: Sequence[int]) -> Tensors:
    return {
        "output_ids": np.array([[list(tokens)]], np.int32),
        "sequence_length": np.array([[len(tokens)]], np.int32),
    }
