"""Speculative decoding with a draft model: the small one proposes, the large one checks. Runs inside Triton.

A step asks the draft model for a few tokens and the target to go on from them; the target keeps those that it would
have chosen itself and adds one of its own. Under greedy decoding the text is the target's alone.
Source: TensorRT-LLM, tensorrt_llm_bls/1/lib/decode.py (_spec_generate).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .bls_tensors import Tensors, first
from .generation import Row
from .model_parameters import ClientError

Ask = Callable[[dict[str, npt.NDArray[Any]]], Tensors]
UNSUPPORTED = ("return_context_logits", "return_generation_logits", "return_log_probs", "return_perf_metrics")


@dataclass(frozen=True)
class Speculation:
    """A request that is answered with a draft model's help.

    `knows_exclusion`: tensorrt_llm has the input exclude_input_in_output (from 24.10 on).
    """

    row: Row
    engine_inputs: Tensors
    num_draft_tokens: int
    uses_logits: bool
    knows_exclusion: bool


def read_speculation(
    inputs: Tensors, engine_inputs: Tensors, rows: Sequence[Row], known: frozenset[str]
) -> Speculation:
    """Return what a request with num_draft_tokens asks for.

    Raises: ClientError for what goes with one sequence, token by token, alone.
    """
    if len(rows) > 1 or int(first(inputs, "beam_width", 1)) > 1 or int(first(inputs, "num_return_sequences", 1)) > 1:
        raise ClientError("num_draft_tokens needs one row, one beam and one returned sequence")
    for name in UNSUPPORTED:
        if first(inputs, name):
            raise ClientError(f"{name} is not supported with num_draft_tokens: several requests make one answer")
    return Speculation(
        row=rows[0],
        engine_inputs=engine_inputs,
        num_draft_tokens=int(first(inputs, "num_draft_tokens")),
        uses_logits=bool(first(inputs, "use_draft_logits")),
        knows_exclusion="exclude_input_in_output" in known,
    )


def speculate(plan: Speculation, ask_draft: Ask, ask_target: Ask) -> Iterator[list[int]]:
    """Yield the tokens of each step, never none, at most max_tokens in all, the end token the last."""
    row, done = plan.row, 0
    ids = list(row.prompt)
    while done < row.max_tokens:
        left = row.max_tokens - done
        draft, logits = _draft(plan, ids, min(plan.num_draft_tokens, left - 1), ask_draft)
        extra = {} if not draft else {"draft_input_ids": np.array([draft], np.int32)}
        if draft and logits is not None:
            extra["draft_logits"] = logits
        answer = ask_target(_inputs(plan, ids, len(draft) + 1, done) | extra)
        new = _up_to_end(_new_tokens(plan, ids, answer)[:left], row.end_id)
        if not new:
            return
        yield new
        ids += new
        done += len(new)
        if row.end_id in new:
            return


def _draft(plan: Speculation, ids: list[int], count: int, ask_draft: Ask) -> tuple[list[int], npt.NDArray[Any] | None]:
    """Return what the draft model proposes, and its logits [1, tokens, vocabulary] where they are wanted."""
    if count < 1:
        return [], None
    wanted = {"return_generation_logits": np.ones([1, 1], np.bool_)} if plan.uses_logits else {}
    answer = ask_draft(_inputs(plan, ids, count, done=0) | wanted)
    draft = _new_tokens(plan, ids, answer)[:count]
    logits = answer.get("generation_logits")
    if not plan.uses_logits or logits is None or not draft:
        return draft, None
    return draft, logits.reshape(1, -1, logits.shape[-1])[:, -len(draft) :]


def _inputs(plan: Speculation, ids: list[int], count: int, done: int) -> dict[str, npt.NDArray[Any]]:
    """Return a request for `count` more tokens."""
    inputs = {name: value for name, value in plan.engine_inputs.items() if name != "streaming"}
    inputs["input_ids"] = np.array([ids], np.int32)
    inputs["input_lengths"] = np.array([[len(ids)]], np.int32)
    inputs["request_output_len"] = np.array([[count]], np.int32)
    for name in ("min_tokens", "min_length"):  # counted from each request's own start
        if name in inputs:
            inputs[name] = np.maximum(inputs[name] - done, 0)
    if plan.knows_exclusion:
        inputs["exclude_input_in_output"] = np.ones([1, 1], np.bool_)
    return inputs


def _new_tokens(plan: Speculation, ids: list[int], answer: Tensors) -> list[int]:
    """Return an answer's tokens without the prompt, which older releases repeat."""
    length = int(first(answer, "sequence_length"))
    tokens = [int(one) for one in answer["output_ids"].reshape(-1)[:length]]
    if not plan.knows_exclusion and tokens[: len(ids)] == ids:
        return tokens[len(ids) :]
    return tokens


def _up_to_end(tokens: list[int], end_id: int) -> list[int]:
    return tokens[: tokens.index(end_id) + 1] if end_id in tokens else tokens
