import pytest

from tritonsmith.perf.report.svg import Scale, element, linear, logarithmic, text


@pytest.mark.parametrize(("high", "last"), [(9.3, 10), (41, 50), (0.0021, 0.0025), (2181, 2500), (100, 100)])
def test_a_linear_scale_ends_at_a_round_value(high: float, last: float) -> None:
    scale = linear(high, 0, 100)
    assert scale.ticks()[0] == 0
    assert scale.ticks()[-1] == pytest.approx(last)
    assert 3 <= len(scale.ticks()) <= 8


def test_a_logarithmic_scale_has_even_decades() -> None:
    scale = logarithmic(1, 1000, 0, 300)
    assert scale(10) - scale(1) == pytest.approx(scale(100) - scale(10))
    assert {1, 10, 100, 1000} <= set(scale.ticks())


def test_values_beyond_a_scale_stay_on_its_edge() -> None:
    scale = Scale(0, 10, 100, 0)
    assert (scale(-5), scale(0), scale(10), scale(99)) == (100, 100, 0, 0)


def test_texts_and_attributes_are_escaped() -> None:
    assert text('a<b>"', 1, 2.50) == '<text x="1" y="2.5">a&lt;b&gt;&quot;</text>'
    assert element("g", class_='"x"', stroke_width=1.0) == '<g class="&quot;x&quot;" stroke-width="1"/>'


def test_a_linear_scale_of_nothing_is_drawn() -> None:
    assert linear(0.0, 0, 10)(0.0) == 0
