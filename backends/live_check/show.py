"""What `check --live` shows: each model's two verdicts, the server's reason, and where we are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tritonsmith.backends.live_check.compare import Comparison
from tritonsmith.backends.toolchain.find import SERVER_RELEASE, SERVER_VERSION
from tritonsmith.generator.checks.case import Target


def as_text(comparisons: Sequence[Comparison], target: Target) -> str:
    """Return the comparison for people; `target` is the server that was asked."""
    gpus = f"{target.gpus} GPUs" if target.gpus else "no GPU"
    mode = "on" if target.is_auto_complete else "off"
    head = f"tritonserver {SERVER_VERSION} ({SERVER_RELEASE}), {gpus}, auto-complete {mode}, says:"
    wrong = sum(bool(comparison.disagreement) for comparison in comparisons)
    tail = f"tritonsmith agrees on {len(comparisons) - wrong} of {len(comparisons)}"
    width = max(len(comparison.model) for comparison in comparisons)
    return "\n".join([head, *(line for found in comparisons for line in _lines(found, width)), tail])


def as_json(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Return the comparison as data."""
    return [
        {
            "model": comparison.model,
            "ours": comparison.ours.value,
            "server": comparison.answer.verdict.value,
            "reason": list(comparison.answer.lines),
            "agrees": not comparison.disagreement,
            "disagreement": comparison.disagreement,
            "codes": list(comparison.codes),
            "matched": list(comparison.matched),
        }
        for comparison in comparisons
    ]


def _lines(comparison: Comparison, width: int) -> list[str]:
    lines = [f"  {comparison.model:{width}}  {comparison.answer.verdict.value}{_beside(comparison)}"]
    lines += [f"    | {line}" for line in comparison.answer.lines]
    if comparison.disagreement:
        lines.append(
            f"    tritonsmith is wrong about {comparison.model}: {comparison.disagreement}; "
            "please report it with the model's config.pbtxt and these lines"
        )
    return lines


def _beside(comparison: Comparison) -> str:
    if comparison.is_beyond_checks:
        return ": its own code decides, which no check runs"
    return f", as {', '.join(comparison.codes)} said" if comparison.codes and not comparison.disagreement else ""
