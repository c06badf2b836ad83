"""A plan as a person reads it: the answer first, then where memory goes, what a replica does, what it costs, why."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tritonsmith.generator import console
from tritonsmith.perf.plan.confirm import FOLDER, caveat, sweep_command
from tritonsmith.perf.plan.core import Candidate, Figure, Memory, Objectives, Replicas, Traffic
from tritonsmith.perf.plan.document import Plan
from tritonsmith.perf.plan.plan import GIB, misfits, name_of
from tritonsmith.perf.plan.regions.text import regions_text
from tritonsmith.perf.plan.replicas.arrivals import least_replicas
from tritonsmith.perf.plan.show.others import others_text
from tritonsmith.perf.plan.show.sharing_advice import sharing_text
from tritonsmith.perf.plan.show.words import (
    TIMES,
    Times,
    asked,
    fleet_text,
    gpus_text,
    limits_of,
    quantile_text,
    replicas_text,
    wanted,
)
from tritonsmith.perf.plan.steps.throughput import TOO_SMALL, shorter
from tritonsmith.perf.report.numbers import significant

QUANTILES = (0.5, 0.95, 0.99)
LIMITS_ARE_STEEP = "within the limits the ends are further apart: steps a little longer can miss them at most rates"
WIDER = 1.1  # times as far apart as those of a full replica: ends of an interval of which that is told
BINDS = 0.9  # of what a full replica does: if limits leave less, they bind, and not the batch
ENGINES_BATCH = 2048  # TensorRT-LLM's default. Source: tensorrt_llm/builder.py, BuildConfig
LENGTHS = (1024, 8192, 131072)  # tokens of a sequence, where no traffic says how long they are


def plan_text(plan: Plan, *, with_others: bool = True) -> str:
    """Return the whole plan; without the other ways where they are compared below it."""
    pick = plan.pick
    blocks = [_head(plan), no_text(plan) if pick is None else pick_text(plan, pick)]
    if pick is not None:
        blocks.append("\n".join([memory_text(pick.memory), *sequences_lines(plan, pick)]))
        blocks += [block for block in (replica_text(plan, pick), cost_text(pick), sharing_text(plan, pick)) if block]
    elif short := misfits(plan.candidates):
        blocks += [memory_text(short[0].memory)] if all(one.throughput is None for one in plan.candidates) else []
    if plan.regions is not None:
        blocks.append(regions_text(plan.regions))
    if with_others:
        blocks.append(others_text(plan))
    if plan.notes or plan.times:
        blocks.append("\n".join(([f"times: {plan.times}"] if plan.times else []) + [f"note: {n}" for n in plan.notes]))
    if pick is not None and plan.traffic is not None and pick.replicas is not None:
        blocks.append(confirm_text(plan, plan.traffic, pick.replicas))
    return "\n\n".join(blocks)


def _head(plan: Plan) -> str:
    model = plan.model
    experts = f", {model.experts_per_token} of {model.experts} experts a token" if model.experts else ""
    size = f"{_billions(model.parameters.value)} parameters in {model.weight_type}, {model.layer_count} layers"
    lines = [f"{model.name}: {size}{experts} ({plan.path})"]
    if plan.traffic is not None:
        lines.append(f"asked: {asked(plan.traffic)}; {wanted(plan.objectives)}")
    return "\n".join(lines)


def no_text(plan: Plan) -> str:
    """Return why nothing is picked, and what would help."""
    slow = [one for one in plan.candidates if one.throughput is not None]
    if slow:
        nearest = min(slow, key=lambda one: _excess(one, plan.objectives))
        hint = "allow more time, or look at faster GPUs (--gpu), more of them (--max-gpus), fewer bits (--weights)"
        return f"NO: nothing meets what is asked; nearest is {name_of(nearest)}: {nearest.problem}\n  hint: {hint}"
    short = misfits(plan.candidates)
    best = short[0] if short else plan.candidates[0]
    hint = "hint: look at other GPUs (--gpu), more of them for a replica (--max-gpus), other types (--weights)"
    too_small = [one for one in plan.candidates if one.problem.startswith(TOO_SMALL)]
    if too_small and plan.traffic is not None:
        best = max(too_small, key=lambda one: one.memory.kv_tokens.value)
        hint += f", a smaller cache type (--kv-cache), or {shorter(plan.traffic)}"
    return "\n  ".join([f"NO: {name_of(best)}: {best.problem}", *plan.would_fit, hint])


def _excess(one: Candidate, objectives: Objectives) -> float:
    """Return by which factor a full replica's times exceed their limits; its TPOT where only whole answers have one."""
    assert one.throughput is not None, "asked of those that have one"
    full = one.throughput
    pairs = ((full.ttft_ms.value, objectives.ttft_ms), (full.tpot_ms.value, objectives.tpot_ms))
    return max((found / limit for found, limit in pairs if limit is not None), default=full.tpot_ms.value)


def pick_text(plan: Plan, pick: Candidate) -> str:
    """Return the answer in two lines."""
    spread, found = pick.serving.spread, pick.replicas
    types = f"weights in {pick.serving.weight_type}, KV cache in {pick.serving.cache_type}"
    if found is None:
        return f"YES: {spread} on {gpus_text(spread.gpus, pick.gpu)}, {types}\n  {plan.reason}"
    spare = f", {found.spare} of {'each' if pick.by_region else 'them'} may be down" if found.spare else ""
    lines = [f"YES: {gpus_text(pick.gpus, pick.gpu)}: {fleet_text(pick)}{spare}, {types}"]
    if (ends := replicas_between(plan, found)) is not None:
        lines.append(f"  80 % between: {ends[0]} and {ends[1] or 'no number of'} replicas")
    roll_out = regions_roll_out_text(found, spread.gpus) if pick.by_region else roll_out_text(found, spread.gpus)
    return "\n".join([*lines, f"  why: {plan.reason}", f"  {roll_out}"])


def regions_roll_out_text(found: Replicas, gpus: int) -> str:
    """Return what a roll-out does where each region has replicas of its own, of so many GPUs."""
    start = "a roll-out replaces one at a time in each region (maxSurge: 0)"
    if found.spare:
        return f"{start}: times are meanwhile as with a spare one down"
    more = f"with {gpus} GPU{'s'[: gpus != 1]} more in each (maxSurge: 1) all is as always"
    return f"{start}: one less answers there meanwhile; {more}"


def roll_out_text(found: Replicas, gpus: int) -> str:
    """Return what a roll-out does, replicas having so many GPUs: one leaves before its successor comes, as deployed."""
    left = found.rolling
    if left is None:
        meanwhile = "nobody answers meanwhile"
    elif math.isinf(left.latency_ms[0.99]):
        meanwhile = f"those that are left fall behind, {replicas_text(found.total - 1)}"
    else:
        meanwhile = f"{left.share_within:.1%} of the requests keep to the limits meanwhile"
    count = found.surge * gpus
    more = f"; with {count} GPU{'s'[: count != 1]} more (maxSurge: 1) all is as always" if count else ""
    return f"a roll-out replaces one at a time (maxSurge: 0): {meanwhile}{more}"


def replicas_between(plan: Plan, found: Replicas) -> tuple[int, int] | None:
    """Return how many replicas the ends of a replica's rate need, 0 where none are enough; None where both agree."""
    if plan.traffic is None:
        return None
    if plan.regions is not None:
        fewest, most = (0 if math.isinf(end) else int(end) for end in plan.regions.ends)
        return (fewest, most) if fewest != most else None
    rate = found.rate_per_replica
    low, high = (
        least_replicas(plan.traffic.rate_per_s, end) + found.spare if end > 0 else 0 for end in (rate.high, rate.low)
    )
    return (low, high) if low != high else None


def confirm_text(plan: Plan, traffic: Traffic, found: Replicas) -> str:
    """Return the sweep that confirms a plan, and what to do with it."""
    unlike = f" ({words})" if (words := caveat(traffic)) else ""
    serving = plan.candidates[0].serving
    way = f"{plan.candidates[0].gpu} {serving.spread} {serving.weight_type}{serving.batch_words}"
    return (
        f"to confirm it, measure one replica below, near, at and beyond what it is to answer{unlike}:\n"
        f'{sweep_command(plan, found)}\nthen plan again with --calibrate "{way}={FOLDER}"'
    )


def memory_rows(memory: Memory) -> list[tuple[str, str, str, str]]:
    """Return where a GPU's memory goes, what is free or lacks last: name, GiB, arithmetic, source."""
    free, size = memory.free_bytes, f"{memory.gpu_bytes / GIB:,.1f} GiB"
    lacking = Figure(-free.value, -free.high, -free.low, free.source)
    last = ("free", free, f"{size} less all parts") if free.value > 0 else ("lacking", lacking, f"all less {size}")
    rows = [(part.name, _gib(part.bytes), part.arithmetic, part.bytes.source) for part in memory.parts]
    return [*rows, (last[0], _gib(last[1]), last[2], "the parts above")]


def memory_text(memory: Memory) -> str:
    """Return where a GPU's memory goes, each part with its arithmetic."""
    rows = memory_rows(memory)
    width = max(len(name) for name, *_ in rows)
    lines = [f"memory of the fullest GPU, of {memory.gpu_bytes / GIB:,.1f} GiB"]
    lines += [f"  {name.ljust(width)}  {size:>21} GiB  {words}" for name, size, words, _ in rows]
    if memory.fits and memory.kv_bytes_per_token:
        per_token = f"{memory.kv_bytes_per_token:,.0f} bytes a token on a GPU"
        lines.append(f"  KV cache of a replica: {_tokens(memory.kv_tokens)} tokens, {per_token}")
        if memory.state_bytes_per_sequence:
            lines.append(f"  and {memory.state_bytes_per_sequence / 2**20:,.1f} MiB for the state of a sequence")
    return "\n".join(lines)


def sequences_lines(plan: Plan, pick: Candidate) -> Iterator[str]:
    """Yield how many sequences a replica's cache holds to their end: of the traffic's length, or of several."""
    if not pick.memory.kv_bytes_per_token:
        return
    asked_for = (plan.traffic.input_tokens + plan.traffic.output_tokens,) if plan.traffic else LENGTHS
    longest = plan.model.max_positions or max(asked_for)
    lengths = dict.fromkeys(min(length, longest) for length in asked_for)
    counts = [f"{pick.memory.kv_tokens.value // length:,.0f} of {length:,}" for length in lengths]
    counts[0] = counts[0].replace(" of ", " sequences of ") + " tokens"
    most = f"at most {pick.serving.max_batch_size} are in flight{_larger_batch(plan, pick, asked_for[0])}"
    yield f"  it holds {', '.join(counts)} to their end; {most}"


def _larger_batch(plan: Plan, pick: Candidate, length: int) -> str:
    """Return the option that looks at larger batches, where the batch binds and the cache holds more."""
    held, most = pick.memory.kv_tokens.value // length, pick.serving.max_batch_size
    largest = max(one.serving.max_batch_size for one in plan.candidates)
    if pick.throughput is None or plan.built is not None or held <= most or most < largest:
        return ""
    full = pick.throughput.requests_per_s.value
    if pick.replicas is not None and pick.replicas.rate_per_replica.value < BINDS * full:
        return ""
    enough = min(2 ** math.ceil(math.log2(held)), max(ENGINES_BATCH, 2 * most))
    return f": --max-batch-size {most},{enough} looks at more"


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
        network = ", without a network" if pick.by_region else ""
        rows.append([f"requests/s within the limits{network}", *_cells(found.rate_per_replica)])
    lines = [
        f"one replica, {full.sequences} sequences in flight when full",
        console.table(["", "", "80 % between"], rows),
    ]
    if found is not None:
        lines += [LIMITS_ARE_STEEP] if _is_steep(plan, found, full.requests_per_s) else []
        each = plan.traffic.rate_per_s / found.working, plan.traffic.rate_per_s / found.total
        lines.append(
            f"\nwere all in one place, {replicas_text(found.total)}, without a network" if pick.by_region else ""
        )
        lines.append(_tails_text(found, each, plan.objectives))
    return "\n".join(lines)


def _is_steep(plan: Plan, found: Replicas, full: Figure) -> bool:
    """Whether a rate within limits is known less well than a full replica's; one that is all recorded is no such."""
    if not limits_of(plan.objectives) or (found.working == 1 and plan.traffic is not None and plan.traffic.arrivals):
        return False
    within = found.rate_per_replica
    return within.high > WIDER * within.low * full.high / full.low


def _tails_text(found: Replicas, each: tuple[float, float], objectives: Objectives) -> str:
    """Return the simulated times, with the spare replicas down and with all up.

    Limits, what is between and what is with all up are of the quantile that has to keep to the limits.
    """
    down, all_up, share = found.tails, found.tails_all_up, objectives.share
    shares = sorted({*QUANTILES, share})
    limited = quantile_text(share)
    header = ["ms", *map(quantile_text, shares), f"{limited}: 80 % between", "limit", f"all up: {limited}"]
    limits = limits_of(objectives)
    rows = []
    for name, times in TIMES.items():
        limit = f"{limits[name]:g}" if name in limits else "-"
        values = [significant(times(down)[one]) if one in times(down) else "-" for one in shares]
        rows.append([name, *values, _between(found, times, share), limit, significant(times(all_up)[share])])
    words = (
        f"with the spare ones down each answers {significant(each[0])}/s, {down.utilisation:.0%} of what it can, "
        f"{down.share_within:.2%} within the limits; all up {significant(each[1])}/s, {all_up.utilisation:.0%}"
    )
    return f"{console.table(header, rows)}\n{words}"


def _between(found: Replicas, times: Times, share: float) -> str:
    if found.fast is None or found.slow is None:
        return "-"
    low, high = (times(tails)[share] for tails in (found.fast, found.slow))
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


def _cells(figure: Figure) -> list[str]:
    if figure.low == figure.high:
        return [significant(figure.value), "exact"]
    high = "no limit" if math.isinf(figure.high) else significant(figure.high)
    return [significant(figure.value), f"{significant(figure.low)} and {high}"]


def _gib(figure: Figure) -> str:
    if figure.low == figure.high:
        return f"{figure.value / GIB:,.2f}"
    return f"{figure.value / GIB:,.2f} ({figure.low / GIB:,.2f} to {figure.high / GIB:,.2f})"


def _tokens(figure: Figure) -> str:
    if figure.low == figure.high:
        return f"{figure.value:,.0f}"
    return f"{figure.value:,.0f} ({figure.low:,.0f} to {figure.high:,.0f})"


def _billions(parameters: float) -> str:
    return f"{parameters / 1e9:.3g} billion" if parameters >= 1e9 else f"{parameters / 1e6:.3g} million"
