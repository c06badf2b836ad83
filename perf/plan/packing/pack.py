"""Several models on given GPUs: everything stays resident where it can, else what bears it is loaded on demand."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from tritonsmith.generator.errors import AnswerIsNo
from tritonsmith.perf.plan.packing.best_fit import best_fit
from tritonsmith.perf.plan.packing.copies import Copy, cold_seconds, copies_of, each_half
from tritonsmith.perf.plan.packing.core import Card, Fleet, Kind, Lying, Packing, Tenant
from tritonsmith.perf.plan.packing.filling import Filling
from tritonsmith.perf.plan.packing.search import Answer, search
from tritonsmith.perf.plan.packing.tails import answered_within_s, decay_reached, waited_with_longest_s

_ANY_COUNT = 10_000  # of GPUs: more than are asked for


def pack(fleet: Fleet) -> Packing:
    """Return which model lies on which GPU: on the cheapest GPUs that hold all, of equal prices on the fewest.

    Nothing is loaded on demand as long as the GPUs hold everything. Where they do not, models that bear a cold load
    are, those first for which the fewest seconds are waited per byte. The same fleet is packed the same way each time.

    Raises: AnswerIsNo where it does not fit, naming what is left over and how many GPUs would do.
    """
    resident = {tenant.name: copies_of(tenant, fleet) for tenant in fleet.tenants}
    found = search(_flat(resident.values()), fleet.kinds, fleet.most_load)
    on_demand: tuple[str, ...] = ()
    if found.filled.left_over:
        on_demand = _chosen_on_demand(fleet, resident, found)
        found = search(_copies(fleet, resident, on_demand), fleet.kinds, fleet.most_load)
    return _packing(fleet, found, on_demand)


def _copies(fleet: Fleet, resident: dict[str, tuple[Copy, ...]], on_demand: Sequence[str]) -> list[Copy]:
    chosen = (
        copies_of(tenant, fleet, on_demand=True) if tenant.name in on_demand else resident[tenant.name]
        for tenant in fleet.tenants
    )
    return _flat(chosen)


def _chosen_on_demand(fleet: Fleet, resident: dict[str, tuple[Copy, ...]], found: Answer) -> tuple[str, ...]:
    """Return the models to load on demand: as few as let the rest fit, each tried resident again in the end.

    Raises: AnswerIsNo where they do not fit even so.
    """

    def fits(names: Sequence[str]) -> bool:
        return not best_fit(_copies(fleet, resident, names), fleet.kinds, fleet.most_load).left_over

    bearing = [tenant.name for tenant in _bearing_cold_loads(fleet)]
    count = next((count for count in range(1, len(bearing) + 1) if fits(bearing[:count])), None)
    if count is None:
        raise _does_not_fit(fleet, found.filled.left_over, can_turn=bool(bearing))
    chosen = bearing[:count]
    for name in reversed(bearing[:count]):
        without = [other for other in chosen if other != name]
        chosen = without if fits(without) else chosen
    return tuple(chosen)


def _bearing_cold_loads(fleet: Fleet) -> list[Tenant]:
    """Return the models that may be loaded on demand, those first that make requests wait least per byte."""
    bearing = []
    for tenant in fleet.tenants:
        if tenant.is_resident or tenant.is_alone or fleet.disk_bytes_per_s <= 0:
            continue
        try:
            copies_of(replace(tenant, replicas=max(1, tenant.replicas)), fleet, on_demand=True)
        except AnswerIsNo:
            continue
        bearing.append(tenant)
    waits = {one.name: one.rate_per_s * cold_seconds(one, fleet) / one.memory_bytes.value for one in bearing}
    return sorted(bearing, key=lambda one: (waits[one.name], -one.memory_bytes.value, one.name))


def _does_not_fit(fleet: Fleet, left_over: Sequence[Copy], *, can_turn: bool) -> AnswerIsNo:
    names = ", ".join(sorted({copy.tenant for copy in left_over}))
    given = ", ".join(f"{kind.count} {kind.name}" for kind in fleet.kinds)
    enough = [f"{count} {kind.name}" for kind in fleet.kinds if (count := _enough_of(kind, fleet))]
    hints = [f"{' or '.join(enough)} would hold everything"] if enough else []
    if fleet.disk_bytes_per_s <= 0:
        hints.append("`disk: 2GB/s` lets models that bear it be loaded on demand")
    elif not can_turn:
        hints.append("no model bears to be loaded on demand within its limit")
    unknown = sorted(tenant.name for tenant in fleet.tenants if not tenant.rate_per_s)
    if unknown and any(tenant.limit_s < math.inf for tenant in fleet.tenants):
        hints.append(f"without a `rate` no model with an slo shares a GPU with {', '.join(unknown)}")
    return AnswerIsNo(f"{given} do not hold everything: {names} left over", hint="; ".join(hints))


def _enough_of(kind: Kind, fleet: Fleet) -> int:
    """Return how many GPUs of this kind alone hold everything; 0 where they do not, however many."""
    alike = replace(fleet, kinds=(replace(kind, count=_ANY_COUNT),))
    try:
        # anew: of another kind a model may need other replicas, and does not lie on this one by its place in the fleet
        copies = _flat(copies_of(tenant, alike) for tenant in fleet.tenants)
    except AnswerIsNo:
        return 0
    filled = best_fit(copies, alike.kinds, fleet.most_load)
    return 0 if filled.left_over else len(filled.fillings)


def _packing(fleet: Fleet, found: Answer, on_demand: tuple[str, ...]) -> Packing:
    used = sorted(found.filled.fillings, key=lambda one: (one.place, -one.resident_bytes, _names(one)))
    cards = []
    for place, kind in enumerate(fleet.kinds):
        here = [filling for filling in used if filling.place == place]
        cards += [_card(fleet, kind, number, filling) for number, filling in enumerate(here)]
    price = sum(filling.kind.price_per_hour for filling in used)
    return Packing(tuple(cards), price, found.least_price, found.least_cards, on_demand)


def _card(fleet: Fleet, kind: Kind, number: int, filling: Filling) -> Card:
    lying = sorted(_lying(fleet, filling), key=lambda one: (one.is_on_demand, -one.memory_bytes, one.tenant))
    return Card(kind.name, number, kind.memory_bytes, tuple(lying), decay_reached(filling.demands()))


def _lying(fleet: Fleet, filling: Filling) -> Iterator[Lying]:
    tenants = {tenant.name: tenant for tenant in fleet.tenants}
    claims = [claim for copy in filling.copies if (claim := copy.claims[filling.place]) is not None]
    # where a load is not known, nothing is promised
    decay = decay_reached(filling.demands()) if all(copy.has_rate for copy in filling.copies) else 0.0
    turns_decay = decay_reached(claim.turn for claim in claims if claim.turn is not None)
    has_turns = any(claim.turn is not None for claim in claims)
    for copy, claim in zip(filling.copies, claims, strict=True):
        tenant, time = tenants[copy.tenant], claim.time
        each = each_half(tenant.share) if claim.turn else tenant.share
        within_s = answered_within_s(decay, each, time.busy_s, tenant.variation)
        cold_s = cold_seconds(tenant, fleet) if claim.turn else 0.0
        if decay and not has_turns:
            within_s = min(within_s, time.busy_s + waited_with_longest_s(filling.demands(), tenant.share))
        if claim.turn:
            within_s += cold_s + answered_within_s(turns_decay, each)
        is_on_demand = claim.turn is not None
        yield Lying(copy.tenant, copy.memory_bytes, time.rate_per_s, time.busy_s, within_s, is_on_demand, cold_s)


def _names(filling: Filling) -> tuple[str, ...]:
    return tuple(sorted(copy.tenant for copy in filling.copies))


def _flat(groups: Iterable[tuple[Copy, ...]]) -> list[Copy]:
    return [copy for group in groups for copy in group]
