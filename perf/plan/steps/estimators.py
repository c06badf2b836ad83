"""Where the durations of steps come from: the roofline, corrected by sweeps where some are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tritonsmith.generator.catalog.gpus import Gpu
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.document import Sweep, read_sweep
from tritonsmith.perf.plan.core import LanguageModel, Serving, StepTimes
from tritonsmith.perf.plan.options import PlanOptions, Wishes
from tritonsmith.perf.plan.plan import Estimator
from tritonsmith.perf.plan.steps.calibrate import calibrate
from tritonsmith.perf.plan.steps.roofline import RooflineTimes


@dataclass(frozen=True)
class Calibrated:
    """An estimator whose step times agree with sweeps of the model on its GPU."""

    sweeps: tuple[Sweep, ...]
    input_tokens: int

    def __call__(self, model: LanguageModel, serving: Serving, gpu: Gpu) -> StepTimes:
        """Return calibrated times.

        Raises: UsageError where no load streamed tokens.
        """
        return calibrate(RooflineTimes(model, serving, gpu), self.sweeps, self.input_tokens)


def estimator_of(options: PlanOptions, wishes: Wishes) -> tuple[Estimator, str]:
    """Return what says how long steps take, and in words where that comes from.

    Raises: UsageError where sweeps are given without a traffic, or with another estimator; ToolMissingError where that
    is not installed; what reading them raises.
    """
    if options.estimator == "aiconfigurator":
        return _aiconfigurator(options)
    if not options.calibrate:
        return RooflineTimes, "a roofline of each GPU, fitted on TensorRT-LLM's published throughput"
    if wishes.traffic is None:
        raise UsageError(
            "--calibrate is about a traffic, and none is given", hint="--rate 20 --input 1024 --output 256"
        )
    sweeps: Sequence[Sweep] = [read_sweep(path) for path in options.calibrate]
    names = ", ".join(str(path) for path in options.calibrate)
    return Calibrated(tuple(sweeps), wishes.traffic.input_tokens), f"a roofline, corrected by what {names} measured"


def _aiconfigurator(options: PlanOptions) -> tuple[Estimator, str]:
    from tritonsmith.perf.plan.steps.aiconfigurator import Aiconfigurator, find_aiconfigurator

    if options.calibrate:
        hint = "leave one out: sweeps correct the roofline"
        raise UsageError("--calibrate and --estimator aiconfigurator exclude each other", hint=hint)
    assert options.model is not None, "a model was read"
    folder = options.model if options.model.is_dir() else options.model.parent
    if not (folder / "config.json").is_file():
        hint = "put it into a folder of its own, as config.json"
        raise UsageError(f"aiconfigurator reads a folder's config.json, and {folder} has none", hint=hint)
    return Aiconfigurator(folder, find_aiconfigurator()), "kernels that aiconfigurator has measured"
