"""What models need of the server's command line: a response cache, the rate limiter."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tritonsmith.backends.server.adapt import GPU_BACKENDS
from tritonsmith.generator.manifests.server import ServerOptions, cache_config
from tritonsmith.generator.repository.complete import backend_of
from tritonsmith.generator.repository.core import Model

DEFAULT_CACHE_BYTES = 64 << 20


def with_needs(options: ServerOptions, configs: Mapping[str, ModelConfig | None]) -> tuple[ServerOptions, list[str]]:
    """Return the options with what the models need added, and a line for each addition."""
    known = {name: config for name, config in configs.items() if config is not None}
    options, cache_lines = _with_cache(options, known)
    options, rate_lines = _with_rate_limit(options, known)
    return options, [*cache_lines, *rate_lines]


def needs_gpu(configs: Mapping[str, ModelConfig | None]) -> bool:
    """Whether a model is for a GPU alone: by its backend, or by an instance group that asks for one."""
    known = [config for config in configs.values() if config is not None]
    groups = [group for config in known for group in config.instance_group]
    return any(backend_of(Model("", config)) in GPU_BACKENDS | {"tensorrtllm"} for config in known) or any(
        group.kind == ModelInstanceGroup.KIND_GPU or group.gpus for group in groups
    )


def _with_cache(options: ServerOptions, configs: Mapping[str, ModelConfig]) -> tuple[ServerOptions, list[str]]:
    """Open a cache where a model enables it: without one the server ignores `response_cache` without a word."""
    cached = [name for name, config in configs.items() if config.response_cache.enable]
    if not cached or cache_config(options):
        return options, []
    line = f"a response cache of {DEFAULT_CACHE_BYTES >> 20} MiB was opened for {_listed(cached)}"
    return dataclasses.replace(options, response_cache_byte_size=DEFAULT_CACHE_BYTES), [line]


def _with_rate_limit(options: ServerOptions, configs: Mapping[str, ModelConfig]) -> tuple[ServerOptions, list[str]]:
    """Switch the rate limiter on where an instance group has one, and list resources that the options leave out.

    Without any --rate-limit-resource the server offers the most that one instance asks for; with one, every resource
    that is not listed counts as 0 and nothing that needs it ever runs.
    """
    limited = [
        name for name, config in configs.items() if any(g.HasField("rate_limiter") for g in config.instance_group)
    ]
    if not limited or options.rate_limit == "off":
        return options, []
    lines = []
    if options.rate_limit is None:
        options = dataclasses.replace(options, rate_limit="execution_count")
        lines.append(f"the rate limiter was switched on for {_listed(limited)}")
    unlisted = {k: n for k, n in _resources(configs.values()).items() if k not in options.rate_limit_resources}
    if options.rate_limit_resources and unlisted:
        options = dataclasses.replace(options, rate_limit_resources={**options.rate_limit_resources, **unlisted})
        lines += [
            f"rate limiter resource {name} was set to {count}, the most one instance asks for"
            for name, count in unlisted.items()
        ]
    return options, lines


def _resources(configs: Iterable[ModelConfig]) -> dict[str, int]:
    """Return each resource with the greatest count that one instance asks for."""
    counts: dict[str, int] = {}
    for config in configs:
        for group in config.instance_group:
            for resource in group.rate_limiter.resources:
                counts[resource.name] = max(counts.get(resource.name, 0), resource.count)
    return counts


def _listed(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
