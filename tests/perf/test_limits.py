"""Limits as options spell them."""

import pytest

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.limits import METRICS, Limit, name_of, parse_limit, parse_limits


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("p99=50ms", Limit("p99_ms", 50)),
        ("p50=0.5s", Limit("p50_ms", 500)),
        ("mean=800us", Limit("mean_ms", 0.8)),
        ("ttft=200 ms", Limit("ttft_ms", 200)),
        ("memory=2GiB", Limit("memory_mib", 2048)),
        ("memory=512mib", Limit("memory_mib", 512)),
        ("memory=1.048576MB", Limit("memory_mib", 1)),
    ],
)
def test_a_limit_is_a_metric_and_a_quantity_with_its_unit(text: str, limit: Limit) -> None:
    assert parse_limit(text, "--limit") == limit


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("p98=50ms", "'p98' is nothing to limit"),
        ("p99", "'p99' has no time above 0 with a unit (us, ms, s)"),
        ("p99=50", "'p99=50' has no time"),
        ("p99=0ms", "'p99=0ms' has no time above 0"),
        ("p99=1e999s", "has no time above 0"),
        ("p99=2GiB", "has no time"),
        ("memory=50ms", "has no size above 0 with a unit (KiB, MiB"),
        ("memory=-1GiB", "has no size"),
    ],
)
def test_what_is_no_limit_is_refused_by_the_option_s_name(text: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_limit(text, "--slo")
    assert str(raised.value).startswith("--slo: ")
    assert said in str(raised.value)


def test_a_metric_has_one_limit() -> None:
    assert len(parse_limits(["p99=50ms", "p50=5ms"], "--limit")) == 2
    with pytest.raises(UsageError, match="p99 is given twice"):
        parse_limits(["p99=50ms", "p99=60ms"], "--limit")


def test_an_option_may_take_fewer_metrics() -> None:
    with pytest.raises(UsageError, match="'memory' is nothing to limit"):
        parse_limit("memory=2GiB", "--slo", ["p50", "p99"])


def test_every_metric_has_a_name() -> None:
    assert [name_of(metric) for metric in METRICS.values()] == list(METRICS)
