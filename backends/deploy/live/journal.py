"""What a roll-out has touched, written down before it is: whoever comes after a kill finds the way back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.configs import as_json, as_message
from tritonsmith.backends.deploy.live.core import Change, Running, Unit
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.files import write_private

ACTING, SETTLED = "acting", "settled"


@dataclass(frozen=True)
class Entry:
    """What is written down: on which server, by `server_key`; `touched` are the units that were begun.

    `before` is what ran, by model, and `after` how the models that change are served once they have been put. It is
    settled once all that is new has been verified: then nothing goes back any more.
    """

    url: str
    touched: tuple[Unit, ...]
    before: Mapping[str, Running]
    after: Mapping[str, Running] = field(default_factory=dict)
    is_settled: bool = False

    @property
    def models(self) -> tuple[str, ...]:
        """The models that were touched, the last first."""
        return tuple(dict.fromkeys(model for unit in reversed(self.touched) for model in reversed(unit.models)))


class Journal:
    """One file, whole or not there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Entry | None:
        """Return what is written down; None where there is nothing.

        Raises: UsageError where it cannot be read: then the way back is somebody else's to go.
        """
        try:
            found = json.loads(self.path.read_bytes())
            touched = tuple(_unit(one) for one in found["touched"])
            before, after = (
                {name: _running(entry) for name, entry in found[key].items()} for key in ("before", "after")
            )
            return Entry(str(found["url"]), touched, before, after, is_settled=found["phase"] == SETTLED)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise UsageError(
                f"an earlier deploy was interrupted, and what it left cannot be read: {problem}",
                where=str(self.path),
                hint="let the user who began it deploy again",
            ) from None

    def write(self, entry: Entry) -> None:
        """Write it down, and let it reach the disk.

        Raises: UsageError where the disk does not take it.
        """
        document = {
            "url": entry.url,
            "phase": SETTLED if entry.is_settled else ACTING,
            "touched": [{"models": unit.models, "loads": unit.loads} for unit in entry.touched],
            "before": {name: _entry(one) for name, one in entry.before.items()},
            "after": {name: _entry(one) for name, one in entry.after.items()},
        }
        try:
            write_private(self.path, json.dumps(document, indent=1).encode())
        except OSError as problem:
            raise UsageError(f"cannot write {self.path}: {problem.strerror}") from None

    def remove(self) -> None:
        """Forget it."""
        self.path.unlink(missing_ok=True)


def _entry(running: Running) -> dict[str, Any]:
    config = as_json(running.config) if running.config is not None else None
    return {"states": {str(version): state for version, state in running.states.items()}, "config": config}


def _running(entry: Mapping[str, Any]) -> Running:
    config: ModelConfig | None = as_message(entry["config"]) if entry["config"] is not None else None
    return Running({int(version): state for version, state in entry["states"].items()}, config)


def _unit(entry: Mapping[str, Any]) -> Unit:
    return Unit(tuple(Change(str(model), (), {}, ()) for model in entry["models"]), tuple(map(str, entry["loads"])))
