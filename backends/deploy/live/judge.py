"""What an answer to a smoke request proves: judged by its metadata, and by what the model answered before."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tritonsmith.backends.client.base import InferResponse, ModelMetadata
from tritonsmith.backends.deploy.live.core import Proof


class Outcome(enum.Enum):
    """How a request went."""

    ANSWERED = "answered"
    WRONG = "answered with something else than its metadata says"
    REFUSED = "answered with an error of the model's own"
    SILENT = "not served"


@dataclass(frozen=True)
class Smoke:
    """A model's answer to one request; `said` is what is wrong with it, `outputs` what came, `absent` what did not.

    A model may leave out what its metadata has.
    """

    outcome: Outcome
    said: str = ""
    outputs: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()


def judge(now: Smoke, before: Smoke | None, *, is_given: bool) -> str:
    """Return why a model is not accepted; empty where it is.

    A model may refuse values that were made up, an image decoder for one: that counts where the model before took
    them, and where the user gave the request. So does an answer that its metadata belies.
    """
    if now.outcome is Outcome.SILENT:
        return f"does not answer: {now.said}"
    was = before.outcome if before is not None else None
    if now.outcome is Outcome.ANSWERED:
        lost = sorted(before.outputs & now.absent) if before is not None and was is Outcome.ANSWERED else []
        return f"no longer answers with {', '.join(lost)}" if lost else ""
    if now.outcome is Outcome.WRONG:
        return "" if was is Outcome.WRONG else f"answers wrongly: {now.said}"
    if is_given or was is Outcome.ANSWERED:
        return f"answers {'the given' if is_given else 'a made-up'} request with an error: {now.said}"
    return ""


def prove(answers: Mapping[str, Smoke]) -> Proof:
    """Return what the answers of models that were accepted prove of them; a made-up request may have been refused."""
    return Proof(
        tuple(
            f"'{name}' answers as wrongly as before: {now.said}"
            for name, now in answers.items()
            if now.outcome is Outcome.WRONG
        ),
        {name: now.said for name, now in answers.items() if now.outcome is Outcome.REFUSED},
    )


def mismatches(response: InferResponse, metadata: ModelMetadata) -> Iterator[str]:
    """Yield where a response is not what the model's metadata says."""
    for spec in metadata.outputs:
        tensor = response.outputs.get(spec.name)
        if tensor is None:
            continue
        if tensor.datatype != spec.datatype:
            yield f"output '{spec.name}' is {tensor.datatype}, not {spec.datatype}"
        if not _fits(tensor.array.shape, spec.shape):
            shape = json.dumps(list(tensor.array.shape))
            yield f"output '{spec.name}' has shape {shape}, not {json.dumps(list(spec.shape))}"


def _fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether a shape is as said; last axes of any size may be missing, as TensorRT-LLM's postprocessing has it."""
    if len(shape) > len(wanted) or any(size != -1 for size in wanted[len(shape) :]):
        return False
    return all(want in (-1, got) for want, got in zip(wanted, shape, strict=False))
