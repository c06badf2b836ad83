"""The other ways of a plan: those that would do, with their cost; those that would not, by reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tritonsmith.perf.plan.core import Candidate
from tritonsmith.perf.plan.document import Plan
from tritonsmith.perf.plan.plan import GIB, is_misfit, name_of
from tritonsmith.perf.plan.show.words import gpus_text, replicas_text
from tritonsmith.perf.plan.steps.throughput import TOO_SMALL
from tritonsmith.perf.report.numbers import significant

MOST_OTHERS = 8  # ways beside the pick, or reasons
MOST_NAMES = 10  # of ways that a reason keeps out
# Problems that differ by a number: the reason that they share. The number stands beside each way.
ALIKE = {
    "not simulated: ": "not simulated, since they take more at the least",
    TOO_SMALL: "their KV cache is too small for a request",
    "an idle replica is too slow: ": "an idle replica is too slow",
}


def others_text(plan: Plan) -> str:
    """Return the other ways: those that would do, with their cost; those that would not, with the reason."""
    others = plan.candidates[1:] if plan.is_pick else plan.candidates
    good = [one for one in others if not one.problem]
    if plan.traffic is None:
        good = [one for place, one in enumerate(good) if one.gpu not in {other.gpu for other in good[:place]}]
    lines: list[str] = []
    if good:
        lines.append("other ways that would do:")
        lines += [f"  {name_of(one)}: {short_cost(one)}" for one in good[:MOST_OTHERS]]
        lines += [f"  {words}: --compare shows all" for words in _more(len(good) - MOST_OTHERS)]
    against = reasons([one for one in others if one.problem], MOST_NAMES)
    if against:
        lines.append("not:")
        lines += [f"  {names}: {reason}" for reason, names in against[:MOST_OTHERS]]
        lines += [f"  {words} reasons: --compare shows all" for words in _more(len(against) - MOST_OTHERS)]
    return "\n".join(lines) or "no other way was looked at"


def short_cost(one: Candidate) -> str:
    """Return what a candidate takes: its GPUs, replicas and price."""
    if one.replicas is None:
        return f"{gpus_text(one.serving.spread.gpus, one.gpu)}, {one.memory.kv_tokens.value:,.0f} tokens of KV cache"
    price = f", {significant(one.cost_per_hour.value)} per hour" if one.cost_per_hour else ""
    ttft_ms = significant(one.replicas.tails.ttft_ms[0.99])
    return f"{one.gpus} GPUs in {replicas_text(one.fleet)}{price}, TTFT p99 {ttft_ms} ms"


def reasons(found: Sequence[Candidate], most_names: int | None = None) -> list[tuple[str, str]]:
    """Return each reason with the ways that it keeps out; GPUs and types are named where they differ.

    Reasons that differ by a number are one, and the number stands beside each way. Without `most_names` all are named.
    """
    kinds, types = {one.gpu for one in found}, {one.serving.weight_type for one in found}
    against: dict[str, list[str]] = {}
    for one in found:
        words = [*([one.gpu] if len(kinds) > 1 else []), str(one.serving.spread)]
        words += [one.serving.weight_type] if len(types) > 1 else []
        words += one.serving.batch_words.split()
        reason, number = _reason(one)
        words += [f"({number})"] if number else []
        against.setdefault(reason, []).append(" ".join(words))
    most = len(found) if most_names is None else most_names
    return [(reason, ", ".join([*names[:most], *_more(len(names) - most)])) for reason, names in against.items()]


def _reason(one: Candidate) -> tuple[str, str]:
    """Return why a way is none, and by how much, "" where that is not a number."""
    if is_misfit(one):
        return "lacks memory", f"{-one.memory.free_bytes.value / GIB:,.1f} GiB"
    for start, reason in ALIKE.items():
        if one.problem.startswith(start):
            return reason, one.problem.removeprefix(start)
    return one.problem, ""


def _more(count: int) -> Iterator[str]:
    if count > 0:
        yield f"and {count} more"
