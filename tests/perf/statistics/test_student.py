import pytest

from tritonsmith.perf.statistics.student import chance_below, quantile


@pytest.mark.parametrize(
    ("freedom", "share", "value"), [(1, 0.975, 12.706), (2, 0.98, 4.849), (5, 0.99, 3.365), (30, 0.95, 1.697)]
)
def test_student_s_quantiles_are_those_of_the_tables(freedom: int, share: float, value: float) -> None:
    assert quantile(share, freedom) == pytest.approx(value, abs=0.001)
    assert chance_below(quantile(share, freedom), freedom) == pytest.approx(share)
