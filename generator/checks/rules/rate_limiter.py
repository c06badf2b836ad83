"""Whether the rate limiter can ever schedule every instance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup

from tritonsmith.generator.checks.case import Case, ModelCase
from tritonsmith.generator.checks.registry import check, check_case
from tritonsmith.generator.checks.rules.instances import GPU, groups_of, kind_of
from tritonsmith.generator.findings import Finding

_GLOBAL = "global"


@dataclass(frozen=True)
class _Need:
    """How many of a resource one instance takes: of a device's, or of those that all devices share."""

    model: ModelCase
    path: str
    name: str
    device: str  # a GPU's number, 0 for the CPU, `_GLOBAL`
    count: int


@check_case(
    "TS521",
    "an instance never needs more of a resource than there is",
    triton='Resource count for "{text}" is limited to {n} which will prevent scheduling of one or more model '
    "instances, the minimum required count is {n}",
)
def resources_suffice(case: Case) -> Iterator[Finding]:
    """Where any resource is given to the server, one that is not given counts as 0.

    Without --rate-limit-resource there is as much of each as one instance wants at most.

    Source: core: rate_limiter.cc (ParseAndValidateExplicitResources).
    """
    limits = _limits(case)
    told: set[tuple[str, str, str]] = set()
    for need in _needs(case) if limits else ():
        limit, about = _limit(limits, need), (need.model.name, need.path, need.name)
        if need.count > limit and about not in told:
            told.add(about)  # once for all of its devices
            shown = f"the server has {limit}" if limit else "the server has none: it is given others, not this one"
            message = f"an instance needs {need.count} of resource '{need.name}'; {shown}"
            remedy = f"server: {{rate_limit: {{resources: {{{need.name}: {need.count}}}}}}}"
            yield need.model.error(need.path, message, remedy=remedy)


@check_case(
    "TS522",
    "a resource is global or of a device",
    triton='Resource "{text}" is present as both global and device-specific resource in the model configuration.',
)
def resources_are_of_one_kind(case: Case) -> Iterator[Finding]:
    """Resources are counted over all loaded models: the model that is loaded last is refused.

    Source: core: rate_limiter.cc (ValidateMaxResources).
    """
    if not _is_limited(case):
        return
    first: dict[str, _Need] = {}
    told: set[str] = set()
    for need in _needs(case):
        other = first.setdefault(need.name, need)
        if (other.device == _GLOBAL) != (need.device == _GLOBAL) and need.model.name not in told:
            told.add(need.model.name)
            here, there = ("global", "a device's") if need.device == _GLOBAL else ("a device's", "global")
            message = f"resource '{need.name}' is {here} here and {there} in '{other.model.name}'"
            yield need.model.error(need.path, message, remedy="give it another name, or say global in both")


@check("TS523", "a rate limiter is not without a server that limits", on=("instance_group",))
def server_limits(model: ModelCase) -> Iterator[Finding]:
    """Without --rate-limit=execution_count the server ignores rate limiters; priorities and resources do nothing.

    Source: server: docs/user_guide/rate_limiter.md.
    """
    server = model.target.server
    if server is not None and server.rate_limit is not None:
        return
    remedy = "--rate-limit=execution_count" if server is None else "server: {rate_limit: {}}"
    for path, group in groups_of(model):
        if group.HasField("rate_limiter"):
            message = "the rate limiter does nothing unless the server is started with --rate-limit=execution_count"
            yield model.note(f"{path}.rate_limiter", message, remedy=remedy)
            return


def _is_limited(case: Case) -> bool:
    return case.target.server is not None and case.target.server.rate_limit is not None


def _limits(case: Case) -> dict[str, int]:
    """Return what the server has of each resource, `name` or `name@device`."""
    server = case.target.server
    return server.rate_limit.resources if server is not None and server.rate_limit is not None else {}


def _limit(limits: dict[str, int], need: _Need) -> int:
    """Return how many there are; of a global resource, the most that any device has."""
    name = need.name
    if need.device == _GLOBAL:
        return max((count for key, count in limits.items() if key.partition("@")[0] == name), default=0)
    return max(limits.get(name, 0), limits.get(f"{name}@{need.device}", 0))


def _needs(case: Case) -> Iterator[_Need]:
    for model in case.models():
        for path, group in groups_of(model) if model.config.instance_group else ():
            # A passive instance is never scheduled and takes nothing (rate_limiter.cc, RegisterModelInstance).
            for resource in group.rate_limiter.resources if not group.passive else ():
                # `global` is a keyword of Python's
                for device in [_GLOBAL] if getattr(resource, "global") else _devices(group, case.target.gpus):
                    yield _Need(model, f"{path}.rate_limiter", resource.name, device, resource.count)


def _devices(group: ModelInstanceGroup, gpus: int | None) -> list[str]:
    """Return the devices that a group's instances are on: those of a GPU by number, the CPU as 0."""
    if kind_of(group, gpus) != GPU:
        return ["0"]
    return list(map(str, group.gpus or range(gpus or 1)))
