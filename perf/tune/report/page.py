"""A tuning's report as one self-contained HTML page: no script, no network, the drawings inline."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from tritonsmith.perf.files import write_by_rename
from tritonsmith.perf.report.numbers import significant
from tritonsmith.perf.report.render import footer, machine_facts, render
from tritonsmith.perf.tune.core import Standing
from tritonsmith.perf.tune.document import Tuning
from tritonsmith.perf.tune.report import drawings, words

PAGE_NAME = "tune.html"
MOST_COMPARED = 30  # rows of predicted against measured
CLASSES = {"picked": "stream", "failed": "warned"}


def write_page(tuning: Tuning, folder: Path) -> Path:
    """Write the page into its folder and return its path.

    Raises: UsageError where the disk does not take it.
    """
    return write_by_rename(folder / PAGE_NAME, render_page(tuning).encode())


def render_page(tuning: Tuning) -> str:
    """Return the page."""
    found, compared = tuning.found, drawings.comparisons(tuning)
    short = drawings.short_names(found)
    return render(
        Path(__file__).parent,
        "tune",
        title=tuning.plan.model,
        headline=words.headline(tuning),
        pick=found.pick.name if found.pick else "",
        result=words.result(tuning),
        numbers=_numbers(tuning),
        notes=_notes(tuning),
        value_name=words.value_name(tuning.plan.wish),
        load_name="In flight" if tuning.plan.wish.kind == "concurrency" else "Sent per second",
        rows=[_row(number, one, tuning.plan.model) for number, one in enumerate(found.standings, 1)],
        ties=list(words.ties(tuning)),
        scatter=_inline(drawings.scatter(compared) if compared else ""),
        compared=[_compared(one, short) for one in compared[:MOST_COMPARED]],
        heat=_inline(drawings.heat_strip(tuning) if found.trials else ""),
        phases=words.time_spent(tuning),
        pairs=_inline(drawings.pairs_plot(found.confirmations, short) if found.confirmations else ""),
        spec=tuning.plan.spec,
        change=tuning.change,
        is_written=tuning.is_written,
        facts=_facts(tuning),
        footer=footer(tuning.schema, tuning.environment.tritonsmith, tuning.started_at),
    )


def _inline(drawing: str) -> Markup:
    return Markup(drawing)  # noqa: S704 - our own; escaped where made


def _numbers(tuning: Tuning) -> list[tuple[str, str, str, str]]:
    """Return (name, number, unit, remark) of what matters most."""
    found, fates = tuning.found, [standing.fate for standing in tuning.found.standings]
    measured, best = len(fates) - fates.count("not measured"), words.picked(found)
    ended = f"{fates.count('eliminated')} eliminated, {fates.count('tied')} tied, {fates.count('failed')} failed"
    rows = [
        ("Configurations", f"{measured}", f"of {len(fates)} measured", ended),
        ("Measurements", f"{len(found.trials)}", "", f"in {sum(trial.seconds for trial in found.trials):.0f} s"),
        ("Time", f"{tuning.seconds:.0f}", f"of {tuning.plan.budget_s:g} s", "start and stop included"),
    ]
    if best is None or best.value is None:
        return rows
    interval = "{} to {}".format(*map(significant, best.interval)) if best.interval else "one measurement"
    name = words.value_name(tuning.plan.wish)
    return [(f"Pick, at {found.load}", significant(best.value), name, interval), *rows]


def _notes(tuning: Tuning) -> list[str]:
    notes = [words.headline(tuning)] if tuning.found.pick is None or tuning.is_inconclusive else []
    if tuning.found.is_out_of_budget:
        notes.append("the budget was out before all was settled; a longer --budget-s settles more")
    return notes


def _row(number: int, one: Standing, model: str) -> dict[str, str]:
    return {
        "number": str(number),
        "name": words.short(one.candidate.name, model),
        "whole": one.candidate.name,
        "fate": one.fate,
        "class": CLASSES.get(one.fate, ""),
        "value": words.value(one),
        "load": f"{one.load.value:g}" if one.load else "-",
        "predicted": words.predicted(one),
        "trials": str(one.trials),
        "seconds": f"{one.seconds:.1f}",
        "reason": one.reason,
    }


def _compared(one: drawings.Compared, short: drawings.Short) -> tuple[str, ...]:
    return (
        f"{short(one.standing.candidate.name)} at {one.load}",
        str(one.trials),
        significant(one.predicted_per_s),
        significant(one.measured_per_s),
        _off(one.predicted_per_s, one.measured_per_s),
        significant(one.predicted_p99_ms),
        significant(one.measured_p99_ms),
        _off(one.predicted_p99_ms, one.measured_p99_ms),
    )


def _off(predicted: float, measured: float) -> str:
    return f"{predicted / measured - 1:+.0%}" if measured else "-"


def _facts(tuning: Tuning) -> list[tuple[str, str]]:
    plan = tuning.plan
    return [
        ("Wanted", words.goal(plan.wish)),
        ("Varied", "; ".join(plan.vary) or "what usually pays"),
        *machine_facts(tuning.environment),
        *([("Measured with", "; ".join(tuning.notices))] if tuning.notices else []),
        ("Input", plan.input_data or "made up"),
        ("Seed", str(plan.seed)),
    ]
