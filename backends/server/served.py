"""What the spec that built a repository says of its server: read from the repository's lock."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tritonsmith.backends.server.options import ServerOptions
from tritonsmith.generator.catalog.releases import EMBEDDED
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.files import read_regular
from tritonsmith.generator.repository.names import LOCK_FILE
from tritonsmith.generator.spec.settings import RateLimit, Server, Tls, Tracing


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


def options_of(server: Server) -> ServerOptions:
    """Return a spec's `server:` as what tritonserver is started with."""
    caches = {"local": {"size": str(server.response_cache.size_bytes)}} if server.response_cache else {}
    return ServerOptions(
        http_port=server.http_port,
        grpc_port=server.grpc_port,
        metrics_port=server.metrics_port,
        allow_metrics=server.metrics.enabled,
        metrics_interval_ms=server.metrics.interval_ms,
        metrics_config=server.metrics.config,
        cache_config=caches,
        rate_limit="execution_count" if server.rate_limit else None,
        rate_limit_resources=_resources(server.rate_limit),
        model_control_mode=server.model_control_mode,
        model_load_thread_count=server.load_threads,
        disable_auto_complete_config=server.strict_model_config,
        log_verbose=server.log_verbose,
        trace_config=_trace_config(server.tracing),
        backend_config=server.backend_config,
        exit_timeout_secs=server.exit_timeout_s,
        tls=_tls(server.tls),
    )


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


def _resources(limit: RateLimit | None) -> dict[str, int | Mapping[str, int]]:
    """Return the resources by name; `name@device` counts for that device alone."""
    counts: dict[str, int | Mapping[str, int]] = {}
    for key, count in (limit.resources if limit else {}).items():
        name, _, device = key.partition("@")
        before = counts.get(name, {})
        by_device = before if isinstance(before, Mapping) else {"": before}
        counts[name] = {**by_device, device: count} if device or by_device else count
    return counts


def _trace_config(tracing: Tracing | None) -> dict[str, Mapping[str, str | tuple[str, ...]]]:
    if tracing is None:
        return {}
    levels = tuple(tracing.level)
    general: dict[str, str | tuple[str, ...]] = {"mode": tracing.mode, "rate": str(tracing.rate), "level": levels}
    return {"": general, **({tracing.mode: tracing.config} if tracing.config else {})}


def _tls(tls: Tls | None) -> dict[str, str]:
    if tls is None:
        return {}
    return {"cert": tls.certificate, "key": tls.key} | ({"root": tls.root} if tls.root else {})
