"""A roll-out for people and for machines: its plan, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tritonsmith.backends.deploy.live.core import Step
from tritonsmith.backends.deploy.live.rollout import Outcome
from tritonsmith.generator import console

_HEADER = ("model", "runs", "requests", "then", "why")


def as_text(outcome: Outcome) -> str:
    """Return what is to be done, or was, as a table; and what stays."""
    return "\n".join(_lines(outcome))


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Return the same as data, the steps in their order; `loads` are the load calls of each unit."""
    return {
        "url": outcome.url,
        "server": {"name": outcome.server.name, "version": outcome.server.version},
        "done": not outcome.is_dry,
        "units": [
            {"loads": list(unit.loads), "steps": [_document(step) for step in unit.steps]}
            for unit in outcome.plan.units
        ],
        "unchanged": list(outcome.plan.unchanged),
        "left_alone": list(outcome.plan.others),
        "notes": [*outcome.plan.notes, *outcome.notes],
    }


def _lines(outcome: Outcome) -> Iterator[str]:
    plan = outcome.plan
    if plan.units:
        rows = [_row(step, outcome) for step in plan.steps]
        yield _left_aligned(rows)
    if plan.unchanged:
        yield f"as it should be: {', '.join(plan.unchanged)}"
    if plan.others:
        yield f"left alone, unknown to the repository: {', '.join(plan.others)}"
    count = len(plan.steps)
    models = f"{count} model{'s'[: count != 1]}"
    if not count:
        yield f"{outcome.url} serves what the repository says"
    elif outcome.is_dry:
        yield f"{models} would be changed on {outcome.url}"
    else:
        yield f"{models} rolled out to {outcome.url} and verified"


def _row(step: Step, outcome: Outcome) -> tuple[str, ...]:
    running = outcome.running.get(step.model)
    requests = f"{running.requests:,}" if running and running.ready else "-"
    return step.model, _versions(step.before), requests, _versions(step.expected), "; ".join(step.why)


def _versions(versions: tuple[int, ...]) -> str:
    return ", ".join(map(str, versions)) or "-"


def _left_aligned(rows: list[tuple[str, ...]]) -> str:
    """Return a table whose last column, a sentence, is on the left."""
    plain = console.table(_HEADER[:-1], [row[:-1] for row in rows]).splitlines()
    width = max(map(len, plain))
    return "\n".join(
        f"{line:{width}}  {why}" for line, why in zip(plain, [_HEADER[-1], *(r[-1] for r in rows)], strict=True)
    )


def _document(step: Step) -> dict[str, Any]:
    return {
        "model": step.model,
        "why": list(step.why),
        "versions_before": list(step.before),
        "versions_after": list(step.expected),
        "numbers": {str(version): number for version, number in step.numbers.items()},
    }
