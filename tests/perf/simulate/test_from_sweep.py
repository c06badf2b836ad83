from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.document import Cell, Sweep
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.measurement import Latency, Step
from tritonsmith.perf.simulate import (
    ClosedLoop,
    DynamicBatching,
    Overhead,
    ServiceTimes,
    SimulatedModel,
    System,
    Traffic,
    simulate,
)
from tritonsmith.perf.simulate.from_sweep import factors_of, times_in

MakeSweep = Callable[..., Sweep]
TRUTH = ServiceTimes({1: 2000.0, 8: 4800.0}, variation=0.2)
SIZES = {1: {1: 100}, 4: {1: 20, 4: 80}, 16: {8: 90, 3: 10}}


def measured(sweep: Sweep, slowdown: Callable[[Cell], float] = lambda _: 1.0) -> Sweep:
    """Put one model into each cell, whose batches are those of SIZES by its concurrency."""
    cells = []
    for cell in sweep.cells:
        sizes = SIZES[int(cell.measurement.load.value)]
        rows = sum(size * count for size, count in sizes.items())
        whole_us = sum(size * count * TRUTH.mean_of(size) for size, count in sizes.items()) * slowdown(cell)
        step = Step("classifier", rows, sum(sizes.values()), 0, 30.0, 10.0, whole_us / rows - 15, 5.0, sizes)
        latency = Latency(5000, whole_us / rows + 330, 2300, 2840, 2990, 3270, 3800)
        cells.append(replace(cell, measurement=replace(cell.measurement, steps=(step,), latency=latency)))
    return replace(sweep, cells=tuple(cells))


def loads(*clients: int) -> list[Load]:
    return [Load("concurrency", count) for count in clients]


def test_times_by_batch_size_are_found_again_from_means_per_request(make_sweep: MakeSweep) -> None:
    found = times_in(measured(make_sweep(loads(1, 4, 16))))
    times = found.services["classifier"]
    assert [times.mean_of(size) for size in (1, 4, 8)] == pytest.approx([2000, 3200, 4800], rel=1e-3)
    assert found.overhead.mean_us == pytest.approx(300, abs=1)
    assert float(np.std(times.observed)) == pytest.approx(0.2, abs=0.03)
    assert (found.has_spread, found.notes) == (True, ())


def test_more_instances_than_the_fewest_say_nothing_of_one(make_sweep: MakeSweep) -> None:
    field = "models.classifier.instance_group.count"
    sweep = measured(make_sweep(loads(1, 4, 16), counts=(2, 1)), lambda cell: 1.5 if cell.variant[field] == 2 else 1.0)
    assert times_in(sweep).services["classifier"].mean_of(8) == pytest.approx(4800, rel=1e-3)


def test_of_one_batch_size_no_slope_is_told(make_sweep: MakeSweep) -> None:
    found = times_in(measured(make_sweep(loads(16))))
    assert found.services["classifier"].mean_us.keys() == {8}
    assert not found.has_spread
    assert "no concurrency 1" in found.notes[0]


def test_a_sweep_without_cells_is_refused(make_sweep: MakeSweep) -> None:
    with pytest.raises(UsageError, match="measured nothing yet"):
        times_in(replace(make_sweep(), cells=()))


def test_several_models_vary_together_as_their_latencies_do() -> None:
    latency = Latency(10_000, 6300.0, 6300, 6812, 6958, 7230, 7900)  # a normal distribution, sd 400
    factors = np.array(factors_of(latency, [3000.0, 3000.0]))
    draw = np.random.default_rng(0)
    together_us = draw.choice(factors * 3000, 100_000) + draw.choice(factors * 3000, 100_000)
    assert float(together_us.std()) == pytest.approx(400, rel=0.1)
    assert factors.mean() == pytest.approx(1, abs=1e-3)


def test_what_a_sweep_says_predicts_what_it_measured(make_sweep: MakeSweep) -> None:
    found = times_in(measured(make_sweep(loads(1, 4, 16))))

    def p99_us(service: ServiceTimes, overhead: Overhead) -> float:
        system = System({"m": SimulatedModel(service, 8, 2, DynamicBatching())}, overhead=overhead)
        return simulate(system, Traffic("m", ClosedLoop(12))).p99_us

    read = p99_us(found.services["classifier"], found.overhead)
    assert read == pytest.approx(p99_us(TRUTH, Overhead(300)), rel=0.1)
