"""Triton's control endpoints over HTTP, with the standard library alone: load, unload, index, metadata, statistics."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tritonsmith.generator.errors import ServerError

START = "start one with `tritonsmith serve`, or check --url"
SHOWN_CHARACTERS = 80  # of an answer that no Triton gives


@dataclass(frozen=True)
class ModelState:
    """One line of the repository index; version and state are empty for a model that was never loaded."""

    name: str
    version: str = ""
    state: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Control:
    """A server's control endpoints; `url` is "host:port". Every call has a time limit and raises ServerError.

    The error of a server that does not answer in time, and so may hang, has a TimeoutError as its cause.
    """

    url: str
    timeout_s: float = 10.0

    def is_live(self) -> bool:
        """Return whether the server answers."""
        try:
            self._call("GET", "v2/health/live", timeout_s=2.0)
        except ServerError:
            return False
        return True

    def server_metadata(self) -> dict[str, Any]:
        """Return the server's name, version and extensions."""
        return self._object("GET", "v2")

    def index(self) -> list[ModelState]:
        """Return every model and version that the server knows."""
        lines = self._json("POST", "v2/repository/index", {})
        return [ModelState(**{key: str(value) for key, value in line.items()}) for line in lines]

    def load(self, name: str, config: Mapping[str, Any] | None = None, *, timeout_s: float | None = None) -> None:
        """Load a model or load it again, with `config` (a whole ModelConfig as JSON) in place of its config.pbtxt."""
        parameters = {} if config is None else {"parameters": {"config": json.dumps(config)}}
        self._call("POST", f"v2/repository/models/{quote(name)}/load", parameters, timeout_s=timeout_s)

    def is_ready(self, name: str, version: int) -> bool:
        """Return whether one version of a model is ready; the index leaves out models that were uploaded."""
        try:
            self._call("GET", f"{_model_path(name, str(version))}/ready")
        except ServerError:
            return False
        return True

    def unload(self, name: str, *, timeout_s: float | None = None) -> None:
        """Unload a model; returns before the last instance has ended."""
        self._call("POST", f"v2/repository/models/{quote(name)}/unload", {}, timeout_s=timeout_s)

    def metadata(self, name: str, version: str = "") -> dict[str, Any]:
        """Return a model's tensors as it serves them."""
        return self._object("GET", _model_path(name, version))

    def config(self, name: str, version: str = "") -> dict[str, Any]:
        """Return a model's configuration, completed by the server."""
        return self._object("GET", f"{_model_path(name, version)}/config")

    def statistics(self, name: str = "", version: str = "") -> dict[str, Any]:
        """Return the statistics of one model or of all."""
        return self._object("GET", f"{_model_path(name, version)}/stats" if name else "v2/models/stats")

    def _object(self, verb: str, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._json(verb, path)
        return answer

    def _json(self, verb: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        content = self._call(verb, path, body)
        try:
            return json.loads(content)
        except ValueError:
            raise http_error(self.url, f"/{path}", 200, content) from None

    def _call(
        self, verb: str, path: str, body: Mapping[str, Any] | None = None, *, timeout_s: float | None = None
    ) -> bytes:
        """Send one request and return the answer's body."""
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        connection = http.client.HTTPConnection(self.url, timeout=limit_s)
        try:
            connection.request(verb, f"/{path}", None if body is None else json.dumps(body))
            answer = connection.getresponse()
            content = answer.read()
        except TimeoutError as problem:
            raise ServerError(f"{self.url} did not answer /{path} within {limit_s:g} s") from problem
        except (OSError, http.client.HTTPException) as problem:
            raise no_answer(self.url, problem) from problem
        finally:
            connection.close()
        if answer.status >= 400:
            raise http_error(self.url, f"/{path}", answer.status, content)
        return content


def _model_path(name: str, version: str) -> str:
    return f"v2/models/{quote(name)}" + (f"/versions/{version}" if version else "")


def no_answer(url: str, problem: Exception) -> ServerError:
    """Return the error for a connection that failed, or that brought something other than HTTP."""
    if not isinstance(problem, http.client.BadStatusLine) or isinstance(problem, http.client.RemoteDisconnected):
        return ServerError(f"no Triton answers at {url}: {str(problem) or type(problem).__name__}", hint=START)
    line = str(problem)
    if re.match(r"...\x04.\0{4}", line, re.DOTALL):  # SETTINGS on stream 0: HTTP/2's first frame (RFC 9113)
        message = f"{url} speaks HTTP/2 alone, as a gRPC port does, and was asked over HTTP/1.1"
        return ServerError(message, hint="use --protocol grpc, or the server's HTTP port (8000 where none was chosen)")
    said = line if len(line) <= SHOWN_CHARACTERS else f"{line[:SHOWN_CHARACTERS]}..."
    return ServerError(f"no Triton answers at {url}: it speaks no HTTP, but said {said!r}", hint=START)


def http_error(url: str, path: str, status: int, content: bytes) -> ServerError:
    """Return the error for an HTTP answer: in Triton's own words, else saying that what answers is no Triton."""
    try:
        return ServerError(str(json.loads(content)["error"]))
    except (ValueError, KeyError, TypeError):
        text = " ".join(content.decode("utf-8", "replace").split())
    answer = f"{url} answered {path} with status {status}"
    if not text:  # Triton's own answer where it does not know a path
        return ServerError(answer)
    cut = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."
    return ServerError(f"no Triton answers at {url}: {answer} and '{cut}'", hint=START)
