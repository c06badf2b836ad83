from pathlib import Path

import numpy as np
import pytest

from tritonsmith.perf.measure.analyzer import AnalyzerResult
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.machine import MachineLoad, machine_load, read_cpu_ticks, read_environment
from tritonsmith.perf.measure.measurement import Step, compose_measurement, is_generator_behind, summarise_latencies
from tritonsmith.perf.measure.profile import Profile, parse_csv, parse_profile

RECORDED = Path(__file__).parents[1] / "recorded"
QUIET = MachineLoad(0.1, 0.5, 0.0)


def recorded(name: str) -> AnalyzerResult:
    profile = parse_profile((RECORDED / f"{name}.json").read_bytes())
    [columns] = parse_csv((RECORDED / f"{name}.csv").read_text())
    return AnalyzerResult(profile, columns, ("perf_analyzer",), 0.2, 1, is_behind=False)


def test_a_measurement_of_a_recorded_run() -> None:
    step = Step("clf", 264, 263, 0, 1483.0, 19.0, 2566.0, 46.0, {1: 262, 2: 1})
    one = compose_measurement(Load("concurrency", 2), recorded("concurrency"), 5281.0, (step,), QUIET)
    assert one.throughput_per_s == pytest.approx(365.306, abs=0.01)
    assert one.latency.mean_us == pytest.approx(5453, abs=1)
    assert one.latency.unreliable == ("p99_us",)  # 264 requests
    assert one.in_flight == pytest.approx(2, abs=0.05)
    assert (one.client_send_us, one.client_receive_us) == (3, 1)
    assert one.overhead_us == pytest.approx(one.latency.mean_us - step.total_us - 4)
    assert not one.is_generator_behind


def test_overhead_is_never_negative() -> None:
    step = Step("clf", 1, 1, 0, 9e6, 0.0, 0.0, 0.0, {1: 1})
    one = compose_measurement(Load("concurrency", 2), recorded("concurrency"), 5281.0, (step,), QUIET)
    assert one.overhead_us == 0.0


def behind(name: str, load: Load) -> bool:
    profile: Profile = parse_profile((RECORDED / f"{name}.json").read_bytes())
    return is_generator_behind(load, profile, summarise_latencies(profile.latencies_us))


def test_a_rate_that_was_sent_is_held_though_the_server_fell_behind() -> None:
    assert not behind("overload", Load("request_rate", 4000))


def test_a_rate_that_was_not_sent_is_not_held() -> None:
    assert behind("rate_without_async", Load("request_rate", 1000))


def test_a_concurrency_is_held_where_as_many_requests_were_in_flight() -> None:
    assert not behind("concurrency", Load("concurrency", 2))
    assert behind("concurrency", Load("concurrency", 3))


def test_quantiles_of_known_latencies() -> None:
    latency = summarise_latencies(np.arange(1.0, 1001.0))
    assert (latency.p50_us, latency.p90_us, latency.p95_us, latency.p99_us, latency.max_us) == (
        500,
        900,
        950,
        990,
        1000,
    )
    assert latency.unreliable == ()


def test_stolen_and_busy_time_are_shares_of_all_cpu_time(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.write_text("cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 1 1\n")
    after.write_text("cpu  150 0 110 930 0 0 0 10 0 0\ncpu0 1 1 1\n")
    load = machine_load(read_cpu_ticks(before), read_cpu_ticks(after), 1.5)
    assert (load.busy_share, load.steal_share, load.load_average) == (0.35, 0.05, 1.5)


def test_this_machine_can_be_described() -> None:
    environment = read_environment("2.51.0", "2.51.0")
    assert environment.cpu
    assert environment.cores >= 1
    assert environment.glibc.startswith("2.")
