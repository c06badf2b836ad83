"""Traffic for several models at once."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.cli_mix import Mixed, mix_document, mix_text
from tritonsmith.perf.document import Sweep
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.profile import Profile
from tritonsmith.perf.mixed import common_time, cut, overlap_share, parse_mix, wholes

MakeSweep = Callable[..., Sweep]


def test_shares_divide_a_rate() -> None:
    mix = parse_mix("classifier=70%, detector=30%")
    assert mix.load_of("classifier", Load("request_rate", 200)) == Load("request_rate", 140)
    assert mix.load_of("detector", Load("request_rate", 200)) == Load("request_rate", 60)
    assert str(mix) == "classifier 70%, detector 30%"


def test_numbers_are_requests_in_flight() -> None:
    mix = parse_mix("classifier=4,detector=2")
    assert not mix.is_shares
    assert mix.load_of("detector", Load("concurrency", 6)) == Load("concurrency", 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a=70%,b=20%", "add up to 0.9, not to 100%"),
        ("a=100%", "is one model"),
        ("a=50%,a=50%", "is given twice"),
        ("a=50%,b=2", "'a=50%' is no part of a mix"),
        ("a,b", "'a' is no part"),
        ("a=0,b=2", "'a=0' is no part"),
        ("a=nan%,b=50%", "'a=nan%' is no part"),
    ],
)
def test_what_is_no_mix_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_mix(text)
    assert said in str(caught.value)


def profile_between(start_s: float, end_s: float, rate: float = 10) -> Profile:
    sent = ((np.arange(start_s, end_s, 1 / rate)) * 1e9).astype(np.int64)
    ones = np.ones(len(sent), dtype=np.int64)
    ends = (np.array([start_s, (start_s + end_s) / 2, end_s]) * 1e9).astype(np.int64)
    return Profile(sent, ones, sent + 1_000_000, ones, "responses", ends, "2.51.0")


def test_only_the_time_in_which_all_were_measured_counts() -> None:
    first, second = profile_between(0, 2), profile_between(0.5, 2.5)
    assert common_time([first, second]) == (500_000_000, 2_000_000_000)
    assert overlap_share([first, second]) == pytest.approx(0.75)
    for profile in (first, second):
        kept = cut(profile, *common_time([first, second]))
        assert kept.measured_s == pytest.approx(1.5)
        assert kept.throughput_per_s == pytest.approx(10, rel=0.1)
        assert len(kept.arrived_ns) == len(kept.sent_ns)


def test_what_was_measured_at_different_times_does_not_meet() -> None:
    assert overlap_share([profile_between(0, 1), profile_between(2, 3)]) == 0


def test_the_whole_is_the_sum_of_the_models_and_its_mean_is_weighted(
    make_sweep: MakeSweep, change_measurements: Callable[..., Sweep]
) -> None:
    mix = parse_mix("a=75%,b=25%")
    total = Load("request_rate", 100)
    sweeps = {}
    for name, rate, mean_us in (("a", 75.0, 1000.0), ("b", 25.0, 5000.0)):
        sweep = make_sweep([Load("request_rate", rate)], repeats=3)
        latency = replace(sweep.cells[0].measurement.latency, mean_us=mean_us)
        sweeps[name] = change_measurements(sweep, lambda _: True, throughput_per_s=rate, latency=latency)
    [whole] = wholes(sweeps, mix, [total])
    assert whole.throughput_per_s.value == 100
    assert whole.mean_us.value == 2000
    done = Mixed(mix, (total,), sweeps)
    lines = mix_text(done).splitlines()
    assert [line.split()[2] for line in lines[1:4]] == ["a", "b", "all"]
    assert mix_document(done)["whole"][0]["throughput_per_s"]["value"] == 100
    assert list(mix_document(done)["models"]) == ["a", "b"]
