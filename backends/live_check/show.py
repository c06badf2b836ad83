"""What `check --live` shows: each model's two verdicts, the server's reason, and where we are wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tritonsmith.backends.live_check.compare import Comparison
from tritonsmith.backends.live_check.live import LiveReport
from tritonsmith.backends.toolchain.find import SERVER_RELEASE, SERVER_VERSION


def as_text(live: LiveReport) -> str:
    """Return what the server says of each model, and where we say something else."""
    width = max((len(comparison.model) for comparison in live.comparisons), default=0)
    count = len(live.comparisons)
    tail = f"tritonsmith agrees on {count - len(live.disagreements)} of {count}"
    return "\n".join([_head(live), *(line for found in live.comparisons for line in _lines(found, width)), tail])


def as_json(live: LiveReport) -> list[dict[str, Any]]:
    """Return the comparison as data."""
    return [
        {
            "model": comparison.model,
            "ours": comparison.ours.value,
            "server": comparison.answer.verdict.value,
            "reason": list(comparison.answer.lines),
            "agrees": not comparison.disagreement,
            "disagreement": comparison.disagreement,
            "excuse": comparison.excuse,
            "codes": list(comparison.codes),
            "matched": list(comparison.matched),
        }
        for comparison in live.comparisons
    ]


def _head(live: LiveReport) -> str:
    count = live.target.gpus or 0
    gpus = f"{count} GPU{'s'[: count != 1]}" if count else "no GPU"
    mode = "on" if live.target.is_auto_complete else "off"
    server = f"tritonserver {SERVER_VERSION} (release {SERVER_RELEASE}), {gpus}, auto-complete {mode}"
    nulls = f"\n  null backends, which read no files, in place of {', '.join(live.null_backends)}"
    return f"{server}, says of the repository as it is:{nulls if live.null_backends else ''}"


def _lines(comparison: Comparison, width: int) -> Iterator[str]:
    yield f"  {comparison.model:{width}}  {comparison.answer.verdict.value}{_beside(comparison)}"
    for line in comparison.answer.lines:
        yield f"    | {line}"
    if comparison.disagreement:
        yield f"    tritonsmith is wrong about {comparison.model}: {comparison.disagreement}"
        yield "    please report this bug of ours, with the model's folder and the lines above"


def _beside(comparison: Comparison) -> str:
    if comparison.excuse:
        return f": {comparison.excuse}"
    if comparison.disagreement or not comparison.findings:
        return ""
    places = dict.fromkeys(f"{finding.code} ({finding.place})" for finding in comparison.findings)
    other = f" (it {comparison.ours.value} at other times)" if comparison.is_race else ""
    return f"{other}, as said: {', '.join(places)}"
