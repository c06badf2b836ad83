"""A tuning for the terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tritonsmith.generator import console
from tritonsmith.perf.tune.core import Standing
from tritonsmith.perf.tune.document import Tuning
from tritonsmith.perf.tune.report import words

MOST_ROWS = 12  # of the table; the page has all


def as_text(tuning: Tuning) -> str:
    """Return the pick, the best configurations, what decided, where the time went and the change to the spec."""
    found = tuning.found
    lines = [words.headline(tuning), *_indented(filter(None, [words.result(tuning)])), "", _table(tuning)]
    left = len(_measured(tuning)) - MOST_ROWS
    lines += [f"and {left} more, in the report"] if left > 0 else []
    lines += _section("tied with", words.ties(tuning))
    lines += _section("eliminated", words.reasons(words.with_fate(found, "eliminated")))
    lines += _section("failed", words.reasons(words.with_fate(found, "failed")))
    lines += _section("not measured", words.reasons(words.with_fate(found, "not measured")))
    lines += _section(
        "pairs in fresh generations", (words.confirmation(one, tuning.plan.model) for one in found.confirmations)
    )
    lines += ["", words.time_spent(tuning)]
    if found.is_out_of_budget and found.pick is not None:
        lines += ["the budget was out before all was settled; a longer --budget-s settles more"]
    if tuning.change:
        lines += ["", "written:" if tuning.is_written else "not written:", tuning.change.rstrip()]
    elif found.pick is not None and tuning.plan.spec:
        lines += ["", f"{tuning.plan.spec} has this configuration already"]
    return "\n".join(lines)


def as_markdown(tuning: Tuning) -> str:
    """Return the pick, the best configurations and the change to the spec, for a pull request."""
    header, rows = _rows(tuning)
    lines = [f"### {_escaped(words.headline(tuning))}", "", _escaped(words.result(tuning)), ""]
    lines += ["| " + " | ".join(header) + " |", "|---|" + "--:|" * (len(header) - 2) + "---|"]
    lines += ["| " + " | ".join(map(_escaped, row)) + " |" for row in rows]
    lines += ["", f"{_escaped(words.time_spent(tuning))}."]
    lines += ["", "```diff", tuning.change.rstrip(), "```"] if tuning.change else []
    return "\n".join(lines) + "\n"


def _table(tuning: Tuning) -> str:
    header, rows = _rows(tuning)
    return console.table(header, rows)


def _rows(tuning: Tuning) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    header = ("configuration", words.value_name(tuning.plan.wish), "at", "predicted", "seconds", "fate")
    rows: list[tuple[str, ...]] = [
        (
            words.short(one.candidate.name, tuning.plan.model),
            words.value(one),
            f"{one.load.value:g}" if one.load else "-",
            words.predicted(one),
            f"{one.seconds:.1f}",
            one.fate,
        )
        for one in _measured(tuning)[:MOST_ROWS]
    ]
    return header, rows


def _measured(tuning: Tuning) -> list[Standing]:
    return [one for one in tuning.found.standings if one.fate != "not measured"]


def _escaped(text: str) -> str:
    return re.sub(r"([\\|<>*_`\[\]])", r"\\\1", text).replace("\n", " ")


def _section(title: str, sentences: Iterator[str]) -> list[str]:
    found = list(sentences)
    return ["", f"{title}:", *_indented(found)] if found else []


def _indented(sentences: Iterator[str] | list[str]) -> list[str]:
    return [f"  {sentence}" for sentence in sentences]
