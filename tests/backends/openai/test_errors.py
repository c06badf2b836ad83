from __future__ import annotations

from dataclasses import dataclass

import grpc  # type: ignore[import-untyped]
import pytest

from tritonsmith.backends.openai.errors import ApiError, of_call, of_words


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        ("in ensemble 'chat', the prompt has 900 tokens; the engine takes ...", 400, "context_length_exceeded"),
        ("in ensemble 'chat', [request id: 5] Exceeds maximum queue size", 429, "rate_limit_exceeded"),
        ("the queue is full: 4 requests wait; max_queue_size is 4", 429, "rate_limit_exceeded"),
        ("Request for unknown model: 'm' has no available versions", 503, "unavailable"),
        ("tensorrt_llm: the stub has ended", 500, None),
    ],
)
def test_what_a_model_answers_has_the_status_that_clients_expect(words: str, status: int, code: str | None) -> None:
    error = of_words(words)
    assert (error.status, error.code, error.message) == (status, code, words)


@dataclass
class Failure:
    """What grpc.RpcError offers."""

    status: grpc.StatusCode
    words: str

    def code(self) -> grpc.StatusCode:
        return self.status

    def details(self) -> str:
        return self.words


def test_a_server_that_has_gone_is_unavailable_and_anything_else_its_fault() -> None:
    assert of_call(Failure(grpc.StatusCode.UNAVAILABLE, "Socket closed")).status == 503
    assert of_call(Failure(grpc.StatusCode.CANCELLED, "")).body()["error"]["message"] == "CANCELLED"
    assert of_call(Failure(grpc.StatusCode.INTERNAL, "")).status == 500


def test_a_body_has_openai_s_four_fields() -> None:
    assert ApiError(404, "no", "model", "model_not_found").body() == {
        "error": {"message": "no", "type": "invalid_request_error", "param": "model", "code": "model_not_found"}
    }
    assert ApiError(429, "full").kind == "rate_limit_error"
    assert ApiError(503, "gone").kind == "server_error"
