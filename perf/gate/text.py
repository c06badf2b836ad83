"""A gate for the terminal, as Markdown for a pull request or a GitHub step summary, and as JUnit XML."""

from __future__ import annotations

import csv
import io
import math
import re
from xml.etree import ElementTree

from tritonsmith.generator import console
from tritonsmith.perf.gate.core import Comparison
from tritonsmith.perf.gate.document import Gate
from tritonsmith.perf.gate.words import HEADER, conditions, headline, method, percent, rows, visible

MARKER = "<!-- tritonsmith gate -->"  # by which a workflow finds the comment that it wrote before
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
PLOT_WIDTH = 61


def as_text(gate: Gate) -> str:
    """Return the table and, below it, why the verdict is not "pass"."""
    lines = [console.table(HEADER, rows(gate)), ""] if gate.verdict.comparisons else []
    lines += [headline(gate), *(f"  {reason}" for reason in gate.verdict.reasons), conditions(gate)]
    return "\n".join(lines)


def as_markdown(gate: Gate) -> str:
    """Return a comment for a pull request: the verdict, the table, how it was measured folded away."""
    verdict = gate.verdict
    lines = [MARKER, f"### {_escaped(headline(gate))}", ""]
    lines += [f"- {_escaped(reason)}" for reason in verdict.reasons] + ([""] if verdict.reasons else [])
    if verdict.comparisons:
        lines += ["| " + " | ".join(HEADER) + " |", "|---|" + "--:|" * (len(HEADER) - 2) + "---|"]
        lines += ["| " + " | ".join(map(_escaped, row)) + " |" for row in rows(gate)]
    details = [f"{sentence}." for sentence in (*method(gate), conditions(gate))]
    details += [f"Served here with {_escaped(line)}." for line in (*gate.baseline.notices, *gate.candidate.notices)]
    lines += ["", "<details><summary>How it was measured</summary>", "", *(_sentence(one) for one in details)]
    return "\n".join([*lines, "", "</details>"]) + "\n"


def as_step_summary(gate: Gate) -> str:
    """Return the Markdown for $GITHUB_STEP_SUMMARY: as for a pull request, with a plot in characters."""
    plots = [plot_line(one) for one in gate.verdict.comparisons if one.decides]
    plot = ["", "```text", *plots, "```"] if plots else []
    return as_markdown(gate) + "\n".join(plot) + ("\n" if plot else "")


def as_csv(gate: Gate) -> str:
    """Return a row per point and pair: how much slower the candidate was in it, and the point's bounds beside it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["metric", "load", "pair", "slowdown", "estimate", "low", "high", "smallest_visible", "verdict"])
    for one in gate.verdict.comparisons:
        whole = [f"{one.slowdown:.6g}", *(_number(value) for value in (one.low, one.high, one.smallest_visible))]
        for number, log_ratio in enumerate(one.log_ratios):
            pair = [one.metric, str(one.load), str(number), f"{math.exp(log_ratio):.6g}"]
            writer.writerow([*pair, *whole, one.word or "shown only"])
    return text.getvalue()


def plot_line(one: Comparison) -> str:
    """Return a point's forest plot in two lines of characters: the interval, the estimate, none and the tolerance.

    The scale spans three tolerances on both sides of none; an arrow stands where an interval leaves it.
    """
    reach = 3 * (one.tolerance or 0.05)
    cells = [" "] * PLOT_WIDTH
    low, high = (-9.0 if one.low is None else one.low - 1), (9.0 if one.high is None else one.high - 1)
    for cell in range(_cell(low, reach), _cell(high, reach) + 1):
        cells[cell] = "-"
    cells[_cell(low, reach)] = "<" if low < -reach else "|"
    cells[_cell(high, reach)] = ">" if high > reach else "|"
    for share, mark in ((0.0, ":"), (one.tolerance or 0.0, "!")):
        cells[_cell(share, reach)] = mark
    cells[_cell(one.slowdown - 1, reach)] = "o"
    return f"{one.name}: {percent(one.slowdown)}, {one.word}\n{''.join(cells)}  (: none, ! tolerance)"


def as_junit(gate: Gate) -> str:
    """Return one suite: a case per deciding point and per outright failure; what is inconclusive is an error."""
    suite = ElementTree.Element("testsuite", name=_clean(f"tritonsmith gate {gate.plan.model}"))
    for failure in gate.verdict.failures:
        _add(suite, f"{failure.kind}: {failure.side}, {failure.where}", "failure", failure.message)
    for refusal in gate.verdict.refusals:
        _add(suite, "the machine is fit to compare on", "error", refusal)
    for one in gate.verdict.comparisons:
        if one.decides:
            kind = {"pass": "", "regress": "failure", "inconclusive": "error"}[one.word or "inconclusive"]
            message = f"{percent(one.slowdown)} ({percent(one.low)} to {percent(one.high)}), visible {visible(one)}"
            _add(suite, one.name, kind, message)
    if not len(suite):
        _add(suite, "something was measured", "error", "; ".join(gate.verdict.reasons))
    for plural, kind in (("failures", "failure"), ("errors", "error")):
        suite.set(plural, str(len(suite.findall(f"testcase/{kind}"))))
    suite.set("tests", str(len(suite)))
    suite.set("time", f"{gate.seconds:.1f}")
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=False)


def _add(suite: ElementTree.Element, name: str, kind: str, message: str) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname="gate", name=_clean(name))
    if kind:
        ElementTree.SubElement(case, kind, message=_clean(message), type=kind).text = _clean(message)
    else:
        ElementTree.SubElement(case, "system-out").text = _clean(message)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _cell(share: float, reach: float) -> int:
    position = (min(max(share, -reach), reach) + reach) / (2 * reach)
    return round(position * (PLOT_WIDTH - 1))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is, within a table too."""
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", text.replace("\n", " "))


def _clean(text: str) -> str:
    """Return text without the characters that XML cannot hold."""
    return _NOT_XML.sub("?", text)
