"""Why a running model does not batch, where requests wait, which instances idle: findings from counters.

A rule yields nothing where fewer than `ENOUGH` requests were seen. Every number comes from the statistics API.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from tritonsmith.backends.running.causes import BUSY, WAITS, why_single, why_waiting
from tritonsmith.backends.running.observe import READY, Activity, Observation
from tritonsmith.generator.findings import Finding, Place, Severity

ENOUGH = 20  # requests, below which a mean says little
BATCHED = 1.2  # requests in a batch on average, from which on a model is said to batch
COPIES = 0.5  # of the time in the model: copying that long is worth a word

Rule = Callable[[Activity, Observation], Iterator[Finding]]


@dataclass(frozen=True)
class LiveCheck:
    """A rule about a running model: its stable code and what it holds."""

    code: str
    title: str
    rule: Callable[..., Iterator[Finding]]

    @property
    def reason(self) -> str:
        """Why it matters: the rule's docstring."""
        return (self.rule.__doc__ or "").strip()


LIVE_CHECKS: dict[str, LiveCheck] = {}
_OF_MODELS: dict[str, Rule] = {}  # of those that are ready


def live_check(code: str, title: str) -> Callable[[Rule], Rule]:
    """Register a rule under its code."""

    def register(rule: Rule) -> Rule:
        LIVE_CHECKS[code] = LiveCheck(code, title, rule)
        _OF_MODELS[code] = rule
        return rule

    return register


def explain(observation: Observation) -> list[Finding]:
    """Return what there is to say of a running server, model by model."""
    found = list(models_are_served(observation))
    for activity in observation.models.values():
        for code, rule in _OF_MODELS.items():
            found += [replace(one, code=code) for one in rule(activity, observation)]
    return found


def models_are_served(observation: Observation) -> Iterator[Finding]:
    """A server that is told to go on (--exit-on-error=false) answers for the other models as if nothing were wrong.

    Source: server: docs/protocol/extension_model_repository.md (index: state, reason).
    """
    for state in observation.index:
        if state.state != READY and state.reason and state.reason != "unloaded":  # else it was never asked for
            message, place = f"it is not served: {state.reason}", Place(observation.url)
            yield Finding(Severity.ERROR, message, place, state.name, code=_UNSERVED, model=state.name)


_UNSERVED = "TS960"
LIVE_CHECKS[_UNSERVED] = LiveCheck(_UNSERVED, "a model that was to be loaded is served", models_are_served)


@live_check("TS961", "a model that could batch forms batches")
def batches_form(activity: Activity, observation: Observation) -> Iterator[Finding]:
    """An execution of one request costs nearly what one of several costs; what stands in the way is told.

    Source: server: docs/user_guide/batcher.md; core: dynamic_batch_scheduler.cc.
    """
    if activity.is_ensemble or activity.computed < ENOUGH or not activity.counters.executions:
        return
    requests = activity.rows_per_execution / activity.rows_per_request
    if requests >= BATCHED:
        return
    cause, remedy = why_single(activity)
    waits = activity.queue_us > WAITS * activity.compute_us
    message = f"{requests:.2f} requests in a batch over {activity.counters.executions} executions: {cause}"
    yield _about(activity, observation, Severity.WARNING if waits else Severity.NOTE, message, remedy)


@live_check("TS962", "requests do not wait longer than they compute")
def waits_are_short(activity: Activity, observation: Observation) -> Iterator[Finding]:
    """The queue is the first thing to grow under load; whether instances, a delay or bursts are behind it is told.

    Source: server: docs/user_guide/metrics.md, docs/protocol/extension_statistics.md.
    """
    if activity.is_ensemble or activity.computed < ENOUGH or activity.queue_us <= WAITS * activity.compute_us:
        return
    cause, remedy = why_waiting(activity)
    ratio = activity.queue_us / max(activity.compute_us, 1e-9)
    message = (
        f"requests wait {_ms(activity.queue_us)} and compute {_ms(activity.compute_us)} "
        f"(queue-to-compute ratio {ratio:.2f}): {cause}"
    )
    yield _about(activity, observation, Severity.WARNING if ratio > 1 else Severity.NOTE, message, remedy)


@live_check("TS963", "every instance has work")
def instances_work(activity: Activity, observation: Observation) -> Iterator[Finding]:
    """An instance costs memory, of a Python model a whole process.

    Source: server: docs/protocol/extension_statistics.md (batch_stats counts executions, not requests).
    """
    if activity.is_ensemble or not activity.window_s or activity.instances < 2 or activity.computed < ENOUGH:
        return
    needed = max(1, math.ceil(activity.busy_instances / BUSY))
    if needed < activity.instances:
        message = f"{activity.busy_instances:.2f} of {activity.instances} instances were computing on average"
        hint = f"{needed} would carry this load, bursts aside"
        yield _about(activity, observation, Severity.NOTE, message, hint)


@live_check("TS964", "time goes into the model, not into copies")
def copies_are_cheap(activity: Activity, observation: Observation) -> Iterator[Finding]:
    """What the inputs wait for before the model runs, and outputs after it, is the backend's copying.

    Source: server: docs/protocol/extension_statistics.md (compute_input, compute_output).
    """
    copying = activity.input_us + activity.output_us
    if not activity.is_ensemble and activity.computed >= ENOUGH and copying > COPIES * activity.infer_us:
        message = f"copying inputs and outputs takes {_ms(copying)}, the model itself {_ms(activity.infer_us)}"
        hint = "smaller tensors, shared memory, or fewer steps between processes"
        yield _about(activity, observation, Severity.NOTE, message, hint)


@live_check("TS965", "no request fails")
def requests_succeed(activity: Activity, observation: Observation) -> Iterator[Finding]:
    """Rejected, cancelled and failed requests are in no latency: the counters of time know those that succeed."""
    failures = activity.counters.failures
    if failures:
        total = failures + activity.counters.requests
        message = f"{failures} of {total} requests failed ({failures / total:.1%})"
        hint = "the server's log and nv_inference_request_failure say why"
        yield _about(activity, observation, Severity.WARNING, message, hint)


@live_check("TS966", "an ensemble's time is known step by step")
def steps_are_known(activity: Activity, observation: Observation) -> Iterator[Finding]:
    """An ensemble's own counters have no queue: its steps' have.

    Source: server: docs/user_guide/metrics.md (ensembles), measured on 2.51.
    """
    if not activity.is_ensemble or activity.computed < ENOUGH:
        return
    names = dict.fromkeys(step.model_name for step in activity.config.ensemble_scheduling.step)
    steps = [observation.models[name] for name in names if name in observation.models]
    spans = [(step.queue_us, step.compute_us, step.name) for step in steps if step.computed]
    if spans:
        parts = ", ".join(f"{name} waits {_ms(queue)} and computes {_ms(compute)}" for queue, compute, name in spans)
        slowest = max(spans, key=lambda span: span[0] + span[1])[2]
        total_us = activity.counters.request_ns / 1e3 / activity.counters.requests
        message = f"a request takes {_ms(total_us)}: {parts}"
        yield _about(activity, observation, Severity.NOTE, message, f"most of it is in {slowest}")


@live_check("TS967", "a response cache answers")
def cache_answers(activity: Activity, observation: Observation) -> Iterator[Finding]:
    """A model's response_cache is nothing without the server's --cache-config, and nobody says so.

    Source: server: docs/user_guide/response_cache.md.
    """
    counters = activity.counters
    if not activity.config.response_cache.enable or counters.requests < ENOUGH:
        return
    looked = counters.cache_hits + counters.cache_misses
    if not looked:
        message = f"response_cache is enabled, but none of {counters.requests} requests was looked up"
        yield _about(activity, observation, Severity.WARNING, message, "start the server with --cache-config")
    elif counters.cache_hits < 0.01 * looked:
        message = f"the response cache answered {counters.cache_hits} of {looked} requests"
        hint = "its lookups cost time: leave response_cache out, or give the cache more memory"
        yield _about(activity, observation, Severity.NOTE, message, hint)


@live_check("TS968", "a loaded model is used")
def models_are_used(activity: Activity, observation: Observation) -> Iterator[Finding]:
    """A model that nobody asks holds its memory all the same."""
    if not activity.counters.requests and not activity.counters.failures:
        yield _about(activity, observation, Severity.NOTE, "no request since it was loaded", "unload it if it is idle")


def _about(activity: Activity, observation: Observation, severity: Severity, message: str, remedy: str) -> Finding:
    return Finding(severity, message, Place(observation.url), activity.name, remedy, model=activity.name)


def _ms(time_us: float) -> str:
    return f"{time_us / 1000:.3g} ms"
