"""A roll-out for people and for machines: its plan, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tritonsmith.backends.deploy.live.core import Change
from tritonsmith.backends.deploy.live.rollout import RollOut
from tritonsmith.generator import console

_HEADER = ("model", "runs", "requests", "then", "why")


def as_text(done: RollOut) -> str:
    """Return what is to be done, or was, as a table; and what stays."""
    return "\n".join(_lines(done))


def as_json(done: RollOut) -> dict[str, Any]:
    """Return the same as data, the changes in their order; `loads` are the load calls of each unit."""
    return {
        "url": done.url,
        "server": {"name": done.server.name, "version": done.server.version},
        "done": not done.is_dry,
        "units": [
            {"loads": list(unit.loads), "changes": [_document(change) for change in unit.changes]}
            for unit in done.plan.units
        ],
        "unchanged": list(done.plan.unchanged),
        "left_alone": list(done.plan.others),
        "unproven": dict(done.unproven),
        "notes": [*done.plan.notes, *done.notes],
    }


def _lines(done: RollOut) -> Iterator[str]:
    plan = done.plan
    if plan.units:
        rows = [_row(change, done) for change in plan.changes]
        yield _left_aligned(rows)
    if plan.unchanged:
        yield f"as it should be: {', '.join(plan.unchanged)}"
    if plan.others:
        yield f"left alone, unknown to the repository: {', '.join(plan.others)}"
    count = len(plan.changes)
    models = f"{count} model{'s'[: count != 1]}"
    if not count:
        yield f"{done.url} serves what the repository says"
    elif done.is_dry:
        yield f"{models} would be changed on {done.url}"
    else:
        yield f"{models} rolled out to {done.url} and {'served' if done.unproven else 'verified'}"
    for model, said in done.unproven.items():
        yield f"not proven: '{model}' refuses every made-up request ({said}); give one with --smoke"


def _row(change: Change, done: RollOut) -> tuple[str, ...]:
    running = done.running.get(change.model)
    requests = f"{running.requests:,}" if running and running.ready else "-"
    return change.model, _versions(change.before), requests, _versions(change.expected), "; ".join(change.why)


def _versions(versions: tuple[int, ...]) -> str:
    return ", ".join(map(str, versions)) or "-"


def _left_aligned(rows: list[tuple[str, ...]]) -> str:
    """Return a table whose last column, a sentence, is on the left."""
    plain = console.table(_HEADER[:-1], [row[:-1] for row in rows]).splitlines()
    width = max(map(len, plain))
    return "\n".join(
        f"{line:{width}}  {why}" for line, why in zip(plain, [_HEADER[-1], *(r[-1] for r in rows)], strict=True)
    )


def _document(change: Change) -> dict[str, Any]:
    return {
        "model": change.model,
        "why": list(change.why),
        "versions_before": list(change.before),
        "versions_after": list(change.expected),
        "numbers": {str(version): number for version, number in change.numbers.items()},
    }
