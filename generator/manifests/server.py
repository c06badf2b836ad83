"""What a server is started with, and how that becomes tritonserver's command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from tritonsmith.generator.catalog.options import DEFAULT_PORTS, EXIT_TIMEOUT_S
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.spec.settings import RateLimit, Server, Tls, Tracing

LAST_PORT = 65535
MODELS = "/models"  # where a container sees the repository
PORTS = DEFAULT_PORTS  # inside a container
# Of a container: memory that is pinned for a GPU, and deep stacks.
# Source: tensorrtllm_backend: README.md (docker run --ulimit memlock=-1 --ulimit stack=67108864).
ULIMITS = {"memlock": -1, "stack": 67108864}
LONGEST_LIMIT_S = 7 * 24 * 3600.0  # a socket's own limit lies above
ModelControlMode = Literal["none", "poll", "explicit"]


@dataclass(frozen=True)
class ServerOptions:
    """A spec's `server:`, under tritonserver's own option names (underscores for hyphens).

    A port of 0 asks for a free one. `cache_config` is {"local": {"size": "1048576"}}, `rate_limit_resources`
    {"R1": 4} or {"R1": {"0": 4}} by device, `trace_config` {"": {"level": ("TIMESTAMPS", "TENSORS")}},
    `backend_config` {"python": {"shm-default-byte-size": "8388608"}}; the backend "" means all backends.
    `extra_args` are appended as they are.

    Raises: UsageError for a port, a limit or a count that is out of its range.
    """

    host: str = "127.0.0.1"
    http_port: int = 0
    grpc_port: int = 0
    metrics_port: int = 0
    allow_metrics: bool = True
    metrics_interval_ms: int | None = None
    metrics_config: Mapping[str, str] = field(default_factory=dict)
    response_cache_byte_size: int | None = None  # short for cache_config={"local": {"size": ...}}
    cache_config: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    rate_limit: Literal["off", "execution_count"] | None = None  # None: on where a model has a rate_limiter
    rate_limit_resources: Mapping[str, int | Mapping[str, int]] = field(default_factory=dict)
    model_control_mode: ModelControlMode | None = None  # the embedded server is always explicit
    load_models: tuple[str, ...] = ()  # at the start, in explicit mode; "*" is all
    exit_on_error: bool = True  # the embedded server never: it explains
    model_load_thread_count: int | None = None
    disable_auto_complete_config: bool = False
    log_verbose: int = 0
    trace_config: Mapping[str, Mapping[str, str | tuple[str, ...]]] = field(default_factory=dict)
    backend_config: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    exit_timeout_secs: int = EXIT_TIMEOUT_S
    grpc_connection_age_ms: int | None = None  # then a client connects anew, perhaps to another server
    tls: Mapping[str, str] = field(default_factory=dict)  # cert, key, root: files; see certificates.py
    extra_args: tuple[str, ...] = ()
    load_limit_s: float = 120.0  # ours: how long one model may take to load
    log_file: Path | None = None  # ours: where the server's output goes, else a temporary file

    def __post_init__(self) -> None:
        for name in ("http_port", "grpc_port", "metrics_port"):
            _require(0 <= getattr(self, name) <= LAST_PORT, self, name, f"a port is 0 (any free one) to {LAST_PORT}")
        _require(
            0 < self.load_limit_s <= LONGEST_LIMIT_S, self, "load_limit_s", f"0 < seconds <= {LONGEST_LIMIT_S:.0f}"
        )
        _require(self.exit_timeout_secs >= 0, self, "exit_timeout_secs", "seconds are not negative")
        threads = self.model_load_thread_count
        _require(threads is None or threads >= 1, self, "model_load_thread_count", "models are loaded by 1 or more")


@dataclass(frozen=True)
class ServerFolders:
    """Where a server finds what it loads; None leaves tritonserver's own default."""

    repository: Path | str
    backends: Path | None = None
    caches: Path | None = None


def server_argv(options: ServerOptions, tritonserver: Path | str, folders: ServerFolders) -> list[str]:
    """Return the command line of tritonserver; the one place where options become arguments."""
    argv = [str(tritonserver), f"--model-repository={folders.repository}"]
    argv += [f"--backend-directory={folders.backends}"] if folders.backends else []
    argv += [f"--cache-directory={folders.caches}"] if folders.caches else []
    argv += [f"--model-control-mode={options.model_control_mode}"] if options.model_control_mode else []
    argv += [f"--load-model={name}" for name in options.load_models]
    argv += [] if options.exit_on_error else ["--exit-on-error=false"]
    argv += _endpoints(options)
    argv += [f"--exit-timeout-secs={options.exit_timeout_secs}"]
    argv += ["--disable-auto-complete-config"] if options.disable_auto_complete_config else []
    argv += [f"--log-verbose={options.log_verbose}"] if options.log_verbose else []
    if options.model_load_thread_count is not None:
        argv += [f"--model-load-thread-count={options.model_load_thread_count}"]
    argv += _settings("cache-config", cache_config(options))
    argv += _rate_limit(options)
    argv += _settings("backend-config", options.backend_config)
    argv += _settings("trace-config", options.trace_config)
    return [*argv, *options.extra_args]


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


def inside_container(options: ServerOptions) -> ServerOptions:
    """Return what a server in a container is started with: all models, at every address, on the ports of `PORTS`.

    What is published to whom is decided outside.
    """
    return replace(
        options,
        host="0.0.0.0",  # noqa: S104
        load_models=("*",) if options.model_control_mode == "explicit" else (),
        http_port=PORTS["http"],
        grpc_port=PORTS["grpc"],
        metrics_port=PORTS["metrics"],
    )


def cache_config(options: ServerOptions) -> dict[str, Mapping[str, str]]:
    """Return the response caches to open, the short form included."""
    caches = dict(options.cache_config)
    if options.response_cache_byte_size is not None:
        caches["local"] = {**caches.get("local", {}), "size": str(options.response_cache_byte_size)}
    return caches


def _require(is_valid: bool, options: ServerOptions, name: str, rule: str) -> None:
    if not is_valid:
        raise UsageError(f"{getattr(options, name)} is out of range", where=f"server option {name}", hint=rule)


def _endpoints(options: ServerOptions) -> list[str]:
    argv = [f"--http-address={options.host}", f"--http-port={options.http_port}"]
    argv += [f"--grpc-address={options.host}", f"--grpc-port={options.grpc_port}"]
    if options.grpc_connection_age_ms is not None:
        argv.append(f"--grpc-max-connection-age={options.grpc_connection_age_ms}")
    if options.tls:
        names = {"cert": "server-cert", "key": "server-key", "root": "root-cert"}
        argv.append("--grpc-use-ssl-mutual=true" if "root" in options.tls else "--grpc-use-ssl=true")
        argv += [f"--grpc-{names[key]}={value}" for key, value in options.tls.items()]
    if not options.allow_metrics:
        return [*argv, "--allow-metrics=false"]
    argv += [f"--metrics-address={options.host}", f"--metrics-port={options.metrics_port}"]
    if options.metrics_interval_ms is not None:
        argv += [f"--metrics-interval-ms={options.metrics_interval_ms}"]
    return [*argv, *(f"--metrics-config={key}={value}" for key, value in options.metrics_config.items())]


def _rate_limit(options: ServerOptions) -> list[str]:
    if options.rate_limit is None:
        return []
    argv = [f"--rate-limit={options.rate_limit}"]
    for name, count in options.rate_limit_resources.items():
        by_device = count if isinstance(count, Mapping) else {"": count}
        argv += [f"--rate-limit-resource={name}:{n}" + (f":{dev}" if dev else "") for dev, n in by_device.items()]
    return argv


def _settings(option: str, table: Mapping[str, Mapping[str, str | tuple[str, ...]]]) -> list[str]:
    """Return `--option=owner,key=value` for each setting (several where it has several values); an owner may be ""."""
    return [
        f"--{option}=" + (f"{owner},{key}={value}" if owner else f"{key}={value}")
        for owner, settings in table.items()
        for key, values in settings.items()
        for value in ([values] if isinstance(values, str) else values)
    ]


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
