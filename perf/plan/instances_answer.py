"""`plan REPOSITORY --calibrate SWEEP`: how many instances a model needs that Triton batches itself."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from tritonsmith.ensembles.source import read_source
from tritonsmith.generator import console
from tritonsmith.generator.checks import Case, Target
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.document import read_sweep
from tritonsmith.perf.plan.arrivals import traffic_rate_per_s
from tritonsmith.perf.plan.core import Objectives, Tails, Traffic
from tritonsmith.perf.plan.instances import InstancePlan, instances_for
from tritonsmith.perf.plan.options import PlanOptions, read_objectives
from tritonsmith.perf.report.numbers import significant
from tritonsmith.perf.served import computing
from tritonsmith.perf.trace import read_trace

# Options of a plan for language models; the traffic of others has no tokens, and their times are the sweep's.
EXCLUDED = ("input", "output", "prefix", "weights", "kv_cache", "gpus", "prices", "write", "regions")


def is_repository(path: Path | None) -> bool:
    """Return whether a path is a model repository: a folder of folders that have a config.pbtxt."""
    return path is not None and path.is_dir() and any(path.glob("*/config.pbtxt"))


def answer(options: PlanOptions, *, is_json: bool) -> str:
    """Return what is printed of the instances that the repository's measured model needs.

    Raises: UsageError for options that do not go with it; AnswerIsNo where no number of instances is enough.
    """
    _refuse(options)
    assert options.model is not None, "asked where it is a repository"
    traffic, objectives = read_requests(options), read_objectives(options.slo)
    repository = read_source(options.model)
    sweep = read_sweep(options.calibrate[0])
    configs = Case(repository, Target.of(repository)).configs
    names = computing(sweep.plan.model, configs)
    found = instances_for(sweep, configs, traffic, objectives, seed=options.seed)
    if is_json:
        words = {"traffic": asdict(traffic), "objectives": asdict(objectives), "sweep": str(options.calibrate[0])}
        return json.dumps({**asdict(found), **words, "models": list(names)}, indent=2)
    return instances_text(found, traffic, objectives, names, options.calibrate[0])


def read_requests(options: PlanOptions) -> Traffic:
    """Return requests that have no lengths: a rate, or a recorded trace.

    Raises: UsageError where there is none, or both.
    """
    if (options.rate is None) == (options.trace is None):
        raise UsageError("which requests? Instances are planned for one traffic", hint="--rate 180, or --trace FILE")
    if options.trace is None:
        assert options.rate is not None, "one of them is given"
        return Traffic(options.rate, 0, 0, bursts=options.bursts)
    times_s = [one.time_s for one in read_trace(options.trace, "--trace")]
    traffic = Traffic(0.0, 0, 0, tuple((time_s, 0, 0) for time_s in times_s))
    return Traffic(traffic_rate_per_s(traffic), 0, 0, traffic.arrivals)


def instances_text(
    found: InstancePlan, traffic: Traffic, objectives: Objectives, models: Iterable[str], sweep: Path
) -> str:
    """Return the answer, what one instance less would do, and how to confirm it."""
    limit = f" within {objectives.latency_ms:g} ms" if objectives.latency_ms is not None else ""
    each = "" if (names := list(models)) == [found.model] else f" each of {', '.join(names)}"
    plural = "" if found.instances == 1 else "s"
    rows = [_row("needed", found.instances, found.tails)]
    rows += [_row("one less", found.instances - 1, found.one_less)] if found.one_less else []
    variation = ["--vary", f"models.{names[0]}.instance_group.count={found.instances}"] if len(names) == 1 else []
    rate = f"{traffic_rate_per_s(traffic):g}"
    command = ["tritonsmith", "sweep", found.model, "--request-rate", rate, *variation, "-o", "build/confirm"]
    head = f"YES: {found.instances} instance{plural}{each} of {found.model} for {rate} requests/s, "
    return "\n".join(
        [
            f"{head}{objectives.share:.4g} of them{limit or ' answered'}",
            console.table(["", "instances", "p50 ms", "p99 ms", "within", "busy"], rows),
            f"executions are taken to last {found.error:.0%} longer than in {sweep}, by which its repeats may be off",
            "each instance is taken to have a core, or its part of a GPU, to itself",
            f"to confirm it:\n{shlex.join(command)}",
        ]
    )


def _row(name: str, count: int, tails: Tails) -> list[str]:
    times = [significant(tails.latency_ms[share]) for share in (0.5, 0.99)]
    return [name, str(count), *times, f"{tails.share_within:.2%}", f"{tails.utilisation:.0%}"]


def _refuse(options: PlanOptions) -> None:
    given = [name for name in EXCLUDED if getattr(options, name)]
    if given:
        option = {"gpus": "gpu", "prices": "price", "kv_cache": "kv-cache"}.get(given[0], given[0])
        hint = "leave it out: times are those of the sweep, on the machine where it was measured"
        raise UsageError(f"--{option} is about a language model, and {options.model} is a model repository", hint=hint)
    if len(options.calibrate) != 1:
        hint = f"measure once: tritonsmith sweep {options.model} --concurrency 1,8; then --calibrate build/sweep"
        raise UsageError("how many instances? That takes the times of one sweep", hint=hint)
