"""What `--slo` searches, as the options say."""

import pytest

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.slo.core import Span
from tritonsmith.perf.slo.spans import read_spans


def test_without_levels_the_concurrency_is_searched_and_then_the_rate() -> None:
    concurrency, rate = read_spans(None, None)
    assert (concurrency.kind, concurrency.start) == ("concurrency", 1)
    assert (rate.kind, rate.start) == ("request_rate", 0)  # where the concurrency's answer says


def test_a_range_is_searched_from_its_lowest_level() -> None:
    assert read_spans("2..64", None) == (Span("concurrency", 2, 64, 2),)
    assert read_spans(None, "0.5..80") == (Span("request_rate", 0.5, 80, 0.5),)
    assert len(read_spans("1..2", "1..2")) == 2


@pytest.mark.parametrize("text", ["1,2,4", "8", "0..4", "4..4", "1.5..4", "1..9999", "a..b", ".."])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--concurrency: .* is no range.*\n.*write --concurrency 1\.\.64"):
        read_spans(text, None)
