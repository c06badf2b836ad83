"""How what is packed shares its GPUs: models of one owner in one server; GPUs of several owners perhaps as slices."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from tritonsmith.generator.catalog.gpus import GPUS
from tritonsmith.generator.manifests.sharing.advice import Advice, Wish, advice
from tritonsmith.perf.plan.packing.core import Card, Fleet, Packing, Tenant
from tritonsmith.perf.plan.shares import MARK, per_gpu
from tritonsmith.perf.plan.show.sharing_advice import advice_text


def sharing_lines(packing: Packing, fleet: Fleet) -> list[str]:
    """Return the advice for each kind of GPU that is shared, or might be."""
    lines = []
    for kind, found in packing_advice(packing, fleet):
        if found.sharing.mode == "mig":
            cut = f"{kind}{MARK}{found.sharing.profile}"
            lines += [
                f"{kind} of several owners: {advice_text(found)}",
                f"  packed so with gpus: {{{cut}: {per_gpu(cut)}}}",
            ]
        else:
            lines.append(f"models on one {kind}: {advice_text(found)}")
    return lines


def sharing_data(packing: Packing, fleet: Fleet) -> list[dict[str, str]]:
    """Return the same as plain data."""
    advices = packing_advice(packing, fleet)
    return [{"gpu": kind, "sharing": str(found.sharing), "reason": found.reason} for kind, found in advices]


def packing_advice(packing: Packing, fleet: Fleet) -> Iterator[tuple[str, Advice]]:
    """Yield a kind of GPU and how it is, or may be, shared; nothing of GPUs whose load or name is not known."""
    tenants = {tenant.name: tenant for tenant in fleet.tenants}
    for kind, grouped in groupby(sorted(packing.cards, key=lambda card: card.kind), key=lambda card: card.kind):
        cards = [card for card in grouped if _is_known(card, tenants)]
        if kind not in GPUS or not cards:
            continue
        reserve = GPUS[kind].memory_bytes - cards[0].memory_bytes
        for wish in (_one_server(cards), _strangers(cards, tenants, reserve)):
            found = advice(wish, GPUS[kind]) if wish is not None else None
            if found is not None and found.sharing.mode in ("instances", "mig"):
                yield kind, found


def _one_server(cards: list[Card]) -> Wish | None:
    """Return the wish of the models on the busiest GPU that several share: one owner's, hence one server's."""
    shared = [card for card in cards if len(card.lying) > 1]
    if not shared:
        return None
    card = max(shared, key=lambda one: one.load)
    count = len(card.lying)
    return Wish(count, card.used_bytes / count, card.load / count, is_one_repository=True)


def _strangers(cards: list[Card], tenants: dict[str, Tenant], reserve: float) -> Wish | None:
    """Return the wish of GPUs of several owners to be slices of fewer; each with what lies on the fullest, and room
    for a server beside it, which is the same `reserve` on a slice.
    """
    if len({tenants[card.lying[0].tenant].owner for card in cards}) < 2:
        return None
    memory, load = max(card.used_bytes for card in cards), max(card.load for card in cards)
    return Wish(len(cards), memory + reserve, load, has_strangers=True)


def _is_known(card: Card, tenants: dict[str, Tenant]) -> bool:
    return all(one.load > 0 and not tenants[one.tenant].is_alone for one in card.lying)
