"""Errors in OpenAI's form: what the request lacks, and what Triton answered, each with its status."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import grpc  # type: ignore[import-untyped]

_TOO_LONG = re.compile(r"the prompt has \d+ tokens")  # our preprocessing's and our backend's words
# Triton's own (core: dynamic_batch_scheduler.cc), and our engine's
_QUEUE_FULL = re.compile(r"maximum queue size|queue is full", re.IGNORECASE)
_NOT_READY = re.compile(r"is not ready|unknown model|unavailable", re.IGNORECASE)


@dataclass
class ApiError(Exception):
    """What a client is told instead of an answer; `param` names the field that is to blame."""

    status: int
    message: str
    param: str | None = None
    code: str | None = None

    @property
    def kind(self) -> str:
        """OpenAI's `type` for the status."""
        if self.status == 429:
            return "rate_limit_error"
        return "server_error" if self.status >= 500 else "invalid_request_error"

    def body(self) -> dict[str, Any]:
        """Return the error as OpenAI's clients read it."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """Return the error of a request that is wrong."""
    return ApiError(400, message, param, code)


def too_long(message: str, param: str | None = None) -> ApiError:
    """Return the error of a prompt that the engine cannot take."""
    return invalid(message, param, "context_length_exceeded")


def of_words(message: str) -> ApiError:
    """Return the error for what a model answered: by its words, as an error in a stream has no status.

    Triton would add one (`triton_grpc_error`), and 2.51 crashes with it: "HandleCancellation called even when the
    context was not cancelled", when a step of an ensemble refuses a request.
    """
    if _TOO_LONG.search(message):
        return too_long(message)
    if _QUEUE_FULL.search(message):
        return ApiError(429, message, code="rate_limit_exceeded")
    if _NOT_READY.search(message):
        return ApiError(503, message, code="unavailable")
    return ApiError(500, message)


def of_call(problem: Any) -> ApiError:
    """Return the error for a call that failed (grpc.RpcError): the server is not there, or going."""
    code, details = problem.code(), problem.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        return ApiError(503, details or "the server does not answer", code="unavailable")
    return of_words(details or code.name)
