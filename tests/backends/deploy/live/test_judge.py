"""How the answer to a smoke request is judged: against what the model answered before, and against its metadata."""

import numpy as np
import pytest

from tritonsmith.backends.client.base import InferResponse, ModelMetadata, Tensor, TensorSpec
from tritonsmith.backends.client.tensors import Array
from tritonsmith.backends.deploy.live.judge import Outcome, Smoke, judge, mismatches, prove

GOOD = Smoke(Outcome.ANSWERED, "", frozenset({"y"}))
REFUSED = Smoke(Outcome.REFUSED, "no image")
WRONG = Smoke(Outcome.WRONG, "output 'y' has shape [4], not [-1, 4]")
METADATA = ModelMetadata("m", ("1",), "", (TensorSpec("x", "FP32", (-1, 4)),), (TensorSpec("y", "FP32", (-1, 4)),))


@pytest.mark.parametrize(
    ("now", "before", "is_given", "said"),
    [
        (GOOD, None, False, ""),
        (GOOD, GOOD, False, ""),
        (REFUSED, None, False, ""),
        (REFUSED, REFUSED, False, ""),
        (REFUSED, GOOD, False, "a made-up request with an error: no image"),
        (REFUSED, REFUSED, True, "the given request with an error"),
        (WRONG, None, False, "answers wrongly"),
        (WRONG, GOOD, False, "answers wrongly"),
        (WRONG, WRONG, False, ""),
        (Smoke(Outcome.SILENT, "unknown model"), REFUSED, False, "does not answer: unknown model"),
        (Smoke(Outcome.ANSWERED, absent=frozenset({"y"})), GOOD, False, "no longer answers with y"),
        (Smoke(Outcome.ANSWERED, "", frozenset({"z"})), GOOD, False, ""),
    ],
)
def test_a_model_is_judged_by_what_it_did_before(now: Smoke, before: Smoke | None, is_given: bool, said: str) -> None:
    found = judge(now, before, is_given=is_given)
    assert said in found
    assert bool(found) == bool(said)


def test_what_is_accepted_is_not_proven_by_a_refusal() -> None:
    found = prove({"good": GOOD, "refused": REFUSED, "wrong": WRONG})
    assert found.unproven == {"refused": "no image"}
    assert found.notes == ("'wrong' answers as wrongly as before: output 'y' has shape [4], not [-1, 4]",)


def test_an_answer_is_compared_with_the_metadata() -> None:
    def answer(array: Array, datatype: str = "FP32") -> list[str]:
        response = InferResponse("m", "1", "", {"y": Tensor("y", datatype, array)}, {})
        return list(mismatches(response, METADATA))

    assert answer(np.zeros((1, 4), np.float32)) == []
    assert answer(np.zeros(4, np.float32)) == ["output 'y' has shape [4], not [-1, 4]"]
    assert answer(np.zeros((1, 5), np.float32)) == ["output 'y' has shape [1, 5], not [-1, 4]"]
    assert answer(np.zeros((1, 4), np.int32), "INT32") == ["output 'y' is INT32, not FP32"]


def test_last_axes_of_any_size_may_be_missing_in_an_answer() -> None:
    metadata = ModelMetadata("m", ("1",), "", (), (TensorSpec("y", "BYTES", (-1, -1)),))
    response = InferResponse("m", "1", "", {"y": Tensor("y", "BYTES", np.array([b"text"], dtype=object))}, {})
    assert list(mismatches(response, metadata)) == []
