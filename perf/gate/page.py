"""The gate's report as one self-contained HTML page: no script, no network, the drawing inline."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from tritonsmith.perf.gate.document import Gate
from tritonsmith.perf.gate.forest import forest_plot
from tritonsmith.perf.gate.words import HEADER, conditions, counted, method, rows
from tritonsmith.perf.report.render import footer, render, software_facts

WHY = {"pass": "", "regress": "Why it regresses.", "inconclusive": "Why it is neither yes nor no."}


def render_page(gate: Gate) -> str:
    """Return the page."""
    comparisons = gate.verdict.comparisons
    return render(
        Path(__file__).parent,
        "gate",
        title=gate.plan.model,
        is_self_test=gate.is_self_test,
        verdict=gate.verdict,
        why=WHY[gate.verdict.word],
        candidate=gate.candidate.name,
        baseline=gate.baseline.name,
        counted=counted(gate),
        seconds=f"{gate.seconds:.0f}",
        drawing=Markup(forest_plot(comparisons)) if comparisons else "",  # noqa: S704 - our own; escaped where made
        header=HEADER,
        rows=rows(gate),
        facts=_facts(gate),
        method=list(method(gate)),
        footer=footer(gate.schema, gate.tritonsmith, gate.started_at),
    )


def _facts(gate: Gate) -> list[tuple[str, str]]:
    plan = gate.plan
    notices = list(dict.fromkeys((*gate.baseline.notices, *gate.candidate.notices)))
    requests = sum(run.requests for run in gate.runs)
    return [
        ("Meanwhile", conditions(gate)),
        *software_facts(gate.machine, plan.protocol),
        *([("Measured with", "; ".join(notices))] if notices else []),
        ("Input", plan.input_data or "made up"),
        ("Runs", f"{len(gate.runs)} of three windows of {1.2 * plan.window_ms:g} ms, {requests:,} requests"),
        ("Seed", str(plan.seed)),
        ("Baseline", f"{gate.baseline.name}, {gate.baseline.identity[:16]}"),
        ("Candidate", f"{gate.candidate.name}, {gate.candidate.identity[:16]}"),
    ]
