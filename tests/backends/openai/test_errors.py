from __future__ import annotations

from dataclasses import dataclass

import grpc  # type: ignore[import-untyped]
import pytest

from tritonsmith.backends.openai.errors import ApiError, of_triton


@dataclass
class Failure:
    """What grpc.RpcError offers."""

    status: grpc.StatusCode
    words: str

    def code(self) -> grpc.StatusCode:
        return self.status

    def details(self) -> str:
        return self.words


CODES = grpc.StatusCode


@pytest.mark.parametrize(
    ("status", "words", "told", "code"),
    [
        (CODES.INVALID_ARGUMENT, "temperature -1 is negative", 400, None),
        # with an ensemble's or a caller's own status around it, the words count
        (CODES.INTERNAL, "preprocessing: the prompt has 900 tokens; ...", 400, "context_length_exceeded"),
        (CODES.UNAVAILABLE, "Exceeds maximum queue size", 429, "rate_limit_exceeded"),
        (CODES.UNAVAILABLE, "the queue is full: 4 requests wait; max_queue_size is 4", 429, "rate_limit_exceeded"),
        (CODES.UNAVAILABLE, "Request for unknown model: 'm' is not ready", 503, "unavailable"),
        (CODES.UNAVAILABLE, "Socket closed", 503, "unavailable"),
        (CODES.INTERNAL, "the stub has ended", 500, None),
        (CODES.CANCELLED, "", 500, None),
    ],
)
def test_each_failure_has_the_status_that_clients_expect(
    status: grpc.StatusCode, words: str, told: int, code: str | None
) -> None:
    error = of_triton(Failure(status, words))
    assert (error.status, error.code) == (told, code)
    assert error.message


def test_a_body_has_openai_s_four_fields() -> None:
    assert ApiError(404, "no", "model", "model_not_found").body() == {
        "error": {"message": "no", "type": "invalid_request_error", "param": "model", "code": "model_not_found"}
    }
    assert ApiError(429, "full").kind == "rate_limit_error"
    assert ApiError(503, "gone").kind == "server_error"
