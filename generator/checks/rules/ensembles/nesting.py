"""Ensembles whose steps are ensembles, in the order in which they can be loaded."""

from __future__ import annotations

from collections.abc import Mapping


def in_order(steps: Mapping[str, tuple[str, ...]]) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """Return the ensembles, each after those that it has as steps; and, with their ensembles, those no order has."""
    waits = {name: {step for step in names if step in steps} for name, names in steps.items()}
    above: dict[str, list[str]] = {}
    for name, names in waits.items():
        for step in names:
            above.setdefault(step, []).append(name)
    order = [name for name, names in waits.items() if not names]
    for step in order:  # it grows on the way
        for name in above.get(step, ()):
            waits[name].discard(step)
            if not waits[name]:
                order.append(name)
    return order, {name: tuple(sorted(names)) for name, names in waits.items() if names}
