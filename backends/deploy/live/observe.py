"""What runs on a server: models by index and by statistics, their states, versions and configurations."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from tritonsmith.backends.client.configs import as_message
from tritonsmith.backends.client.control import Control
from tritonsmith.backends.deploy.live.core import READY, Running
from tritonsmith.backends.server.adapt import Host
from tritonsmith.backends.server.embedded import EMBEDDED_ID
from tritonsmith.backends.server.view import SHIPPED_BACKENDS
from tritonsmith.backends.toolchain.find import SERVER_RELEASE
from tritonsmith.generator.errors import ServerError, UsageError

PROBE = "tritonsmith-no-such-model"
_NOT_EXPLICIT = "explicit model load / unload is not allowed"


@dataclass(frozen=True)
class Server:
    """A running server: its name and version; `host` is what an embedded one of ours has to offer."""

    name: str
    version: str
    host: Host | None = None


def find_server(control: Control) -> Server:
    """Return who answers.

    Raises: ServerError where nobody does; UsageError where models cannot be loaded on it.
    """
    metadata = control.server_metadata()
    require_explicit(control)
    name = str(metadata.get("name", ""))
    return Server(name, str(metadata.get("version", "")), _host_of(name))


def _host_of(name: str) -> Host | None:
    """Return what an embedded server has, by its name: it may run elsewhere, with other GPUs."""
    if (known := re.fullmatch(rf"{EMBEDDED_ID}/gpus=(\d+)", name)) is None:
        return None
    stand_ins = frozenset(path.parent.name for path in SHIPPED_BACKENDS.glob("*/model.py"))
    return Host(int(known[1]), stand_ins | {"python"}, SERVER_RELEASE, stand_ins)


def require_explicit(control: Control) -> None:
    """Refuse a server that loads models by itself: asked to unload what it does not have, it says so.

    Raises: UsageError.
    """
    try:
        control.unload(PROBE)
    except ServerError as problem:
        if _NOT_EXPLICIT in problem.message:
            raise UsageError(
                f"{control.url} does not load models on request: its model control mode is none or poll",
                hint="start it with --model-control-mode=explicit; or change its repository and restart it",
            ) from None
        if isinstance(problem.__cause__, TimeoutError | OSError):
            raise


def observe(control: Control) -> dict[str, Running]:
    """Return what runs, by model; models that are known and not loaded have no states.

    The index leaves out models that were uploaded and do not lie on the server's disk; the statistics know them.

    Raises: ServerError.
    """
    states: dict[str, dict[int, str]] = defaultdict(dict)
    requests: dict[str, int] = defaultdict(int)
    for line in control.index():
        states[line.name].update({int(line.version): line.state} if line.version and line.state else {})
    for entry in control.statistics().get("model_stats", []):
        name, version = str(entry["name"]), int(entry["version"])
        if states[name].get(version, "") in ("", READY):
            states[name][version] = READY
        requests[name] += _requests(entry)
    return {name: running(control, name, found, requests[name]) for name, found in sorted(states.items())}


def running(control: Control, name: str, states: dict[int, str], requests: int = 0) -> Running:
    """Return one model with its configuration, if a version of it is ready."""
    config = None
    if READY in states.values():
        try:
            config = as_message(control.config(name))
        except ServerError:  # unloaded meanwhile
            states = {version: state for version, state in states.items() if state != READY}
    return Running(states, config, requests)


def _requests(entry: dict[str, Any]) -> int:
    counts = entry.get("inference_stats", {})
    return sum(int(counts.get(key, {}).get("count", 0) or 0) for key in ("success", "fail"))
