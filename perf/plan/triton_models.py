"""Plans for models that Triton itself batches: how many instances a traffic needs, and what a file takes of a GPU."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tritonsmith.ensembles.source import read_source
from tritonsmith.generator import console
from tritonsmith.generator.checks import Case, Target
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.repository.names import CONFIG_FILE
from tritonsmith.perf.document import read_sweep
from tritonsmith.perf.plan.core import Memory, Objectives, Replicas, Tails, Traffic
from tritonsmith.perf.plan.memory.onnx import MODEL_FILES, onnx_memory
from tritonsmith.perf.plan.options import PlanOptions, options_given, read_gpus, read_objectives
from tritonsmith.perf.plan.plan import GIB
from tritonsmith.perf.plan.replicas.arrivals import traffic_rate_per_s
from tritonsmith.perf.plan.replicas.instances import InstancePlan, instances_for
from tritonsmith.perf.plan.shares import gpu_of
from tritonsmith.perf.plan.show.text import memory_text
from tritonsmith.perf.plan.show.words import limits_of, wanted
from tritonsmith.perf.report.numbers import significant
from tritonsmith.perf.served import computing
from tritonsmith.perf.trace import read_trace

ASKED_OF_FILES = ("--gpu",)
ASKED_OF_SOURCES = ("--calibrate", "--rate", "--trace", "--bursts", "--slo", "--spare", "--seed")


def is_file_of_triton(path: Path) -> bool:
    """Whether a path is of an ONNX or TensorRT model."""
    return path.suffix in MODEL_FILES


def is_source_of_triton(path: Path) -> bool:
    """Whether a path is a spec or a model repository: folders of models with a configuration or versions in them."""
    if path.suffix in (".yaml", ".yml"):
        return True
    is_repository = any(one.name == CONFIG_FILE or one.name.isdigit() for one in path.glob("*/*"))
    return is_repository and not (path / "config.json").exists()


def memories(options: PlanOptions, path: Path) -> dict[str, Memory]:
    """Return what lies on each GPU that serves an ONNX or TensorRT model alone, by the GPU's name.

    Raises: UsageError where more is asked of a file than memory; what reading it raises.
    """
    if options.rate is not None or options.trace is not None or options.slo or options.calibrate:
        hint = "tritonsmith plan SPEC --calibrate SWEEP --rate 500 --slo p99=50ms"
        raise UsageError("a file does not say how long it takes: plan the spec or repository it is in", hint=hint)
    _refuse_others(options, ASKED_OF_FILES)
    return {name: onnx_memory(path, gpu_of(name)) for name in read_gpus(options.gpus)}


def memories_text(path: Path, found: dict[str, Memory]) -> str:
    """Return whether a model fits on each GPU, with the arithmetic for the first."""
    rows = [
        [name, "yes" if one.free_bytes.value > 0 else "NO", f"{_taken(one):,.2f}", f"{one.free_bytes.value / GIB:,.1f}"]
        for name, one in found.items()
    ]
    table = console.table(["GPU", "fits", "takes GiB", "free GiB"], rows)
    name, first = next(iter(found.items()))
    return f"{path.name}, one instance, batch size 1\n\n{table}\n\n{name}: {memory_text(first)}"


@dataclass(frozen=True)
class Instances:
    """What was asked of a swept model, and how many instances that takes; `models` are those that get as many each."""

    sweep: str
    traffic: Traffic
    objectives: Objectives
    models: tuple[str, ...]
    found: InstancePlan


def instances(options: PlanOptions, path: Path) -> Instances:
    """Return how many instances of a swept model a traffic needs; `path` is its spec or repository.

    Raises: UsageError for options that do not go with it, and where the sweep or the traffic lacks; AnswerIsNo where no
    number is enough; what reading the spec, the repository or the sweep raises.
    """
    _refuse_others(options, ASKED_OF_SOURCES)
    if len(options.calibrate) != 1:
        hint = "measure once: tritonsmith sweep MODEL --concurrency 1,8; then --calibrate build/sweep"
        raise UsageError("instances are planned from the times of one sweep", hint=hint)
    traffic, objectives = read_requests(options), read_objectives(options.slo)
    repository = read_source(path)
    configs = Case(repository, Target.of(repository)).configs
    sweep = read_sweep(options.calibrate[0])
    if sweep.plan.model not in configs:
        hint = f"sweep a model of it: {', '.join(configs) or 'it has none that can be read'}"
        message = f"{options.calibrate[0]} is a sweep of '{sweep.plan.model}', and {path} has no such model"
        raise UsageError(message, hint=hint)
    found = instances_for(sweep, configs, traffic, objectives, spare=options.spare, seed=options.seed)
    names = tuple(computing(sweep.plan.model, configs))
    return Instances(str(options.calibrate[0]), traffic, objectives, names, found)


def read_requests(options: PlanOptions) -> Traffic:
    """Return requests that have no lengths: a rate, or a recorded trace.

    Raises: UsageError where there is none, or both.
    """
    if (options.rate is None) == (options.trace is None):
        raise UsageError("instances are planned for one traffic", hint="--rate 180, or --trace FILE")
    if options.rate is not None:
        return Traffic(options.rate, 0, 0, bursts=options.bursts)
    assert options.trace is not None, "one of them is given"
    recorded = Traffic(0.0, 0, 0, tuple((one.time_s, 0, 0) for one in read_trace(options.trace)))
    return replace(recorded, rate_per_s=traffic_rate_per_s(recorded))


def instances_text(plan: Instances) -> str:
    """Return the number of instances, what requests meet with them and with one less, and a sweep to confirm it."""
    found, rate = plan.found, f"{plan.traffic.rate_per_s:g}"
    rows = [_row(found.instances, found.tails, plan.objectives)]
    rows += [_row(found.instances - 1, found.one_less, plan.objectives)] if found.one_less else []
    each = f" of each of {', '.join(plan.models)}" if len(plan.models) > 1 else ""
    count = f"{found.instances} instance{'' if found.instances == 1 else 's'}{each}"
    argv = ["tritonsmith", "sweep", found.model, "--request-rate", rate]
    if len(plan.models) == 1:
        argv += ["--vary", f"models.{plan.models[0]}.instance_group.count={found.instances}"]
    error = (
        f"executions are taken to last {found.error:.0%} longer than in {plan.sweep}, by which its repeats may be off"
    )
    return "\n\n".join(
        [
            f"YES: {found.model} answers {rate} requests/s with {count}; {wanted(plan.objectives)}",
            console.table(["instances", "p50 ms", "p90 ms", "p99 ms", "within", "busy"], rows),
            *([servers_text(found.servers, plan.objectives)] if found.servers else []),
            f"{error};\neach instance has a core, or its part of a GPU, to itself",
            f"to confirm it:\n{shlex.join([*argv, '-o', 'build/confirm'])}",
        ]
    )


def servers_text(found: Replicas, objectives: Objectives) -> str:
    """Return how many replicas of the server as it is configured answer as much, and what requests meet."""
    rows = [["with the spare ones down" if found.spare else "all up", *_row(found.working, found.tails, objectives)]]
    rows += [["all up", *_row(found.total, found.tails_all_up, objectives)]] if found.spare else []
    down = f", {found.spare} of which may be down" if found.spare else ""
    words = f"or {found.total} replicas of the server as it is configured{down}"
    roll = "leaves a spare one out at a time" if found.spare else "takes one more while it lasts"
    table = console.table(["", "replicas", "p50 ms", "p90 ms", "p99 ms", "within", "busy"], rows)
    return f"{words}; a roll-out {roll}\n{table}"


def _refuse_others(options: PlanOptions, asked: Sequence[str]) -> None:
    """Refuse options that are not asked of such a model.

    Raises: UsageError.
    """
    if others := [option for option in options_given(options) if option not in asked]:
        hint = f"of {options.model} is asked {', '.join(asked)} alone"
        raise UsageError(f"{others[0]} is about a language model's own files, and {options.model} is none", hint=hint)


def instances_data(plan: Instances) -> dict[str, Any]:
    """Return plain data; times in milliseconds."""
    return asdict(plan)


def memories_data(path: Path, found: dict[str, Memory]) -> dict[str, Any]:
    """Return plain data; sizes in bytes."""
    return {"model": str(path), "gpus": {name: asdict(one) for name, one in found.items()}}


def _row(count: int, tails: Tails, objectives: Objectives) -> Sequence[str]:
    times = [significant(tails.latency_ms[share]) for share in (0.5, 0.9, 0.99)]
    within = f"{tails.share_within:.1%}" if limits_of(objectives) else "-"
    return [str(count), *times, within, f"{tails.utilisation:.0%}"]


def _taken(held: Memory) -> float:
    return (held.gpu_bytes - held.free_bytes.value) / GIB
