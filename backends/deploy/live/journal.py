"""What a roll-out has touched, written down before it is: whoever comes after a kill finds the way back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.configs import as_json, as_message
from tritonsmith.backends.deploy.live.core import Running, Step, Unit
from tritonsmith.generator.errors import UsageError

ACTING, SETTLED = "acting", "settled"


@dataclass(frozen=True)
class Entry:
    """What is written down: `touched` are the units that were begun, `before` is what ran, by model.

    It is settled once all that is new has been verified: then nothing goes back any more.
    """

    is_settled: bool
    touched: tuple[Unit, ...]
    before: Mapping[str, Running]

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
            before = {name: _running(entry) for name, entry in found["before"].items()}
            return Entry(found["phase"] == SETTLED, touched, before)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise UsageError(
                f"an earlier deploy was interrupted, and what it left cannot be read: {problem}",
                where=str(self.path),
                hint="let the user who began it deploy again",
            ) from None

    def write(self, touched: Iterable[Unit], before: Mapping[str, Running], *, is_settled: bool = False) -> None:
        """Write it down, and let it reach the disk.

        Raises: UsageError where the disk does not take it.
        """
        document = {
            "phase": SETTLED if is_settled else ACTING,
            "touched": [{"models": unit.models, "loads": unit.loads} for unit in touched],
            "before": {name: _entry(one) for name, one in before.items()},
        }
        stage = self.path.with_suffix(".stage")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(stage, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(json.dumps(document, indent=1).encode())
                file.flush()
                os.fsync(file.fileno())
            stage.replace(self.path)
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
    return Unit(tuple(Step(str(model), (), {}, ()) for model in entry["models"]), tuple(map(str, entry["loads"])))
