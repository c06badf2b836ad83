"""What the spec that built a repository says of its server: read from the repository's lock."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tritonsmith.backends.options import ServerOptions
from tritonsmith.generator.catalog.releases import EMBEDDED
from tritonsmith.generator.errors import RepositoryError

LOCK = "tritonsmith.lock"
PORTS = {"http_port": 8000, "grpc_port": 8001, "metrics_port": 8002}  # Triton's own


@dataclass(frozen=True)
class Served:
    """How a repository wants to be served.

    `server` is the spec's `server:`; `calls` names the models that each Python model calls, to be loaded before it.
    """

    release: str = EMBEDDED
    server: Mapping[str, Any] = field(default_factory=dict)
    calls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def options(self) -> ServerOptions:
        """The spec's options, on free ports: for a server that nobody else has to find."""
        return dataclasses.replace(self._from_spec(), http_port=0, grpc_port=0, metrics_port=0)

    def with_options(self, given: Mapping[str, Any]) -> ServerOptions:
        """Return the spec's options for `serve`: Triton's ports where the spec names none, then what is `given`."""
        ports = {name: port for name, port in PORTS.items() if name not in self.server}
        chosen = {name: value for name, value in given.items() if value is not None}
        return dataclasses.replace(self._from_spec(), **{**ports, **chosen})

    def _from_spec(self) -> ServerOptions:
        known = {option.name for option in dataclasses.fields(ServerOptions)}
        if unknown := [name for name in self.server if name not in known]:
            raise RepositoryError(
                f"the lock names the server option '{unknown[0]}', which this tritonsmith does not know",
                hint="build the repository again",
            )
        values = dict(self.server)
        if "extra_args" in values:
            values["extra_args"] = tuple(values["extra_args"])
        return ServerOptions(**values)


def read_served(repository: Path) -> Served:
    """Return how a repository wants to be served; the defaults where it has no lock.

    Raises: RepositoryError where the lock cannot be understood.
    """
    path = repository / LOCK
    try:
        found = json.loads(path.read_bytes())
        calls = {name: tuple(called) for name, called in found.get("calls", {}).items()}
        return Served(found.get("triton") or EMBEDDED, found.get("server") or {}, calls)
    except (FileNotFoundError, NotADirectoryError):
        return Served()
    except (OSError, ValueError, AttributeError, TypeError) as problem:
        raise RepositoryError(
            f"the lock cannot be read: {problem}", where=str(path), hint="build the repository again"
        ) from problem
