"""A packing as a table with its arithmetic, and as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tritonsmith.generator import console
from tritonsmith.perf.plan.packing.core import Card, Fleet, Lying, Packing, Tenant
from tritonsmith.perf.plan.packing.sharing import sharing_data, sharing_lines
from tritonsmith.perf.report.numbers import significant

_GIB = 2**30
ASSUMED = (
    "times are bounds for requests that come at random and a GPU that executes one after the other; "
    "a model on demand is taken to be loaded for every request; where seconds vary or models differ, a limit near a "
    "request's own time may ask for several times the GPUs that would do"
)


def packing_text(packing: Packing, fleet: Fleet) -> str:
    """Return a table, a row for each replica and one of each GPU's sums, then the answer and what it rests on."""
    tenants = {tenant.name: tenant for tenant in fleet.tenants}
    header = ["GPU", "model", "GiB", "requests/s", "x ms", "= load", "within ms", "asked", ""]
    rows = [row for card in packing.cards for row in _rows(card, tenants, fleet)]
    kept = [place for place in range(len(header)) if place < len(header) - 1 or any(row[place] for row in rows)]
    table = console.table([header[place] for place in kept], [[row[place] for place in kept] for row in rows])
    return "\n".join([table, *_answer(packing, fleet)])


def packing_data(packing: Packing, fleet: Fleet) -> dict[str, Any]:
    """Return plain data; bytes, seconds, shares of 1."""
    return {
        "gpus": [asdict(kind) for kind in fleet.kinds],
        "cards": [_card_data(card) for card in packing.cards],
        "models": {tenant.name: _model_data(tenant, packing, fleet) for tenant in fleet.tenants},
        "price_per_hour": packing.price_per_hour,
        "least_price_per_hour": packing.least_price,
        "least_cards": packing.least_cards,
        "is_proven": packing.is_proven,
        "on_demand": list(packing.on_demand),
        "most_load": fleet.most_load,
        "sharing": sharing_data(packing, fleet),
        "assumed": ASSUMED,
    }


def _rows(card: Card, tenants: Mapping[str, Tenant], fleet: Fleet) -> list[list[str]]:
    name = f"{card.kind} {card.number}"
    rows = [_row("" if index else name, one, tenants[one.tenant]) for index, one in enumerate(card.lying)]
    memory = f"{card.used_bytes / _GIB:.1f} of {card.memory_bytes / _GIB:.1f}"
    return [*rows, ["", "", memory, "", "", f"{card.load:.2f} of {fleet.most_load:g}", "", "", ""]]


def _row(name: str, one: Lying, tenant: Tenant) -> list[str]:
    asked = "-" if math.isinf(tenant.limit_s) else f"p{tenant.share * 100:g} {significant(tenant.limit_s * 1e3)}"
    note = f"on demand, loads in {significant(one.cold_s)} s" if one.is_on_demand else ""
    start = [name, one.tenant, f"{one.memory_bytes / _GIB:.1f}"]
    if not one.load:
        return [*start, "-", "-", "-", "-", asked, note]
    return [
        *start,
        significant(one.rate_per_s),
        significant(one.busy_s * 1e3),
        f"{one.load:.2f}",
        "-" if math.isinf(one.within_s) else significant(one.within_s * 1e3),
        asked,
        note,
    ]


def _answer(packing: Packing, fleet: Fleet) -> list[str]:
    given = sum(kind.count for kind in fleet.kinds)
    replicas = sum(len(card.lying) for card in packing.cards)
    count = len(packing.cards)
    price = "" if packing.price_per_hour == count else f", {packing.price_per_hour:.2f} per hour"
    start = f"{len(fleet.tenants)} models, {replicas} replicas on {count} of {given} GPUs{price}"
    lines = [f"{start}: {_how_good(packing)}"]
    if packing.on_demand:
        names = ", ".join(packing.on_demand)
        lines.append(f"on demand: {names}; start the server with model control mode explicit and load them by request")
    lines += [tenant.note for tenant in fleet.tenants if tenant.note]
    lines += [f"{kind.name}: {kind.source}" for kind in fleet.kinds if kind.source]
    return [*lines, *sharing_lines(packing, fleet), ASSUMED]


def _how_good(packing: Packing) -> str:
    given = " with these on demand" if packing.on_demand else ""
    if packing.is_proven:
        return (
            f"{'fewer would not do' if packing.least_cards == len(packing.cards) else 'none would do for less'}{given}"
        )
    if packing.least_price == packing.least_cards:
        return f"at least {packing.least_cards} are needed{given}"
    return f"at least {packing.least_price:.2f} per hour is needed{given}"


def _card_data(card: Card) -> dict[str, Any]:
    return {
        "gpu": card.kind,
        "number": card.number,
        "memory_bytes": card.memory_bytes,
        "used_bytes": card.used_bytes,
        "load": round(card.load, 6),
        "decay_per_s": None if math.isinf(card.decay_per_s) else round(card.decay_per_s, 6),
        "models": [_lying_data(one) for one in card.lying],
    }


def _lying_data(one: Lying) -> dict[str, Any]:
    return {
        "model": one.tenant,
        "memory_bytes": one.memory_bytes,
        "rate_per_s": round(one.rate_per_s, 6),
        "busy_s": one.busy_s,
        "load": round(one.load, 6),
        "within_s": None if math.isinf(one.within_s) else round(one.within_s, 6),
        "is_on_demand": one.is_on_demand,
        "cold_s": round(one.cold_s, 6),
    }


def _model_data(tenant: Tenant, packing: Packing, fleet: Fleet) -> dict[str, Any]:
    places = [(card.kind, card.number) for card in packing.cards for one in card.lying if one.tenant == tenant.name]
    return {
        "replicas": len(places),
        "on": [{"gpu": kind, "number": number} for kind, number in places],
        # where all GPUs are alike and of one machine, as its spec says it
        "instance_group": [{"kind": "KIND_GPU", "count": 1, "gpus": sorted(number for _, number in places)}]
        if len(fleet.kinds) == 1
        else None,
        "memory_bytes": asdict(tenant.memory_bytes),
        "limit_s": None if math.isinf(tenant.limit_s) else tenant.limit_s,
        "share": tenant.share,
        "is_on_demand": tenant.name in packing.on_demand,
    }
