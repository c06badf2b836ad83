"""The gate's report as one self-contained HTML page: no script, no network, the drawing inline."""

from __future__ import annotations

from pathlib import Path

import jinja2
from markupsafe import Markup

from tritonsmith.ensembles.draw.svg import style_sheet
from tritonsmith.perf import report
from tritonsmith.perf.gate.document import Gate
from tritonsmith.perf.gate.forest import forest_plot
from tritonsmith.perf.gate.words import HEADER, conditions, counted, method, rows
from tritonsmith.perf.report.page import COLOURS

WHY = {"pass": "", "regress": "Why it regresses.", "inconclusive": "Why it is neither yes nor no."}


def render_page(gate: Gate) -> str:
    """Return the page."""
    folders = [Path(__file__).parent, Path(str(report.__file__)).parent]  # the second has the sweep's style
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders), autoescape=True, undefined=jinja2.StrictUndefined
    )
    comparisons = gate.verdict.comparisons
    return environment.get_template(
        "page.html.j2"
    ).render(
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
        colours=COLOURS,
        pipeline_style=style_sheet(),
        footer=f"{gate.schema} · tritonsmith {gate.tritonsmith} · {gate.started_at[:19].replace('T', ' ')} UTC",
    )


def _facts(gate: Gate) -> list[tuple[str, str]]:
    machine, plan = gate.machine, gate.plan
    notices = list(dict.fromkeys((*gate.baseline.notices, *gate.candidate.notices)))
    requests = sum(run.requests for run in gate.runs)
    return [
        ("Meanwhile", conditions(gate)),
        ("Server", f"tritonserver {machine.server}, perf_analyzer {machine.perf_analyzer} over {plan.protocol}"),
        ("System", f"Linux {machine.kernel}, glibc {machine.glibc}, Python {machine.python}"),
        *([("Measured with", "; ".join(notices))] if notices else []),
        ("Input", plan.input_data or "made up"),
        ("Runs", f"{len(gate.runs)} of three windows of {1.2 * plan.window_ms:g} ms, {requests:,} requests"),
        ("Seed", str(plan.seed)),
        ("Baseline", f"{gate.baseline.name}, {gate.baseline.identity[:16]}"),
        ("Candidate", f"{gate.candidate.name}, {gate.candidate.identity[:16]}"),
    ]
