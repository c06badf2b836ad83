from collections.abc import Callable
from dataclasses import replace

from tritonsmith.perf.document import Cell, Sweep
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.machine import MachineLoad
from tritonsmith.perf.measure.measurement import CacheUse
from tritonsmith.perf.statistics import median
from tritonsmith.perf.summary import summarise

ONE = Load("concurrency", 1)
RATE = Load("request_rate", 100)


def only_rate(cell: Cell) -> bool:
    return cell.measurement.load == RATE


def test_a_point_is_the_median_of_its_repeats_with_their_interval(make_sweep: Callable[..., Sweep]) -> None:
    sweep = make_sweep([ONE])
    values = [cell.measurement.throughput_per_s for cell in sweep.cells]
    [point] = summarise(sweep)
    assert point.throughput_per_s.value == median(values)
    assert (point.throughput_per_s.interval.low, point.throughput_per_s.interval.high) == (min(values), max(values))
    assert point.throughput_per_s.interval.coverage == 0.9375
    assert point.requests == 10_000


def test_points_are_sorted_by_load_whatever_the_order_of_measuring(make_sweep: Callable[..., Sweep]) -> None:
    sweep = make_sweep(
        [Load("request_rate", 9), Load("concurrency", 16), Load("concurrency", 2), Load("concurrency", 4)]
    )
    assert [str(point.load) for point in summarise(sweep)] == [
        "concurrency 2",
        "concurrency 4",
        "concurrency 16",
        "9 requests/s",
    ]


def test_quiet_repeats_are_stable_and_wild_ones_are_not(make_sweep: Callable[..., Sweep]) -> None:
    assert not summarise(make_sweep([ONE]))[0].is_unstable
    wild = summarise(make_sweep([ONE], noise=0.6))[0]
    assert wild.is_unstable
    assert "unstable" in wild.remarks[0]


def test_a_few_requests_make_high_quantiles_unreliable(
    make_sweep: Callable[..., Sweep], change_measurements: Callable[..., Sweep]
) -> None:
    sweep = make_sweep([ONE])
    assert summarise(sweep)[0].unreliable == ()
    few = replace(sweep.cells[0].measurement.latency, requests=150)
    [point] = summarise(change_measurements(sweep, lambda cell: cell.repeat == 2, latency=few))
    assert point.unreliable == ("p95_us", "p99_us")


def test_missing_repeats_are_said(make_sweep: Callable[..., Sweep]) -> None:
    sweep = make_sweep([ONE])
    assert summarise(replace(sweep, cells=sweep.cells[:3]))[0].remarks == ("only 3 of 5 repeats measured",)


def test_a_server_that_falls_behind_is_told_from_a_load_generator_that_does(
    make_sweep: Callable[..., Sweep], change_measurements: Callable[..., Sweep]
) -> None:
    behind = change_measurements(make_sweep([RATE]), only_rate, throughput_per_s=60.0)
    assert summarise(behind)[0].remarks == ("the server fell behind: 60 answered of 100 requests sent per second",)
    weak = change_measurements(behind, only_rate, is_generator_behind=True)
    assert summarise(weak)[0].remarks == ("perf_analyzer did not hold the load in 5 of 5 repeats",)


def test_stolen_cpu_time_is_said(make_sweep: Callable[..., Sweep], change_measurements: Callable[..., Sweep]) -> None:
    sweep = change_measurements(make_sweep([ONE]), lambda cell: cell.repeat == 1, machine=MachineLoad(1.0, 0.9, 0.07))
    assert summarise(sweep)[0].remarks == ("the hypervisor took up to 7% of the CPU time",)


def test_what_the_response_cache_answered_is_said_with_the_next_step(
    make_sweep: Callable[..., Sweep], change_measurements: Callable[..., Sweep]
) -> None:
    caches = (CacheUse("classifier", 92, 8), CacheUse("digits", 0, 100))
    [point] = summarise(change_measurements(make_sweep([ONE]), lambda cell: True, caches=caches))
    assert point.caches == (CacheUse("classifier", 460, 40), CacheUse("digits", 0, 500))
    [remark] = point.remarks
    assert remark == (
        "92% of the requests to classifier were answered from the response cache: what is measured is the cache; give "
        "as many different inputs as there will be, or measure without it "
        "(--vary models.classifier.response_cache.enable=false)"
    )


def test_batch_sizes_add_up_and_times_are_medians(make_sweep: Callable[..., Sweep]) -> None:
    [point] = summarise(make_sweep([Load("concurrency", 8)]))
    classifier = point.steps[1]
    assert classifier.batch_sizes == {1: 100, 2: 1000}
    assert classifier.compute_infer_us == 2000.0


def test_variants_are_points_of_their_own_with_short_labels(make_sweep: Callable[..., Sweep]) -> None:
    points = summarise(make_sweep([ONE], counts=(1, 2)))
    assert [(point.variant_label, point.variant) for point in points] == [
        ("V1", "classifier.instance_group.count=1"),
        ("V2", "classifier.instance_group.count=2"),
    ]
