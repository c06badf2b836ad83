"""Where the durations of steps come from: the roofline, corrected by sweeps where some are given."""

from __future__ import annotations

from dataclasses import dataclass

from tritonsmith.generator.catalog.gpus import Gpu
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.document import read_sweep
from tritonsmith.perf.plan.candidates import Way
from tritonsmith.perf.plan.core import LanguageModel, Serving, StepTimes
from tritonsmith.perf.plan.options import PlanOptions, Wishes
from tritonsmith.perf.plan.plan import Estimator
from tritonsmith.perf.plan.steps.calibrate import CalibratedTimes, Correction, correct, measured_loads
from tritonsmith.perf.plan.steps.measured_way import measured_way, split_way
from tritonsmith.perf.plan.steps.roofline import RooflineTimes


@dataclass(frozen=True)
class Calibrated:
    """An estimator whose times of one way agree with sweeps of it; other ways' are corrected by as much.

    Only the measured way's interval is narrowed: what holds for it tells little of another spread, type or GPU.
    """

    measured: Way
    correction: Correction
    error: float
    loads: int

    def __call__(self, model: LanguageModel, serving: Serving, gpu: Gpu) -> CalibratedTimes:
        """Return corrected times."""
        times = RooflineTimes(model, serving, gpu)
        told = f"measured at {self.loads} load{'s' if self.loads > 1 else ''}"
        if (gpu.name, serving) == (self.measured.gpu.name, self.measured.serving):
            return CalibratedTimes(times, self.correction, (1 / (1 + self.error), 1 + self.error), told)
        there = f"{told} of {self.measured.gpu.name} {self.measured.serving.spread}"
        return CalibratedTimes(times, self.correction, times.interval, there)


@dataclass(frozen=True)
class RooflineWhereUnknown:
    """An estimator that takes the roofline's times, and their wider interval, where another one knows none."""

    known: Estimator

    def __call__(self, model: LanguageModel, serving: Serving, gpu: Gpu) -> StepTimes:
        """Return step times, whose source says which they are."""
        try:
            return self.known(model, serving, gpu)
        except UsageError:
            return RooflineTimes(model, serving, gpu)


def estimator_of(options: PlanOptions, wishes: Wishes, model: LanguageModel) -> tuple[Estimator, str]:
    """Return what says how long steps take, and in words where that comes from.

    Raises: UsageError where sweeps are given without a traffic or what was measured, or with another estimator;
    ToolMissingError where that is not installed; what reading them raises.
    """
    if options.estimator == "aiconfigurator":
        return _aiconfigurator(options)
    if not options.calibrate:
        return RooflineTimes, "a roofline of each GPU, fitted on TensorRT-LLM's published throughput"
    if wishes.traffic is None:
        raise UsageError(
            "--calibrate is about a traffic, and none is given", hint="--rate 20 --input 1024 --output 256"
        )
    texts, paths = zip(*map(split_way, options.calibrate), strict=True)
    way = measured_way(texts, model, wishes)
    loads = [load for path in paths for load in measured_loads(read_sweep(path), wishes.traffic.input_tokens)]
    correction, error = correct(RooflineTimes(model, way.serving, way.gpu), loads)
    names = ", ".join(map(str, paths))
    return Calibrated(way, correction, error, len(loads)), f"a roofline, corrected by what {names} measured"


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
    known = "kernels that aiconfigurator has measured; a roofline where it has measured none"
    return RooflineWhereUnknown(Aiconfigurator(folder, find_aiconfigurator())), known
