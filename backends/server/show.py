"""What `serve` shows: where a server answers, and the state of each model."""

from __future__ import annotations

from typing import Any

from tritonsmith.backends.client.control import ModelState
from tritonsmith.backends.server.embedded import Server
from tritonsmith.generator.console import table


def as_text(server: Server, openai_url: str = "") -> str:
    """Return the server's URLs and a table of its models."""
    lines = [f"HTTP     http://{server.http_url}", f"gRPC     {server.grpc_url}"]
    lines += [f"metrics  http://{server.metrics_url}/metrics"] if server.options.allow_metrics else []
    lines += [f"OpenAI   {openai_url}"] if openai_url else []
    rows = [(state.name, state.version, state.state) for state in model_states(server)]
    lines += ["", table(["model", "version", "state"], rows)]
    lines += [f"{name}: {reason}" for name, reason in server.failed.items()]
    return "\n".join(lines)


def as_json(server: Server, openai_url: str = "") -> dict[str, Any]:
    """Return the same as data, the process id and the changes for this machine besides."""
    return {
        "pid": server.pid,
        "http_url": server.http_url,
        "grpc_url": server.grpc_url,
        "metrics_url": server.metrics_url if server.options.allow_metrics else None,
        "openai_url": openai_url or None,
        "models": [
            {"name": state.name, "version": state.version, "state": state.state, "reason": state.reason}
            for state in model_states(server)
        ],
        "notices": server.notices,
    }


def model_states(server: Server) -> list[ModelState]:
    """Return the state of every model by name, those that were not tried included."""
    known = {(state.name, state.version): state for state in server.states()}
    named = {state.name for state in known.values() if state.state}
    rows = [state for state in known.values() if state.state]
    untried = [(name, reason) for name, reason in server.failed.items() if name not in named]
    rows += [ModelState(name, state="UNAVAILABLE", reason=reason) for name, reason in untried]
    return sorted(rows, key=lambda state: (state.name, state.version))
