"""What `sweep --executor` asks for: what goes together, and a sweep that is spread."""

from __future__ import annotations

from contextlib import ExitStack

from pydantic import TypeAdapter, ValidationError

from tritonsmith.backends.deploy.store.reach import address_of
from tritonsmith.generator import console
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.spec.deploy import KubernetesName
from tritonsmith.perf.cells import Bench
from tritonsmith.perf.document import Sweep
from tritonsmith.perf.executors.core import Outstanding
from tritonsmith.perf.sweep import measure_sweep
from tritonsmith.perf.sweep_options import SweepOptions

# Options that belong to some executors only.
BELONGS = {
    "--ray-address": ("ray_address", ("ray",)),
    "--workers": ("workers", ("ray", "kubernetes")),
    "--image": ("image", ("kubernetes",)),
    "--results": ("results", ("kubernetes",)),
    "--sidecar": ("is_sidecar", ("kubernetes",)),
}
ONE_SERVER = ("slo", "mix", "trace")  # what is measured on one server, step by step
_NAME = TypeAdapter[str](KubernetesName)


def require_executor(options: SweepOptions) -> None:
    """Refuse options that do not go with the executor.

    Raises: UsageError; ToolMissingError where Ray is asked for and not there.
    """
    for name, (field, executors) in BELONGS.items():
        if getattr(options, field) and options.executor not in executors:
            wanted = " and ".join(f"--executor {executor}" for executor in executors)
            raise UsageError(f"{name} is for {wanted}", hint=f"add --executor {executors[0]}, or leave out {name}")
    if options.executor == "local":
        return
    for field in (*ONE_SERVER, *(["url"] if options.executor == "ray" else [])):
        if getattr(options, field):
            hint = f"leave out --executor {options.executor}: one server is measured from here"
            raise UsageError(f"--{field} and --executor {options.executor} exclude each other", hint=hint)
    if options.executor == "kubernetes":
        require_places(options)
        return
    from tritonsmith.perf.executors.ray import require_ray

    require_ray()


def require_places(options: SweepOptions) -> None:
    """Refuse a Job without an image, or without a place for what it measures.

    Raises: UsageError.
    """
    if not options.image:
        hint = "name one with tritonsmith[embedded] and perf_analyzer in it: --image registry/tritonsmith:1"
        raise UsageError("--executor kubernetes needs the --image of its pods", hint=hint)
    if "://" in (options.results or ""):
        address_of(f"{options.results}/sweep")
        return
    try:
        _NAME.validate_python(options.results)
    except ValidationError:
        given = f"'{options.results}' is neither a PersistentVolumeClaim's name nor a store's URL"
        hint = "--results sweeps, a PersistentVolumeClaim; or --results s3://bucket/path, gs://..., as://..."
        message = given if options.results else "--executor kubernetes needs --results, a place"
        raise UsageError(message, hint=hint) from None


def spread(options: SweepOptions, bench: Bench, serving: ExitStack) -> Sweep | Outstanding:
    """Measure a sweep elsewhere; `serving` ends the server that planned it, before anything is measured."""
    if options.executor == "kubernetes":
        from tritonsmith.perf.executors.kubernetes.cli import sweep_on_kubernetes
        from tritonsmith.perf.executors.kubernetes.core import Wish

        wish = Wish(options.image or "", options.results or "", options.workers, options.is_sidecar)
        return sweep_on_kubernetes(bench, options.repository, wish, options.output, serving)
    from tritonsmith.perf.executors.ray import plan_spread

    sweep, tasks, executor = plan_spread(bench, options.ray_address or "", options.workers)
    serving.close()
    console.say(f"{sweep.plan.model}: {sweep.plan.cells} cells, {len(tasks)} of them to measure on the Ray cluster")
    with console.progress("sweep", sweep.plan.cells) as progress:
        return measure_sweep(sweep, tasks, executor, bench.folder, progress)
