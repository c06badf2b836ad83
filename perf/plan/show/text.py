"""A plan as a person reads it: the answer first, then where memory goes, what a replica does, what it costs, why."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from tritonsmith.generator import console
from tritonsmith.perf.plan.confirm import confirming_rates, sweep_command
from tritonsmith.perf.plan.core import Candidate, Figure, Memory, Objectives, Replicas, Tails, Traffic
from tritonsmith.perf.plan.document import Plan
from tritonsmith.perf.plan.plan import GIB, is_misfit, misfits, name_of
from tritonsmith.perf.plan.regions.text import regions_text
from tritonsmith.perf.plan.shares import is_slice, per_gpu
from tritonsmith.perf.plan.show.sharing_advice import sharing_text
from tritonsmith.perf.report.numbers import significant

MOST_OTHERS = 8  # ways beside the pick, or reasons
MOST_NAMES = 10  # of ways that a reason keeps out
QUANTILES = (0.5, 0.95, 0.99)
Times = Callable[[Tails], Mapping[float, float]]
TIMES: Mapping[str, Times] = {
    "TTFT": lambda tails: tails.ttft_ms,
    "TPOT": lambda tails: tails.tpot_ms,
    "latency": lambda tails: tails.latency_ms,
}


def plan_text(plan: Plan) -> str:
    """Return the whole plan."""
    pick = plan.pick
    blocks = [_head(plan), no_text(plan) if pick is None else pick_text(plan, pick)]
    if pick is not None:
        blocks.append(memory_text(pick.memory))
        blocks += [block for block in (replica_text(plan, pick), cost_text(pick), sharing_text(plan, pick)) if block]
    elif short := misfits(plan.candidates):
        blocks += [memory_text(short[0].memory)] if all(one.throughput is None for one in plan.candidates) else []
    if plan.regions is not None:
        blocks.append(regions_text(plan.regions))
    blocks.append(others_text(plan))
    if plan.notes or plan.times:
        blocks.append("\n".join(([f"times: {plan.times}"] if plan.times else []) + [f"note: {n}" for n in plan.notes]))
    if pick is not None and plan.traffic is not None and pick.replicas is not None:
        rates = ",".join(confirming_rates(pick.replicas))
        blocks.append(
            f"to confirm it, send one replica {rates} requests/s once it runs:\n{sweep_command(plan, pick.replicas)}"
        )
    return "\n\n".join(blocks)


def _head(plan: Plan) -> str:
    model = plan.model
    experts = f", {model.experts_per_token} of {model.experts} experts a token" if model.experts else ""
    size = f"{_billions(model.parameters.value)} parameters in {model.weight_type}, {model.layer_count} layers"
    lines = [f"{model.name}: {size}{experts} ({plan.path})"]
    if plan.traffic is not None:
        lines.append(f"asked: {asked(plan.traffic)}; {wanted(plan.objectives)}")
    return "\n".join(lines)


def asked(traffic: Traffic) -> str:
    """Return a traffic in words."""
    kind = "recorded" if traffic.arrivals else f"bursts of {traffic.bursts:g}x" if traffic.bursts > 1 else "Poisson"
    cached = f", {traffic.prefix_share:.0%} of it cached" if traffic.prefix_share else ""
    return (
        f"{significant(traffic.rate_per_s)} requests/s ({kind}), {traffic.input_tokens:,} tokens in{cached}, "
        f"{traffic.output_tokens:,} out"
    )


def wanted(objectives: Objectives) -> str:
    """Return objectives in words."""
    limits = [f"{name} <= {value:g} ms" for name, value in limits_of(objectives).items()]
    return f"{objectives.share:.4g} of them with {' and '.join(limits)}" if limits else "no limit on times"


def limits_of(objectives: Objectives) -> Mapping[str, float]:
    """Return the limits that there are, in milliseconds by name."""
    named = {"TTFT": objectives.ttft_ms, "TPOT": objectives.tpot_ms, "latency": objectives.latency_ms}
    return {name: value for name, value in named.items() if value is not None}


def no_text(plan: Plan) -> str:
    """Return why nothing is picked, and what would help."""
    slow = [one for one in plan.candidates if one.throughput is not None]
    if slow:
        hint = "allow more time, or look at faster GPUs, at more for a replica, at --weights in fewer bits"
        return f"NO: nothing meets what is asked; {name_of(slow[0])}: {slow[0].problem}\n  hint: {hint}"
    short = misfits(plan.candidates)
    best = short[0] if short else plan.candidates[0]
    return "\n  ".join([f"NO: {name_of(best)} {best.problem}", *plan.would_fit])


def pick_text(plan: Plan, pick: Candidate) -> str:
    """Return the answer in two lines."""
    spread, found = pick.serving.spread, pick.replicas
    types = f"weights in {pick.serving.weight_type}, KV cache in {pick.serving.cache_type}"
    if found is None:
        return f"YES: {spread} on {_gpus(spread.gpus, pick.gpu)}, {types}\n  {plan.reason}"
    spare = f", {found.spare} of them may be down" if found.spare else ""
    surge = f"; a roll-out takes {found.surge * spread.gpus} GPUs more while it lasts" if found.surge else ""
    lines = [f"YES: {_gpus(pick.gpus, pick.gpu)}: {_replicas(found.total)} of {spread}{spare}, {types}{surge}"]
    if (ends := replicas_between(plan, found)) is not None:
        lines.append(f"  80 % between: {ends[0]} and {ends[1] or 'no number of'} replicas; calibrated times narrow it")
    return "\n".join([*lines, f"  why: {plan.reason}"])


def replicas_between(plan: Plan, found: Replicas) -> tuple[int, int] | None:
    """Return how many replicas the ends of a replica's rate need, 0 where none are enough; None where both agree."""
    if plan.traffic is None:
        return None
    rate = found.rate_per_replica
    low, high = (
        math.ceil(plan.traffic.rate_per_s / end - 1e-9) + found.spare if end > 0 else 0 for end in (rate.high, rate.low)
    )
    return (low, high) if low != high else None


def memory_text(memory: Memory) -> str:
    """Return where a GPU's memory goes, each part with its arithmetic."""
    rows = [(part.name, part.bytes, part.arithmetic) for part in memory.parts]
    free, size = memory.free_bytes, f"of {memory.gpu_bytes / GIB:,.1f} GiB"
    rows.append(("free" if free.value > 0 else "lacking", free, free.source))
    width = max(len(name) for name, _, _ in rows)
    lines = [f"memory of the fullest GPU, {size}"]
    lines += [f"  {name.ljust(width)}  {_gib(figure):>16} GiB  {words}" for name, figure, words in rows]
    if memory.fits and memory.kv_bytes_per_token:
        per_token = f"{memory.kv_bytes_per_token:,.0f} bytes a token on a GPU"
        lines.append(f"  KV cache of a replica: {_tokens(memory.kv_tokens)} tokens, {per_token}")
        if memory.state_bytes_per_sequence:
            lines.append(f"  and {memory.state_bytes_per_sequence / 2**20:,.1f} MiB for the state of a sequence")
    return "\n".join(lines)


def replica_text(plan: Plan, pick: Candidate) -> str:
    """Return what a replica does: at most, within the objectives, and its times beside their limits."""
    if pick.throughput is None or plan.traffic is None:
        return ""
    full, found = pick.throughput, pick.replicas
    rows = [
        ["generated tokens/s, full", *_cells(full.tokens_per_s)],
        ["requests/s, full", *_cells(full.requests_per_s)],
    ]
    if found is not None:
        rows.append(["requests/s within the limits", *_cells(found.rate_per_replica)])
    lines = [
        f"one replica, {full.sequences} sequences in flight when full",
        console.table(["", "", "80 % between"], rows),
    ]
    if found is not None:
        each = plan.traffic.rate_per_s / found.working, plan.traffic.rate_per_s / found.total
        lines.append("")
        lines.append(_tails_text(found, each, plan.objectives))
    return "\n".join(lines)


def _tails_text(found: Replicas, each: tuple[float, float], objectives: Objectives) -> str:
    """Return the simulated times, with the spare replicas down and with all up."""
    down, all_up = found.tails, found.tails_all_up
    header = ["ms", *(f"p{share * 100:g}" for share in QUANTILES), "80 % between", "limit", "all up: p99"]
    limits = limits_of(objectives)
    rows = []
    for name, times in TIMES.items():
        limit = f"{limits[name]:g}" if name in limits else "-"
        values = [significant(times(down)[share]) if share in times(down) else "-" for share in QUANTILES]
        rows.append([name, *values, _p99_between(found, times), limit, significant(times(all_up)[0.99])])
    words = (
        f"with the spare ones down each answers {significant(each[0])}/s, {down.utilisation:.0%} of what it can, "
        f"{down.share_within:.2%} within the limits; all up {significant(each[1])}/s, {all_up.utilisation:.0%}"
    )
    return f"{console.table(header, rows)}\n{words}"


def _p99_between(found: Replicas, times: Times) -> str:
    if found.fast is None or found.slow is None:
        return "-"
    low, high = (times(tails)[0.99] for tails in (found.fast, found.slow))
    return f"{significant(low)} and {'no limit' if math.isinf(high) else significant(high)}"


def cost_text(pick: Candidate) -> str:
    """Return costs and energy, each with its interval; nothing where neither is known."""
    rows = []
    for name, figure in (
        ("per hour", pick.cost_per_hour),
        ("per million generated tokens", pick.cost_per_million_tokens),
        ("per million requests", pick.cost_per_million_requests),
        ("joules per generated token", pick.joules_per_token),
    ):
        if figure is not None:
            rows.append([name, *_cells(figure)])
    if not rows:
        return ""
    return console.table(["cost, of this traffic all the time" if pick.cost_per_hour else "", "", "80 % between"], rows)


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
    reasons = _by_reason([one for one in others if one.problem])
    if reasons:
        lines.append("not:")
        lines += [f"  {', '.join(names)}: {reason}" for reason, names in reasons[:MOST_OTHERS]]
        lines += [f"  {words} reasons: --compare shows all" for words in _more(len(reasons) - MOST_OTHERS)]
    return "\n".join(lines) or "no other way was looked at"


def short_cost(one: Candidate) -> str:
    """Return what a candidate takes: its GPUs, replicas and price."""
    if one.replicas is None:
        return f"{_gpus(one.serving.spread.gpus, one.gpu)}, {one.memory.kv_tokens.value:,.0f} tokens of KV cache"
    price = f", {significant(one.cost_per_hour.value)} per hour" if one.cost_per_hour else ""
    ttft = one.replicas.tails.ttft_ms.get(0.99, math.nan)
    return f"{one.gpus} GPUs in {_replicas(one.replicas.total)}{price}, TTFT p99 {significant(ttft)} ms"


def _by_reason(found: Sequence[Candidate]) -> list[tuple[str, list[str]]]:
    """Return reasons with the names of those that they keep out; GPUs and types are named where they differ."""
    kinds, types = {one.gpu for one in found}, {one.serving.weight_type for one in found}
    reasons: dict[str, list[str]] = {}
    for one in found:
        words = [*([one.gpu] if len(kinds) > 1 else []), str(one.serving.spread)]
        words += [one.serving.weight_type] if len(types) > 1 else []
        if is_misfit(one):
            words.append(f"({-one.memory.free_bytes.value / GIB:,.1f} GiB)")
        reasons.setdefault("lacks memory" if is_misfit(one) else one.problem, []).append(" ".join(words))
    return [(reason, [*names[:MOST_NAMES], *_more(len(names) - MOST_NAMES)]) for reason, names in reasons.items()]


def _more(count: int) -> Iterator[str]:
    if count > 0:
        yield f"and {count} more"


def _cells(figure: Figure) -> list[str]:
    if figure.low == figure.high:
        return [significant(figure.value), "exact"]
    high = "no limit" if math.isinf(figure.high) else significant(figure.high)
    return [significant(figure.value), f"{significant(figure.low)} and {high}"]


def _gib(figure: Figure) -> str:
    if figure.low == figure.high:
        return f"{figure.value / GIB:,.2f}"
    return f"{figure.value / GIB:,.2f} ({figure.low / GIB:,.1f}-{figure.high / GIB:,.1f})"


def _tokens(figure: Figure) -> str:
    if figure.low == figure.high:
        return f"{figure.value:,.0f}"
    return f"{figure.value:,.0f} ({figure.low:,.0f} to {figure.high:,.0f})"


def _billions(parameters: float) -> str:
    return f"{parameters / 1e9:.3g} billion" if parameters >= 1e9 else f"{parameters / 1e6:.3g} million"


def _gpus(count: int, name: str) -> str:
    """Return "8 H100-SXM-80GB"; of slices, also how many GPUs are cut for them."""
    if not is_slice(name):
        return f"{count} {name}"
    cut = math.ceil(count / per_gpu(name))
    return f"{count} {name}, {per_gpu(name)} of a GPU: {cut} GPU{'' if cut == 1 else 's'}"


def _replicas(count: int) -> str:
    return f"{count} replica{'' if count == 1 else 's'}"
