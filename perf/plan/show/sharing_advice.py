"""How the pick's replicas might share GPUs, with the reason: what they hold and how busy they are, the plan knows."""

from __future__ import annotations

from tritonsmith.generator.catalog.gpus import GPUS
from tritonsmith.generator.manifests.sharing.advice import TRAITS, Advice, Traits, Wish, advice
from tritonsmith.perf.plan.core import Candidate, Replicas, Traffic
from tritonsmith.perf.plan.document import Plan, SharingAdvice
from tritonsmith.perf.plan.shares import MARK, is_slice, sharing_of


def sharing_text(plan: Plan, pick: Candidate) -> str:
    """Return the advice; of a pick of slices or shares what comes with them, empty where no load is known."""
    if plan.traffic is None or pick.replicas is None:
        return ""
    if is_slice(pick.gpu):
        return chosen_text(pick.gpu)
    found = sharing_advice(pick, pick.replicas, plan.traffic)
    text = advice_text(found)
    if found.sharing.mode == "mig":
        return f"{text}\n  whether it keeps to the limits, says plan --gpu {pick.gpu}{MARK}{found.sharing.profile}"
    return text + "".join(f"; {mode}: {why}" for mode, why in found.others if mode == "mig")


def sharing_data(pick: Candidate | None, traffic: Traffic | None) -> SharingAdvice | None:
    """Return the same for a plan's document, None where no load is known."""
    if pick is None or traffic is None or pick.replicas is None:
        return None
    if is_slice(pick.gpu):
        sharing = sharing_of(pick.gpu)
        return SharingAdvice(str(sharing), "planned so, as --gpu asks", TRAITS[sharing.mode])
    found = sharing_advice(pick, pick.replicas, traffic)
    return SharingAdvice(str(found.sharing), found.reason, found.traits, dict(found.others))


def advice_text(found: Advice) -> str:
    """Return an advice with its reason, and what a GPU that is shared so is like."""
    text = f"GPU sharing: {found.sharing}: {found.reason}"
    return text if found.sharing.mode == "none" else f"{text}\n{_traits_text(found.traits)}"


def chosen_text(gpu: str) -> str:
    """Return what slices or shares of a GPU, which were asked for, are like."""
    sharing = sharing_of(gpu)
    return f"GPU sharing: {sharing}\n{_traits_text(TRAITS[sharing.mode])}"


def _traits_text(traits: Traits) -> str:
    return f"  isolation: {traits.isolation}\n  density: {traits.density}\n  latency: {traits.latency}"


def sharing_advice(pick: Candidate, replicas: Replicas, traffic: Traffic) -> Advice:
    """Return the advice for replicas that all answer, of one owner, each an engine of its own."""
    load = replicas.tails_all_up.utilisation
    wish = Wish(replicas.total, needed_bytes(pick, replicas, traffic), load, pick.serving.spread.gpus, is_llm=True)
    return advice(wish, GPUS[pick.gpu])


def needed_bytes(pick: Candidate, replicas: Replicas, traffic: Traffic) -> float:
    """Return what a replica needs of its GPU: all but the cache, and the cache of the requests that it has in flight.

    So many are in flight as come while the slowest of a hundred is answered (Little's law, on the safe side).
    """
    held = sum(part.bytes.value for part in pick.memory.parts)
    latency_s = replicas.tails_all_up.latency_ms[0.99] / 1000
    in_flight = traffic.rate_per_s / replicas.total * latency_s
    per_request = (traffic.input_tokens + traffic.output_tokens) * pick.memory.kv_bytes_per_token
    return held + max(1.0, in_flight) * (per_request + pick.memory.state_bytes_per_sequence)
