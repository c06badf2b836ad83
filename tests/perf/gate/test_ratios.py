import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from tritonsmith.perf.gate.core import Run
from tritonsmith.perf.gate.ratios import find_failures, log_ratios
from tritonsmith.perf.gate.refusals import find_refusals
from tritonsmith.perf.measure.load import Load

MakeRuns = Callable[..., tuple[Run, ...]]
LOAD = Load("concurrency", 4)


def test_a_pair_gives_one_ratio_of_geometric_means(make_runs: MakeRuns) -> None:
    runs = make_runs(pairs=1, noise=0.0)
    values = iter((110.0, 90.0, 100.0, 100.0))
    runs = tuple(
        replace(run, values={"p50": next(values) if run.side == "candidate" else 100.0, "throughput": 7.0})
        for run in runs
    )
    ratios = log_ratios(runs)
    assert ratios["p50", LOAD] == pytest.approx((math.log((1.1 * 0.9) ** 0.25),))
    assert ratios["throughput", LOAD] == (0.0,)


def test_ratios_are_in_the_order_of_the_pairs_and_points_in_that_of_metrics_and_loads(make_runs: MakeRuns) -> None:
    runs = make_runs(pairs=3, loads=(Load("request_rate", 9), Load("concurrency", 16), Load("concurrency", 2)))
    assert [f"{metric} {load}" for metric, load in log_ratios(runs[::-1])][:4] == [
        "p50 concurrency 2", "p50 concurrency 16", "p50 9 requests/s", "p99 concurrency 2",
    ]  # fmt: skip
    for point, ratios in log_ratios(runs).items():
        assert log_ratios(runs[::-1])[point] == pytest.approx(ratios)


def test_a_pair_without_all_its_runs_gives_no_ratio(make_runs: MakeRuns) -> None:
    assert len(log_ratios(make_runs(pairs=3)[1:])["p50", LOAD]) == 2


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_value_that_is_none_is_a_missing_point(value: float, make_runs: MakeRuns) -> None:
    first, *rest = make_runs(pairs=2)
    runs = [replace(first, values={**first.values, "p50": value}), *rest]
    assert len(log_ratios(runs)["p50", LOAD]) == 1
    [failure] = find_failures(runs, ["p50"], [LOAD], 2)
    assert (failure.kind, failure.side, failure.message) == ("missing point", first.side, "1 of 8 runs: no p50")


def test_what_was_measured_as_it_should_is_no_failure(make_runs: MakeRuns) -> None:
    assert find_failures(make_runs(pairs=2), ["p50", "p99"], [LOAD], 2) == ()


def test_failed_requests_are_counted_for_each_side(make_runs: MakeRuns) -> None:
    runs = [replace(run, failed_requests=600 if run.side == "candidate" else 0) for run in make_runs(pairs=1)]
    assert [str(one) for one in find_failures(runs, ["p50"], [LOAD], 1)] == [
        "errors: candidate, concurrency 4: 2,400 requests failed"
    ]


def test_a_run_without_data_says_why(make_runs: MakeRuns) -> None:
    runs = [replace(run, values={}, problem="the server was ended by signal 9") for run in make_runs(pairs=1)]
    said = [str(one) for one in find_failures(runs, ["p50"], [LOAD], 1)]
    assert said[0] == "missing point: candidate, concurrency 4: 4 of 4 runs: the server was ended by signal 9"
    assert len(said) == 2


def test_a_load_that_was_never_measured_is_missing(make_runs: MakeRuns) -> None:
    other = Load("concurrency", 64)
    failures = find_failures(make_runs(pairs=2), ["p50"], [LOAD, other], 2)
    assert {(one.side, one.where) for one in failures} == {("baseline", str(other)), ("candidate", str(other))}


def test_a_pair_that_was_cut_off_is_missing(make_runs: MakeRuns) -> None:
    runs = make_runs(pairs=2)[:-1]
    assert [one.kind for one in find_failures(runs, ["p50"], [LOAD], 2)] == ["missing point"]


def _with(runs: tuple[Run, ...], **fields: float) -> tuple[Run, ...]:
    return tuple(replace(run, conditions=replace(run.conditions, **fields)) for run in runs)  # type: ignore[arg-type]


def test_a_quiet_machine_is_not_refused(make_runs: MakeRuns) -> None:
    assert find_refusals(make_runs(), 2) == ()
    assert find_refusals((), 2) == ()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("steal_share", 0.021, "the hypervisor took 2.1%"),
        ("foreign_cores", 1.2, "other programs used 1.2 of 2 cores"),
        ("is_generator_behind", True, "did not hold concurrency 4 in 32 of 32 runs of the baseline"),
    ],
)
def test_a_machine_in_no_state_to_compare_is_refused_with_the_number(
    field: str, value: float, said: str, make_runs: MakeRuns
) -> None:
    assert said in find_refusals(_with(make_runs(), **{field: value}), 2)[0]


def test_a_burst_in_one_run_refuses_nothing(make_runs: MakeRuns) -> None:
    first, *rest = make_runs()
    [stolen] = _with((first,), steal_share=0.3, is_generator_behind=True)
    assert find_refusals([stolen, *rest], 2) == ()
