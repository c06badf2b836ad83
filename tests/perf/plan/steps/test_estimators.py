"""A sweep corrects the way that it was of to what it measured, and the others by as much."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.perf.plan.small_models import LARGE, write_config
from tritonsmith.generator.catalog.gpus import GPUS, Gpu
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.document import Sweep, SweepPlan, write_sweep
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.streams import Quantiles, Streams
from tritonsmith.perf.plan.core import LanguageModel, Serving, Spread
from tritonsmith.perf.plan.models.read import read_model
from tritonsmith.perf.plan.options import PlanOptions, read_wishes
from tritonsmith.perf.plan.steps.calibrate import measured_loads
from tritonsmith.perf.plan.steps.estimators import Calibrated, RooflineWhereUnknown, estimator_of
from tritonsmith.perf.plan.steps.measured_way import measured_way
from tritonsmith.perf.plan.steps.roofline import RooflineTimes

MakeSweep = Callable[..., Sweep]
H100 = GPUS["H100-SXM-80GB"]
TP4, TP8 = (Serving(Spread(size), "bf16", "bf16") for size in (4, 8))
SLOWER = 1.3


@pytest.fixture
def model(tmp_path: Path) -> LanguageModel:
    return read_model(write_config(tmp_path, LARGE))


def streams_of(step_s: float, prompt_s: float, requests: float) -> Streams:
    """Return answers of 100 tokens to prompts of 200, as a server gives them whose steps take so long."""
    tpot_us = (step_s + (requests - 1) * prompt_s / 100) * 1e6
    ttft_us = (step_s + prompt_s) * 1e6
    first, between = (Quantiles(1, value, value, value, value) for value in (ttft_us, tpot_us))
    return Streams("responses", 1.0, (ttft_us,), (tpot_us,), (1.0,), (100,), first, between, between)


@pytest.fixture
def sweep(model: LanguageModel, make_sweep: MakeSweep) -> Sweep:
    """Return what a TP4 replica measures whose steps all take a third longer than the roofline says."""
    made = make_sweep([Load("concurrency", n) for n in (1, 8, 32)], repeats=3)
    times = RooflineTimes(model, TP4, H100)

    def streamed(cell: Any) -> Any:
        requests = cell.measurement.load.value
        step_s, prompt_s = SLOWER * times.decode_s(requests, 250), SLOWER * times.prefill_s(200, 0)
        return replace(cell, measurement=replace(cell.measurement, streams=streams_of(step_s, prompt_s, requests)))

    plan: SweepPlan = replace(made.plan, prompts="64 prompts of 200 tokens at random, answers of 100 tokens")
    return replace(made, plan=plan, cells=tuple(map(streamed, made.cells)))


def write(sweep: Sweep, folder: Path) -> None:
    (folder / "sweep").mkdir()
    write_sweep(sweep, folder / "sweep")


def options(folder: Path, *results: str, **changes: object) -> PlanOptions:
    asked = {"gpus": ("H100-SXM-80GB",), "rate": 5.0, "input": 1000, "output": 200} | changes
    return PlanOptions(model=folder, calibrate=tuple(map(Path, results)), **asked)  # type: ignore[arg-type]


def estimator(asked: PlanOptions, model: LanguageModel) -> Calibrated:
    found, _ = estimator_of(asked, read_wishes(asked), model)
    assert isinstance(found, Calibrated)
    return found


def test_the_measured_way_is_as_measured_and_the_others_are_slower_by_as_much(
    tmp_path: Path, model: LanguageModel, sweep: Sweep
) -> None:
    write(sweep, tmp_path)
    found = estimator(options(tmp_path, f"TP4={tmp_path / 'sweep'}"), model)
    for serving in (TP4, TP8):
        alone = RooflineTimes(model, serving, H100)
        assert found(model, serving, H100).decode_s(16, 1000) == pytest.approx(
            SLOWER * alone.decode_s(16, 1000), rel=0.02
        )
        assert found(model, serving, H100).prefill_s(900, 0) == pytest.approx(
            SLOWER * alone.prefill_s(900, 0), rel=0.02
        )


def test_only_the_measured_ways_interval_is_narrower(tmp_path: Path, model: LanguageModel, sweep: Sweep) -> None:
    write(sweep, tmp_path)
    found = estimator(options(tmp_path, f"H100-SXM-80GB TP4 bf16={tmp_path / 'sweep'}"), model)
    measured, other = found(model, TP4, H100), found(model, TP8, H100)
    assert other.interval == RooflineTimes(model, TP8, H100).interval
    assert measured.interval[1] / measured.interval[0] < 1.2
    assert "measured at 9 loads of H100-SXM-80GB TP4" in other.source


def test_prompts_are_as_long_as_the_sweep_says(sweep: Sweep) -> None:
    assert {load.input_tokens for load in measured_loads(sweep, 1000)} == {200}
    unsaid = replace(sweep, plan=replace(sweep.plan, prompts="12 prompts of mine.txt"))
    assert {load.input_tokens for load in measured_loads(unsaid, 1000)} == {1000}


@pytest.mark.parametrize(
    ("ways", "told"),
    [
        (("",), r"which of \d ways was measured\?"),
        (("TP3=",), "no way that is looked at and fits is 'TP3'"),
        (("bf16=",), r"'bf16' is \d ways"),
        (("TP4=", "TP8="), "TP4 and TP8 were measured, which are two ways"),
        (("H1000=",), "no GPU 'H1000' is known"),
    ],
)
def test_what_was_measured_has_to_be_one_way(
    tmp_path: Path, model: LanguageModel, sweep: Sweep, ways: tuple[str, ...], told: str
) -> None:
    write(sweep, tmp_path)
    asked = options(tmp_path, *(f"{way}{tmp_path / 'sweep'}" for way in ways))
    with pytest.raises(UsageError, match=told):
        estimator_of(asked, read_wishes(asked), model)


@pytest.mark.parametrize(
    ("words", "told"),
    [("TP4", "H100-SXM-80GB TP4 bf16"), ("TP4 batch 512", "H100-SXM-80GB TP4 bf16 batch 512"), ("TP4 batch 64", "")],
)
def test_a_batch_is_named_as_a_plan_names_it(model: LanguageModel, words: str, told: str) -> None:
    wishes = read_wishes(options(Path(), max_batch_size="256,512"))
    if not told:
        with pytest.raises(UsageError, match="no way that is looked at and fits is 'TP4 batch 64'"):
            measured_way([words], model, wishes)
        return
    serving = measured_way([words], model, wishes).serving
    assert f"H100-SXM-80GB {serving.spread} {serving.weight_type}{serving.batch_words}" == told


def test_calibration_without_a_traffic_is_refused(tmp_path: Path, model: LanguageModel) -> None:
    asked = options(tmp_path, "sweep", rate=None, input=None, output=None)
    with pytest.raises(UsageError, match="--calibrate is about a traffic"):
        estimator_of(asked, read_wishes(asked), model)


def test_sweeps_do_not_correct_aiconfigurator(tmp_path: Path, model: LanguageModel) -> None:
    asked = options(tmp_path, "sweep", estimator="aiconfigurator")
    with pytest.raises(UsageError, match="exclude each other"):
        estimator_of(asked, read_wishes(asked), model)


def test_gpus_that_the_estimator_has_not_measured_get_the_rooflines_times(model: LanguageModel) -> None:
    measured = RooflineTimes(model, TP8, H100)  # recognised by its spread

    def known(model: LanguageModel, serving: Serving, gpu: Gpu) -> RooflineTimes:
        if gpu.name != "H100-SXM-80GB":
            raise UsageError(f"{gpu.name} was not measured", hint="none")
        return measured

    either = RooflineWhereUnknown(known)
    assert either(model, TP4, H100) is measured
    assert either(model, TP4, GPUS["L4"]) == RooflineTimes(model, TP4, GPUS["L4"])
