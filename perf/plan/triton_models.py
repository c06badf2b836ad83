"""Plans for models that Triton itself batches: how many instances a traffic needs, and what a file takes of a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tritonsmith.ensembles.source import read_source
from tritonsmith.generator import console
from tritonsmith.generator.checks import Case, Target
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.document import read_sweep
from tritonsmith.perf.plan.core import Memory, Objectives, Tails, Traffic
from tritonsmith.perf.plan.instances import InstancePlan, instances_for
from tritonsmith.perf.plan.onnx_memory import onnx_memory
from tritonsmith.perf.plan.options import PlanOptions, read_gpus, read_objectives
from tritonsmith.perf.plan.plan import GIB
from tritonsmith.perf.plan.shares import gpu_of
from tritonsmith.perf.plan.text import limits_of, memory_text, wanted
from tritonsmith.perf.report.numbers import significant

FILES = (".onnx", ".plan", ".engine", ".trt")


def is_file_of_triton(path: Path) -> bool:
    """Whether a path is of an ONNX or TensorRT model."""
    return path.suffix in FILES


def is_source_of_triton(path: Path) -> bool:
    """Whether a path is a spec or a model repository, and no language model's folder."""
    return path.suffix in (".yaml", ".yml") or (path.is_dir() and not (path / "config.json").exists())


def memories(options: PlanOptions, path: Path) -> dict[str, Memory]:
    """Return what lies on each GPU that serves an ONNX or TensorRT model alone, by the GPU's name.

    Raises: UsageError where more is asked of a file than memory; what reading it raises.
    """
    if options.rate is not None or options.slo:
        hint = "tritonsmith plan SPEC --calibrate SWEEP --rate 500 --slo p99=50ms"
        raise UsageError("a file does not say how long it takes: plan the spec or repository it is in", hint=hint)
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


def instances(options: PlanOptions, path: Path) -> InstancePlan:
    """Return how many instances of a swept model a traffic needs.

    Raises: UsageError where the sweep, the rate or the limit lacks; AnswerIsNo where no number is enough; what reading
    the spec, the repository or the sweep raises.
    """
    if len(options.calibrate) != 1 or options.rate is None:
        hint = "tritonsmith plan SPEC --calibrate build/sweep --rate 500 --slo p99=50ms"
        raise UsageError("instances are planned from one sweep and a --rate", hint=hint)
    repository = read_source(path)
    configs = Case(repository, Target.of(repository)).configs
    return instances_for(
        read_sweep(options.calibrate[0]),
        configs,
        Traffic(options.rate, 0, 0, bursts=options.bursts),
        read_objectives(options.slo),
        seed=options.seed,
    )


def instances_text(found: InstancePlan, rate_per_s: float, objectives: Objectives) -> str:
    """Return the number of instances, what requests meet with them, and what one less would do."""
    rows = [_row(found.instances, found.tails, objectives)]
    rows += [_row(found.instances - 1, found.one_less, objectives)] if found.one_less else []
    header = ["instances", "p50 ms", "p90 ms", "p99 ms", "within", "busy"]
    count = f"{found.instances} instance{'' if found.instances == 1 else 's'}"
    return (
        f"YES: {count} of {found.model} answer {significant(rate_per_s)} requests/s; {wanted(objectives)}\n\n"
        f"{console.table(header, rows)}\n\n"
        f"times are the sweep's, taken to be {found.error:.0%} longer; each instance has a core or a part of a GPU\n"
        f"models.{found.model}.instance_group: [{{count: {found.instances}}}]"
    )


def instances_data(found: InstancePlan) -> dict[str, Any]:
    """Return plain data; times in milliseconds."""
    return asdict(found)


def memories_data(path: Path, found: dict[str, Memory]) -> dict[str, Any]:
    """Return plain data; sizes in bytes."""
    return {"model": str(path), "gpus": {name: asdict(one) for name, one in found.items()}}


def _row(count: int, tails: Tails, objectives: Objectives) -> Sequence[str]:
    times = [significant(tails.latency_ms[share]) for share in (0.5, 0.9, 0.99)]
    within = f"{tails.share_within:.1%}" if limits_of(objectives) else "-"
    return [str(count), *times, within, f"{tails.utilisation:.0%}"]


def _taken(held: Memory) -> float:
    return (held.gpu_bytes - held.free_bytes.value) / GIB
