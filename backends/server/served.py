"""What the spec that built a repository says of its server: read from the repository's lock."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tritonsmith.generator.catalog.releases import EMBEDDED
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.files import read_regular
from tritonsmith.generator.manifests.server import ServerOptions, options_of
from tritonsmith.generator.repository.names import LOCK_FILE
from tritonsmith.generator.spec.settings import Server


@dataclass(frozen=True)
class Served:
    """How a repository wants to be served; `calls` names the models that a Python model calls, to be loaded first."""

    release: str = EMBEDDED
    server: Server | None = None  # None where no spec is known
    calls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def options(self) -> ServerOptions:
        """The spec's options on free ports and without TLS: for a server that nobody else has to find."""
        return dataclasses.replace(self._spec_options(), http_port=0, grpc_port=0, metrics_port=0, tls={})

    def with_options(self, given: Mapping[str, Any]) -> ServerOptions:
        """Return the spec's options, else Triton's own ports, and over them what is given and not None."""
        chosen = {name: value for name, value in given.items() if value is not None}
        return dataclasses.replace(self._spec_options(), **chosen)

    def _spec_options(self) -> ServerOptions:
        if self.server is None:
            return ServerOptions(http_port=8000, grpc_port=8001, metrics_port=8002)  # Triton's own
        return options_of(self.server)


def read_served(repository: Path) -> Served:
    """Return how a repository wants to be served; the defaults where it has no lock, or one without settings.

    Raises: RepositoryError where the lock cannot be understood.
    """
    path = repository / LOCK_FILE
    try:
        settings = json.loads(read_regular(path)).get("settings", {})
        if not settings:
            return Served()
        calls = {name: tuple(called) for name, called in settings.get("calls", {}).items()}
        return Served(settings.get("triton", EMBEDDED), Server.model_validate(settings.get("server", {})), calls)
    except (FileNotFoundError, NotADirectoryError):
        return Served()
    except (OSError, ValueError, AttributeError, TypeError, ValidationError) as problem:
        raise RepositoryError(
            f"the lock cannot be read: {problem}", where=str(path), hint="build the repository again"
        ) from problem
