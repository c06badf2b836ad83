from collections.abc import Callable

from tritonsmith.perf.bench.accuracy import Grid, compare, grid_points, summarize
from tritonsmith.perf.bench.simulate_grid import grid_of
from tritonsmith.perf.document import Sweep
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.tune.core import Candidate, Prediction, Trial
from tritonsmith.perf.tune.document import Expectation

MakeSweep = Callable[..., Sweep]
LOAD = Load("concurrency", 4)


def trial(candidate: str, p99_ms: float, failure: str = "") -> Trial:
    return Trial(candidate, LOAD, 1, 500, throughput_per_s=100.0, p99_ms=p99_ms, failure=failure)


def expectation(candidate: str, p99_ms: float) -> Expectation:
    return Expectation(candidate, LOAD, Prediction(110.0, 110.0, 1.0, 1.0, 1.0, 1.0, p99_ms))


def test_errors_are_relative_to_the_median_of_the_repeats() -> None:
    point = compare("a", LOAD, (110.0, 15_000.0), [(100.0, 9000.0), (90.0, 10_000.0), (120.0, 12_000.0)])
    assert (point["throughput_error"], point["p99_error"]) == (0.1, 0.5)


def test_p99_may_be_off_by_a_quarter_or_by_one_and_a_half_times_half_its_range() -> None:
    steady = compare("a", LOAD, (1.0, 1.0), [(1.0, 1000.0)] * 3)
    shaky = compare("a", LOAD, (1.0, 1.0), [(1.0, 600.0), (1.0, 1000.0), (1.0, 1400.0)])
    assert (steady["p99_allowed"], shaky["p99_allowed"]) == (0.25, 0.6)
    summary = summarize([{**steady, "p99_error": 0.3}, {**shaky, "p99_error": 0.3}, {**shaky, "p99_error": -0.7}])
    assert summary["p99_within_allowed"] == "1 of 3"


def test_a_grid_is_compared_where_it_was_measured_thrice_and_predicted() -> None:
    trials = [trial("a", 10), trial("a", 11), trial("a", 12), trial("a", 0, "fell over"), trial("b", 9), trial("b", 9)]
    grid = Grid("sleeping", tuple(trials), (expectation("a", 22.0), expectation("b", 9.0), expectation("c", 9.0)))
    (point,) = grid_points(grid)
    assert (point["setting"], point["p99_error"], point["throughput_error"]) == ("sleeping: a", 1.0, 0.1)


def test_every_variant_of_a_sweep_is_compared_at_every_load(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(counts=(1, 2))

    def predict(candidate: Candidate, load: Load) -> Prediction:
        at = [cell.measurement for cell in sweep.cells if cell.variant == candidate.variant]
        return Prediction(at[0].throughput_per_s, 0.0, 0.0, 0.0, 0.0, 0.0, load.value)

    points = list(grid_points(grid_of("digits", sweep, predict)))
    assert len(points) == 2 * len(sweep.plan.loads)
    assert {point["predicted_p99_us"] for point in points} == {load.value * 1e3 for load in sweep.plan.loads}
    assert points[0]["setting"] == "digits: classifier.instance_group.count=1"
