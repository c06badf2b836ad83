"""What is to be done so that the server serves what the repository says: data alone, from what is wanted and runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.deploy.live.core import Change, Channel, Content, Plan, Running, Wanted
from tritonsmith.backends.deploy.live.differences import differences
from tritonsmith.backends.deploy.live.seams import require_wiring
from tritonsmith.backends.server.adapt import depends_on
from tritonsmith.generator.repository.names import served_versions

SHOWN = 4  # differences of one model


def make_plan(
    wanted: Mapping[str, Wanted], running: Mapping[str, Running], channel: Channel, *, is_forced: bool = False
) -> Plan:
    """Return the plan of a roll-out.

    Raises: RepositoryError where requests to an ensemble would fail meanwhile, unless forced, or ever after.
    """
    present = channel.present(wanted, running)
    numbered = numbered_by_user(wanted)
    changes = []
    for name, model in wanted.items():
        change = compare(model, present.get(name), running.get(name, Running({})), is_numbered=name in numbered)
        changes += [change] if change.why else []
    changed = {change.model for change in changes}
    require_wiring({name: wanted[name].config for name in changed}, running, is_forced=is_forced)
    others = [name for name, found in running.items() if found.ready and name not in wanted]
    notes = [notice for model in wanted.values() for notice in model.notices]
    notes += [
        f"'{name}' serves version {', '.join(map(str, extra))} too, which the repository lacks"
        for name in sorted((numbered - changed) & wanted.keys() & running.keys())
        if (extra := sorted({*running[name].ready} - {*wanted[name].content.versions}))
    ]
    by_model = {change.model: change for change in changes}
    changes = [by_model[name] for name in ordered(changed, wanted, running)]
    unchanged = tuple(name for name in wanted if name not in changed)
    return Plan(channel.units(changes, wanted, running), unchanged, tuple(others), tuple(notes))


def numbered_by_user(wanted: Mapping[str, Wanted]) -> set[str]:
    """Return the models whose version numbers mean something to somebody: they stay as they are.

    Those with several versions or a version policy of their own, ensembles, which hold none, and those of which an
    ensemble asks for a version by its number.
    """
    asked = {
        step.model_name
        for model in wanted.values()
        for step in model.config.ensemble_scheduling.step
        if step.model_version > 0
    }
    return asked | {name for name, model in wanted.items() if _is_numbered(model)}


def compare(model: Wanted, present: Content | None, running: Running, *, is_numbered: bool) -> Change:
    """Return the change that one model needs; without a reason where it needs none."""
    numbers = _numbers(model, present, running, is_numbered=is_numbered)
    versions = {numbers[version]: digest for version, digest in model.content.versions.items()}
    at_hand = versions if is_numbered else {**(present.versions if present else {}), **versions}
    expected = tuple(served_versions(model.config, sorted(at_hand)))
    known = present.versions if present else {}
    fresh = tuple(version for version, digest in versions.items() if known.get(version) != digest)
    why = list(_reasons(model, versions, present, running))
    missing = [version for version in expected if version not in running.ready]
    if not why and missing:
        said = [f"version {version} is {running.states.get(version) or 'not loaded'}" for version in missing]
        why = [f"not served: {', '.join(said)}"]
    overridden = differences(model.config, running.config) if not why and running.config is not None else []
    if overridden:
        more = [f"and {len(overridden) - SHOWN} more"] if len(overridden) > SHOWN else []
        why = [f"served otherwise: {line}" for line in overridden[:SHOWN]] + more
    return Change(model.name, tuple(why), numbers, expected, running.ready, fresh, bool(overridden))


def affected(models: Iterable[str], running: Mapping[str, Running], wanted: Mapping[str, Wanted]) -> list[str]:
    """Return the running models above some others: ensembles of them, and models that call them."""
    found: dict[str, None] = dict.fromkeys(models)
    while True:
        more = [
            name
            for name, one in running.items()
            if name not in found and set(_below(name, one, wanted)) & found.keys() and one.ready
        ]
        if not more:
            return [name for name in found if name not in set(models)]
        found.update(dict.fromkeys(more))


def ordered(changed: Iterable[str], wanted: Mapping[str, Wanted], running: Mapping[str, Running]) -> list[str]:
    """Return models in the order of their loading: what is called or is a step first, as they stand in `wanted`.

    An ensemble that shrinks is loaded before those of its running steps that shrink below what it takes now: no step
    may have a smaller largest batch than its ensemble.
    """
    left = [name for name in wanted if name in set(changed)]
    first: dict[str, set[str]] = {name: set() for name in left}
    for name in left:
        for below in depends_on(wanted[name].config, wanted[name].calls):
            if below in first and below != name:
                later, sooner = (below, name) if _outgrows(name, below, wanted, running) else (name, below)
                first[later].add(sooner)
    order: list[str] = []
    while left:  # in a circle of calls one has to be the first
        order.append(next((name for name in left if not first[name] & {*left}), left[0]))
        left.remove(order[-1])
    return order


def _outgrows(name: str, below: str, wanted: Mapping[str, Wanted], running: Mapping[str, Running]) -> bool:
    """Whether a running ensemble shrinks, and takes larger batches until then than one of its running steps will."""
    now, step = running.get(name, Running({})).config, running.get(below, Running({})).config
    if now is None or step is None or below not in depends_on(now):
        return False
    return max(wanted[name].config.max_batch_size, wanted[below].config.max_batch_size) < now.max_batch_size


def _below(name: str, running: Running, wanted: Mapping[str, Wanted]) -> list[str]:
    return depends_on(running.config, wanted[name].calls if name in wanted else ())


def _is_numbered(model: Wanted) -> bool:
    policy = model.config.version_policy
    latest_one = policy.WhichOneof("policy_choice") == "latest" and policy.latest.num_versions == 1
    has_policy = model.config.HasField("version_policy") and not latest_one
    return has_policy or len(model.content.versions) > 1 or bool(model.config.ensemble_scheduling.step)


def _numbers(model: Wanted, present: Content | None, running: Running, *, is_numbered: bool) -> dict[int, int]:
    """Return the server's number of each version: the next one for a version that is new there."""
    if is_numbered:
        return {version: version for version in model.content.versions}
    [(version, digest)] = model.content.versions.items()
    known = present.versions if present else {}
    if known and known[max(known)] == digest:
        return {version: max(known)}
    taken = [*known, *running.states]
    return {version: max(taken) + 1 if taken else version}


def _reasons(model: Wanted, versions: Mapping[int, str], present: Content | None, running: Running) -> Iterator[str]:
    if present is None:
        lines = differences(model.config, running.config) if running.config is not None else []
        yield from lines[:SHOWN] or ["not known to be the same" if running.ready else "new"]
        return
    for version, digest in versions.items():
        if version not in present.versions:
            beside = ", ".join(map(str, running.ready))
            yield f"version {version} is new{f', beside {beside}' if beside else ''}"
        elif present.versions[version] != digest:
            yield f"version {version} has other files"
    if present.rest != model.content.rest:
        yield "other files beside its versions"
    if present.config != model.content.config:
        lines = differences(model.config, present.config or ModelConfig())
        yield from lines[:SHOWN] or ["config.pbtxt differs"]
