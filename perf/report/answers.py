"""The answer to "how much load keeps these limits", in words and as rows."""

from __future__ import annotations

from collections.abc import Mapping

from tritonsmith.perf.document import Sweep, SweepPlan
from tritonsmith.perf.limits import words_of_limit
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.report.numbers import significant
from tritonsmith.perf.slo.core import Answer


def limits_words(limits_ms: Mapping[str, float]) -> str:
    """Return "p99 <= 50 ms, mean <= 10 ms"."""
    return ", ".join(words_of_limit(metric, limit_ms) for metric, limit_ms in limits_ms.items())


def answer_lines(sweep: Sweep) -> list[str]:
    """Return a line for each answer."""
    return [answer_line(sweep.plan, answer) for answer in sweep.answers]


def answer_marks(sweep: Sweep, load: Load) -> list[str]:
    """Return what marks the load that is an answer; nothing for the others."""
    found = [one for one in sweep.answers if one.outcome == "found" and Load(one.kind, one.level or 0) == load]
    return [f"the highest with {limits_words(sweep.plan.slo)}" for _ in found]


def answer_line(plan: SweepPlan, answer: Answer) -> str:
    """Return the answer as a sentence: the level, its throughput, and what the next one misses."""
    limits = limits_words(plan.slo)
    if answer.outcome == "none":
        return f"{limits}: not even {Load(answer.kind, answer.failing or 0)} keeps it ({answer.why})"
    if answer.outcome == "unclear":
        return f"{limits}: cannot be told apart: {_what_is_known(answer)}"
    rate = f"{significant(answer.throughput_per_s)} requests/s"
    if interval := answer.throughput_interval:
        rate += f" ({significant(interval.low)} to {significant(interval.high)})"
    return f"{limits}: up to {Load(answer.kind, answer.level or 0)}, {rate}; {_above(answer)}"


def _above(answer: Answer) -> str:
    if answer.failing is None and not answer.undecided:
        return "the highest that was asked for"
    failing = f"{Load(answer.kind, answer.failing)} fails: {answer.why}" if answer.failing is not None else ""
    unclear = ", ".join(f"{value:g}" for value in answer.undecided)
    return "; ".join(filter(None, [failing, f"at {unclear} it cannot be told" if unclear else ""]))


def _what_is_known(answer: Answer) -> str:
    holds = f"{Load(answer.kind, answer.level)} holds" if answer.level is not None else ""
    fails = f"{Load(answer.kind, answer.failing)} fails" if answer.failing is not None else ""
    unclear = ", ".join(f"{value:g}" for value in answer.undecided)
    return "; ".join(filter(None, [holds, f"{unclear} may or may not" if unclear else "", fails]))
