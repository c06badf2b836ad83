"""What is wanted of a pipeline -> its tensors; one of its responses -> a piece of text."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tritonsmith.backends.client.base import InferRequest, InferResponse, Tensor
from tritonsmith.backends.openai.errors import invalid
from tritonsmith.backends.openai.pipelines import Pipeline
from tritonsmith.backends.openai.request import Sampling
from tritonsmith.generator.catalog.datatypes import BY_WIRE

SEEDS = 2**64  # UINT64
# the LLM API's names; of the other target only `seed` has two
_LLMAPI = {name: f"sampling_param_{name}" for name in ("max_tokens", "temperature", "top_p", "top_k", "seed")} | {
    "stream": "streaming",
    "presence_penalty": "sampling_param_presence_penalty",
    "frequency_penalty": "sampling_param_frequency_penalty",
    "exclude_input": "sampling_param_exclude_input_from_output",
    "finish_reason": "return_finish_reason",
}
_TENSORRTLLM = {"exclude_input": "exclude_input_in_output"}


@dataclass(frozen=True)
class Wish:
    """A prompt and how it is to be completed."""

    prompt: str
    max_tokens: int
    sampling: Sampling


@dataclass(frozen=True)
class Piece:
    """What one response brings. tokens None: the pipeline does not count them; finish "" unless the pipeline says."""

    text: str
    tokens: int | None = None
    finish: str = ""


def infer_request(pipeline: Pipeline, wish: Wish, request_id: str) -> InferRequest:
    """Return the request for a wish, as a stream where the pipeline can: stop words are found in the text as it comes.

    Raises: ApiError for what this pipeline has no input for.
    """
    tensors = [_tensor(pipeline, name, value) for name, value in _values(pipeline, wish)]
    return InferRequest(pipeline.model, tensors, outputs=_outputs(pipeline), id=request_id)


def stop_request(pipeline: Pipeline, request_id: str) -> InferRequest:
    """Return the request that makes the engine end the one of the same id.

    Source: TensorRT-LLM: the backend's `stop` input; the others are there because the contract requires them.
    """
    values: Mapping[str, Any] = {
        "input_ids": np.zeros((1, 1), np.int32),
        "input_lengths": np.ones((1, 1), np.int32),
        "request_output_len": np.ones((1, 1), np.int32),
        "stop": np.ones((1, 1), np.bool_),
    }
    tensors = [Tensor(name, "BOOL" if name == "stop" else "INT32", value) for name, value in values.items()]
    return InferRequest(pipeline.engine, tensors, id=request_id)


class Reader:
    """Reads the responses to one request."""

    def __init__(self) -> None:
        self._counted = 0

    def piece(self, response: InferResponse) -> Piece:
        """Return what a response adds.

        num_output_tokens counts a response's own tokens; output_log_probs has those of all responses so far.
        """
        outputs = {name: tensor.array.reshape(-1) for name, tensor in response.outputs.items()}
        text = b"".join(outputs["text_output"].tolist()).decode("utf-8", "replace") if "text_output" in outputs else ""
        finish = outputs["finish_reason"][0].decode() if outputs.get("finish_reason", np.empty(0)).size else ""
        tokens: int | None = None
        if "num_output_tokens" in outputs:
            tokens = int(outputs["num_output_tokens"].sum())
        elif "output_log_probs" in outputs:
            tokens = outputs["output_log_probs"].size - self._counted
            self._counted += tokens
        return Piece(text, tokens, finish if finish in ("stop", "length") else "")


def _outputs(pipeline: Pipeline) -> tuple[str, ...]:
    wanted = ["text_output"]
    if pipeline.is_llmapi:
        wanted += ["finish_reason"]
    else:
        wanted += ["num_output_tokens" if "num_output_tokens" in pipeline.outputs else "output_log_probs"]
    return tuple(name for name in wanted if name in pipeline.outputs)


def _values(pipeline: Pipeline, wish: Wish) -> Iterator[tuple[str, Any]]:
    """Yield the inputs by name. What makes the answer only easier to read is left out where there is no input for it.

    Raises: ApiError.
    """
    names = _LLMAPI if pipeline.is_llmapi else _TENSORRTLLM | {"seed": _seed_name(pipeline)}
    asked = {"text_input": wish.prompt.encode(), "max_tokens": wish.max_tokens, **dict(_asked(wish.sampling))}
    eased = {"stream": pipeline.is_streaming, "exclude_input": True, "seed": secrets.randbits(63), **_reports(pipeline)}
    for name, value in (eased | asked).items():
        own = names.get(name, name)
        if own in pipeline.inputs:
            yield own, value
        elif name in asked:
            raise invalid(f"{name} cannot be had from '{pipeline.name}': it has no input '{own}'", name)


def _asked(sampling: Sampling) -> Iterator[tuple[str, float]]:
    """Yield what the sampling asks for.

    top_p 1 is everything that the model deems possible; without it TensorRT-LLM takes the likeliest token.
    """
    if sampling.is_greedy:
        yield "top_k", 1
    else:
        yield "top_p", sampling.top_p
        if sampling.temperature != 1.0:
            yield "temperature", sampling.temperature
    if sampling.seed is not None:
        yield "seed", sampling.seed % SEEDS
    for name in ("presence_penalty", "frequency_penalty"):
        if value := getattr(sampling, name):
            yield name, value


def _reports(pipeline: Pipeline) -> dict[str, bool]:
    """Return the flags of what is asked beside the text."""
    if pipeline.is_llmapi:
        return {"finish_reason": True}
    counter = "return_num_output_tokens" if "num_output_tokens" in pipeline.outputs else "return_log_probs"
    return {counter: True}


def _seed_name(pipeline: Pipeline) -> str:
    return "seed" if "seed" in pipeline.inputs else "random_seed"  # before TensorRT-LLM 1.0


def _tensor(pipeline: Pipeline, name: str, value: Any) -> Tensor:
    expected = pipeline.inputs[name]
    array = np.empty(expected.shape, np.dtype(BY_WIRE[expected.datatype].numpy))
    array.fill(value)
    return Tensor(name, expected.datatype, array)
