"""What was served on another's server before a command of ours changed it, to be undone after a kill by the next one.

It is written before the first change, into the user's state folder, and removed when it is served again; whoever
measures the same server next looks there first.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.alone import alone_with, notes_of
from tritonsmith.backends.client.base import grpc_beside
from tritonsmith.backends.client.configs import as_json, as_submitted
from tritonsmith.backends.client.control import Control
from tritonsmith.generator import console
from tritonsmith.generator.errors import ServerError
from tritonsmith.generator.files import write_private
from tritonsmith.perf.files import writing
from tritonsmith.perf.served import Served
from tritonsmith.perf.target import Target


def running_target(url: str, grpc_url: str | None = None) -> Target:
    """Return a server that others started as a target, after undoing what an earlier command left changed on it.

    `url` is as it was typed; gRPC is by default at the port after it.

    Raises: UsageError where the URL has no port; as `undo_leftovers`.
    """
    target = Target(url.removeprefix("http://").rstrip("/"), grpc_url or grpc_beside(url))
    undo_leftovers(target)
    return target


def undo_leftovers(target: Target) -> None:
    """Undo what an earlier command, killed, left changed on a server that is not ours, and say so.

    Where a model meanwhile serves something else than that command had loaded, the server was started anew or somebody
    else changed it: it is left alone.

    Raises: UsageError where another command is changing this server just now; ServerError where it does not take back.
    """
    if target.server is not None or not undoing_path(target).exists():
        return
    with undoing_of(target) as undoing:
        entry = undoing.read()
        if entry.get("server") == _server_of(target.control):
            for name, config in entry["original"].items():
                _give_back(target, name, config, entry["submitted"].get(name, []))
        undoing.remove()


class Undoing:
    """What was served on another's server before we changed it: one private file, whole or not there."""

    def __init__(self, path: Path, control: Control) -> None:
        self.path = path
        self.control = control

    def note(self, original: Served, name: str, config: ModelConfig) -> None:
        """Write down that `config` is about to be loaded in place of what was served."""
        entry = self.read() or {"url": self.control.url, "server": _server_of(self.control), "submitted": {}}
        entry["original"] = dict(original)
        known = entry["submitted"].setdefault(name, [])
        if (document := as_json(config)) not in known:
            known.append(document)
            with writing(self.path):
                write_private(self.path, json.dumps(entry, indent=1).encode())

    def read(self) -> dict[str, Any]:
        """Return what is written down; nothing where there is none, or nothing that can be read."""
        try:
            entry: dict[str, Any] = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return {}
        return entry

    def remove(self) -> None:
        """Forget it: all is as it was."""
        self.path.unlink(missing_ok=True)


def undoing_path(target: Target) -> Path:
    """Return where overrides on this server are written down."""
    return notes_of(target.http_url)


@contextlib.contextmanager
def undoing_of(target: Target) -> Iterator[Undoing]:
    """Keep other commands of this user off the server meanwhile; the kernel lets go of the lock, however we end."""
    with alone_with(target.http_url, "what it changes on the server would be measured"):
        yield Undoing(undoing_path(target), target.control)


def _give_back(target: Target, name: str, original: Mapping[str, Any], submitted: list[Mapping[str, Any]]) -> None:
    try:
        now = as_submitted(target.control.config(name))
    except ServerError:
        return  # it is not loaded any more
    ours = [as_submitted(config) for config in submitted]
    if now == as_submitted(original) or now not in ours:
        return
    target.restore(name, original)
    console.say(f"note: {target.http_url}: '{name}' is served as before an earlier command, since ended, changed it")


def _server_of(control: Control) -> list[str]:
    metadata = control.server_metadata()
    return [str(metadata.get("name", "")), str(metadata.get("version", ""))]
