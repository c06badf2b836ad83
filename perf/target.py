"""The server that a sweep measures: where it answers, and how a configuration gets onto it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonsmith.backends.client.control import Control
from tritonsmith.backends.server import log
from tritonsmith.backends.server.embedded import Server
from tritonsmith.generator import console
from tritonsmith.generator.errors import ServerError

RELOAD_LIMIT_S = 120.0


@dataclass(frozen=True)
class Target:
    """A running server ("host:port" each); `server` is it where we started it ourselves."""

    http_url: str
    grpc_url: str
    server: Server | None = None

    @property
    def repository(self) -> Path | None:
        """The repository that it serves, where that is known."""
        return self.server.prepared.repository if self.server else None

    @property
    def metrics_url(self) -> str:
        """Where it answers metrics: our own server's, else Triton's default, two ports after HTTP's."""
        if self.server:
            return self.server.metrics_url if self.server.options.allow_metrics else ""
        host, _, port = self.http_url.rpartition(":")
        return f"{host}:{int(port) + 2}" if port.isdigit() else ""

    @property
    def control(self) -> Control:
        """Its control endpoints."""
        return Control(self.http_url)

    def notices(self, models: Collection[str]) -> tuple[str, ...]:
        """Return what our own server changed to serve these models here; a server that is not ours says nothing."""
        if self.server is None:
            return ()
        others = [name for name in self.server.prepared.configs if name not in models]
        return tuple(line for line in self.server.notices if line.partition(": ")[0] not in others)

    def load(self, name: str, config: Mapping[str, Any], *, where: str) -> None:
        """Load a model again with `config` (a whole ModelConfig as JSON); our own server fits it to this machine.

        Raises: ServerError with the model's own reason, without the places of our private files.
        """
        offset = self.server.log.stat().st_size if self.server else 0
        try:
            if self.server is None:
                self.control.load(name, config, timeout_s=RELOAD_LIMIT_S)
            else:
                _load_fitted(self.server, name, config)
        except ServerError as problem:
            reason = _reason(name, problem.message, self.server, offset)
            raise ServerError(
                f"model '{name}' does not load: {reason}", where=where, hint=problem.hint
            ) from problem.__cause__

    def restore(self, name: str, config: Mapping[str, Any]) -> None:
        """Load a model as it was; `config` is what the server said of it then.

        Raises: ServerError.
        """
        if self.server is None:
            self.control.load(name, config, timeout_s=RELOAD_LIMIT_S)
        else:
            self.server.load(name)


def embedded_target(server: Server) -> Target:
    """Return the target that an embedded server is."""
    return Target(server.http_url, server.grpc_url, server)


def _load_fitted(server: Server, name: str, config: Mapping[str, Any]) -> None:
    """Load through the server, and say what it changed for this machine."""
    known = len(server.notices)
    server.load(name, config)
    for line in server.notices[known:]:
        console.say(f"note: {line}")


def _reason(name: str, answer: str, server: Server | None, offset: int) -> str:
    """Return the model's own reason, from the answer or from what our server logged since `offset`."""
    reason = log.answer_reason(answer)
    if server is not None:
        if log.is_poll_failure(answer):
            reason = log.poll_failure(log.read_since(server.log, offset), name) or reason
        reason = server.prepared.in_users_words(reason)
    return reason.partition(log.PYTHON_STACK)[0].strip("; \n")
