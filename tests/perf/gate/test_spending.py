import numpy as np
import pytest

from tritonsmith.perf.gate.spending import ERROR, LOOKS, NORMAL, levels, looks_until
from tritonsmith.perf.statistics.signed_rank import p_values_above


def test_one_look_has_the_whole_error() -> None:
    assert levels((32,)) == pytest.approx((0.02,))
    assert levels((12,), is_last=True) == pytest.approx((0.02,))


def test_two_looks_at_once_cost_as_much_as_a_textbook_says() -> None:
    # Pocock's design with two looks at 2.5 % has both levels at 0.0147 (Jennison, Turnbull, table 2.1: 2.178), and
    # has then spent 0.0147 at the first: the second's level follows from what is left.
    crossing = 1 - NORMAL.cdf(2.178)
    assert levels((16, 32), 2 * crossing)[0] == pytest.approx(crossing)
    spent = levels((16, 32), 0.025, is_last=True)
    assert spent[0] == pytest.approx(0.0125)
    assert spent[1] == pytest.approx(0.0167, abs=4e-4)


def test_levels_are_smaller_than_what_is_spent_and_larger_than_a_fair_share() -> None:
    first, *_, last = levels(LOOKS)
    assert first == pytest.approx(ERROR * LOOKS[0] / LOOKS[-1])
    assert ERROR / len(LOOKS) < last < ERROR


def test_eight_pairs_can_decide_at_the_first_look() -> None:
    assert levels(LOOKS[:1])[0] >= 2.0 ** -LOOKS[0]


def test_earlier_levels_do_not_depend_on_later_looks() -> None:
    assert levels(LOOKS[:2]) == levels(LOOKS)[:2]


def test_looks_come_when_their_pairs_are_there() -> None:
    assert looks_until(7) == looks_until(7, is_last=True) == ()
    assert looks_until(17) == (8, 12)
    assert looks_until(17, is_last=True) == (8, 12, 17)
    assert looks_until(40) == looks_until(32, is_last=True) == LOOKS


@pytest.mark.parametrize("looks", [(8,), (8, 12, 17), LOOKS])
@pytest.mark.parametrize("shape", ["normal", "heavy tails", "uniform"])
def test_all_looks_together_err_as_often_as_allowed(looks: tuple[int, ...], shape: str) -> None:
    draw, gates = np.random.default_rng(4), 20_000
    size = (gates, looks[-1])
    values = {
        "normal": np.asarray(draw.normal(size=size)),
        "heavy tails": np.asarray(draw.standard_t(2, size=size)),
        "uniform": np.asarray(draw.uniform(-1, 1, size=size)),
    }[shape]
    has_crossed = np.zeros(gates, dtype=bool)
    for look, level in zip(looks, levels(looks, is_last=True), strict=True):
        has_crossed |= p_values_above(values[:, :look], 0.0) <= level
    assert has_crossed.mean() < ERROR + 3 * (ERROR / gates) ** 0.5
