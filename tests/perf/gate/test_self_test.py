import math

import pytest

from tritonsmith.perf.gate.core import Word
from tritonsmith.perf.gate.self_test import count_verdicts, highest_share


@pytest.mark.parametrize(
    ("events", "trials", "highest"),
    [(0, 60, 0.0487), (1, 20, 0.2161), (0, 1, 0.95), (5, 5, 1.0), (0, 0, 1.0)],
)
def test_the_bound_is_clopper_and_pearson_s(events: int, trials: int, highest: float) -> None:
    assert highest_share(events, trials) == pytest.approx(highest, abs=5e-5)


@pytest.mark.parametrize(("events", "trials"), [(3, 60), (17, 40), (2, 1000)])
def test_at_the_bound_so_few_events_have_a_chance_of_five_per_cent(events: int, trials: int) -> None:
    share = highest_share(events, trials)
    chances = [math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(events + 1)]
    assert sum(chances) == pytest.approx(0.05)


def test_a_bound_of_very_many_trials_is_found() -> None:
    assert highest_share(10, 1_000_000) == pytest.approx(1.696e-5, rel=1e-3)  # half the 95 % quantile of chi2 with 22


def test_the_record_is_told_in_one_sentence() -> None:
    counts: dict[Word, int] = {"pass": 55, "inconclusive": 4, "regress": 1}
    record = count_verdicts(word for word, count in counts.items() for _ in range(count))
    assert str(record) == (
        "1 false alarm in 60 self-tests, 4 inconclusive: with 95% confidence at most 7.7% of gates cry wolf"
    )
