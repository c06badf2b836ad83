"""What a model is asked: the user's requests, or one that is made up."""

import json
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.base import InferRequest, InferResponse, ModelMetadata, TensorSpec
from tritonsmith.backends.client.infer import Call, Target
from tritonsmith.backends.deploy.live.judge import Outcome
from tritonsmith.backends.deploy.live.smoke import SEQUENCE_ID, ask, made_up, read_requests
from tritonsmith.generator.errors import ServerError, UsageError

METADATA = ModelMetadata("m", ("1",), "", (TensorSpec("x", "FP32", (-1, 4)),), (TensorSpec("y", "FP32", (-1, 4)),))


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
