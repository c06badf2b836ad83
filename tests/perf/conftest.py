"""Sweeps made up in memory, for tests of what is made of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tritonsmith.perf.document import Cell, Scalar, Sweep, SweepPlan, Variation
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.machine import Environment, MachineLoad
from tritonsmith.perf.measure.measurement import Latency, Measurement, Step
from tritonsmith.perf.pipelines import draw_variants

MACHINE = Environment("Some CPU", 2, 8 << 30, "6.1", "2.36", "3.11.7", "0.1.0", "2.51.0", "2.51.0")
LOADS = (Load("concurrency", 1), Load("concurrency", 8), Load("request_rate", 100))
MakeSweep = Callable[..., Sweep]


def make_step(model: str, batch: int) -> Step:
    return Step(model, 400, 400 // batch, 0, 100.0 * batch, 10.0, 2000.0, 50.0, {1: 20, batch: 400 // batch})


def make_measurement(load: Load, factor: float, requests: int = 2000) -> Measurement:
    p50_us = 4000.0 * load.value**0.4 * factor
    latency = Latency(requests, p50_us * 1.05, p50_us, p50_us * 1.3, p50_us * 1.5, p50_us * 2, p50_us * 4)
    rate = (load.value * 1e6 / p50_us) if load.kind == "concurrency" else load.value
    batch = max(2, int(load.value) // 4) if load.kind == "concurrency" else 1
    return Measurement(
        load=load,
        latency=latency,
        throughput_per_s=rate,
        windows_per_s=(rate * 0.98, rate, rate * 1.01),
        sent_per_s=rate,
        in_flight=load.value,
        responses_per_s=rate,
        first_response_p50_us=p50_us,
        client_send_us=4.0,
        client_receive_us=1.0,
        server_us=p50_us - 200,
        steps=(make_step("preprocessing", 1), make_step("classifier", batch)),
        measured_s=1.8,
        generator_cores=0.1,
        is_generator_behind=False,
        machine=MachineLoad(0.5, 0.4, 0.0),
        attempts=1,
    )


@pytest.fixture
def make_sweep() -> MakeSweep:
    """A function from loads and values of an instance count to a whole sweep with a noise of 3 %."""

    def make(loads: Sequence[Load] = LOADS, counts: Sequence[int] = (), repeats: int = 5, noise: float = 0.03) -> Sweep:
        draw = np.random.default_rng(7)
        field = "models.classifier.instance_group.count"
        variants: list[dict[str, Scalar]] = [{field: count} for count in counts] or [{}]
        variations = (Variation(field, tuple(counts)),) if counts else ()
        plan = SweepPlan("digits", tuple(loads), repeats=repeats, variations=variations)
        command = ("/opt/perf_analyzer", "-m", "digits")
        cells = tuple(
            Cell(
                f"{repeat}-{index}-{load}",
                variant,
                repeat,
                "2026-11-20T20:00:00+00:00",
                command,
                make_measurement(load, float(draw.normal(1 - 0.1 * index, noise))),
            )
            for repeat in range(repeats)
            for index, variant in enumerate(variants)
            for load in loads
        )
        return Sweep(plan, "0" * 64, MACHINE, "2026-11-20T20:00:00+00:00", cells)

    return make


@pytest.fixture
def make_drawn_sweep(make_sweep: MakeSweep) -> MakeSweep:
    """As `make_sweep`, with the pipeline of every variant."""

    def make(counts: Sequence[int] = ()) -> Sweep:
        sweep = make_sweep(counts=counts)
        served = {name: ModelConfig(name=name, backend="python") for name in ("preprocessing", "classifier")}
        served["classifier"].instance_group.add(count=1, kind=ModelInstanceGroup.KIND_CPU)
        served["digits"] = ModelConfig(name="digits", platform="ensemble")
        for name in ("preprocessing", "classifier"):
            served["digits"].ensemble_scheduling.step.add(model_name=name, model_version=-1)
        return replace(sweep, pipelines=draw_variants(sweep.plan, served, {}, {}))

    return make


@pytest.fixture
def change_measurements() -> Callable[..., Sweep]:
    """A function that changes fields of some cells' measurements: (sweep, which cells, fields)."""

    def change(sweep: Sweep, which: Callable[[Cell], bool], **fields: object) -> Sweep:
        cells = tuple(
            replace(cell, measurement=replace(cell.measurement, **fields)) if which(cell) else cell  # type: ignore[arg-type]
            for cell in sweep.cells
        )
        return replace(sweep, cells=cells)

    return change
