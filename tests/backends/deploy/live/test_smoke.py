"""How the answer to a smoke request is judged: against what the model answered before."""

import json
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.base import InferRequest, InferResponse, ModelMetadata, Tensor, TensorSpec
from tritonsmith.backends.client.infer import Call, Target
from tritonsmith.backends.client.tensors import Array
from tritonsmith.backends.deploy.live.smoke import (
    SEQUENCE_ID,
    Outcome,
    Smoke,
    ask,
    judge,
    made_up,
    mismatches,
    note_of,
    read_requests,
)
from tritonsmith.generator.errors import ServerError, UsageError

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


class Refusing:
    """A client of a model that answers each request with an error of Triton's."""

    def metadata(self, model: str, version: str) -> ModelMetadata:
        return METADATA

    def config(self, model: str, version: str) -> ModelConfig:
        return ModelConfig(name=model)

    def infer(self, request: InferRequest, *, timeout_s: float = 60.0) -> InferResponse:
        raise ServerError("Request for unknown model: 'callee' is not ready")


@pytest.mark.parametrize(("is_served", "outcome"), [(True, Outcome.REFUSED), (False, Outcome.SILENT)])
def test_whether_an_error_is_the_models_own_does_not_hang_on_its_words(is_served: bool, outcome: Outcome) -> None:
    asked = ask(Refusing(), Call("m"), is_served=lambda: is_served)  # type: ignore[arg-type]
    assert asked.outcome is outcome


def test_a_refusal_that_is_accepted_is_said() -> None:
    assert "give one with --smoke" in note_of("m", REFUSED)
    assert note_of("m", GOOD) == ""


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


def test_a_made_up_request_has_a_batch_of_one_and_is_a_whole_sequence() -> None:
    config = text_format.Parse("max_batch_size: 8 sequence_batching { direct {} }", ModelConfig())
    request = made_up(Target(METADATA, config))[0]
    assert request.inputs[0].array.shape == (1, 4)
    assert request.parameters == {"sequence_id": SEQUENCE_ID, "sequence_start": True, "sequence_end": True}


def test_requests_of_the_users_are_read_by_model(tmp_path: Path) -> None:
    path = tmp_path / "smoke.json"
    path.write_text(json.dumps({"m": {"x": [1, 2]}, "n": [{"x": 1}, {"x": 2}]}))
    rows, folder = read_requests(path)
    assert rows == {"m": [{"x": [1, 2]}], "n": [{"x": 1}, {"x": 2}]}
    assert folder == tmp_path


@pytest.mark.parametrize("text", ["{", "[1]", '{"m": [1]}', '"m"'])
def test_what_is_none_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "smoke.json"
    path.write_text(text)
    with pytest.raises(UsageError):
        read_requests(path)
