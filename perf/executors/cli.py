"""What `sweep --executor` asks for: what goes together, and a sweep that is spread."""

from __future__ import annotations

from contextlib import ExitStack

from tritonsmith.generator import console
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.cells import Bench
from tritonsmith.perf.document import Sweep
from tritonsmith.perf.sweep import measure_sweep
from tritonsmith.perf.sweep_options import SweepOptions


def require_executor(options: SweepOptions) -> None:
    """Refuse options that do not go with the executor.

    Raises: UsageError; ToolMissingError where Ray is asked for and not there.
    """
    if options.executor == "local":
        for name, given in (("--ray-address", options.ray_address), ("--workers", options.workers)):
            if given is not None:
                raise UsageError(f"{name} is for --executor ray", hint=f"add --executor ray, or leave out {name}")
        return
    alone = {"--url": options.url, "--slo": options.slo, "--mix": options.mix, "--trace": options.trace}
    for name, value in alone.items():
        if value:
            hint = "leave out --executor ray: one server is measured from here"
            raise UsageError(f"{name} and --executor ray exclude each other", hint=hint)
    from tritonsmith.perf.executors.ray import require_ray

    require_ray()


def spread(options: SweepOptions, bench: Bench, serving: ExitStack) -> Sweep:
    """Measure a sweep on a Ray cluster; `serving` ends the server that planned it, before anything is measured."""
    from tritonsmith.perf.executors.ray import plan_spread

    sweep, tasks, executor = plan_spread(bench, options.ray_address or "", options.workers)
    serving.close()
    console.say(f"{sweep.plan.model}: {sweep.plan.cells} cells, {len(tasks)} of them to measure on the Ray cluster")
    with console.progress("sweep", sweep.plan.cells) as progress:
        return measure_sweep(sweep, tasks, executor, bench.folder, progress)
