from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from tritonsmith.generator.errors import UnstableError
from tritonsmith.perf.bench.streaming import requests_of, tokens_per_s
from tritonsmith.perf.measure.profile import Profile


def profile(sent_ms: list[float], arrived_ms: list[list[float]]) -> Profile:
    """Requests sent and their responses, each of one token, at times in ms."""
    times = [round(time * 1e6) for request in arrived_ms for time in request]
    return Profile(
        sent_ns=np.array([round(time * 1e6) for time in sent_ms]),
        responses=np.array([len(request) for request in arrived_ms]),
        arrived_ns=np.array(times),
        tokens=np.ones(len(times), np.int64),
        tokens_by="responses",
        window_ends_ns=np.array([0, 10**9]),
        analyzer_version="2.51.0",
    )


def test_tokens_are_counted_from_the_first_sending_to_the_end_of_the_last_wanted_answer() -> None:
    requests = list(islice(requests_of(0), 3))
    lengths = sorted(request.max_new_tokens for request in requests)
    first = [100.0 + n for n in range(lengths[0])]
    second = [500.0 + n * 0.1 for n in range(lengths[1])]
    third = [400.0 + n * 100 for n in range(lengths[2])]  # ends last, unwanted; what came before counts
    end_ms = second[-1]
    counted = len(first) + len(second) + sum(time <= end_ms for time in third)
    measured = tokens_per_s(profile([10.0, 20.0, 30.0], [first, second, third]), requests, wanted=2)
    assert measured == pytest.approx(counted / (end_ms - 10.0) * 1000)


def test_responses_of_more_than_one_token_are_no_measurement() -> None:
    (request,) = islice(requests_of(0), 1)
    with pytest.raises(UnstableError, match="one response for each token"):
        tokens_per_s(profile([0.0], [[1.0] * (request.max_new_tokens - 1)]), [request], wanted=1)


def test_requests_are_the_same_for_the_same_seed_and_within_their_bounds() -> None:
    first, again = (list(islice(requests_of(7), 50)) for _ in range(2))
    assert all((one.tokens == other.tokens).all() for one, other in zip(first, again, strict=True))
    assert all(16 <= len(one.tokens) <= 256 and 8 <= one.max_new_tokens <= 256 for one in first)
