import numpy as np
import pytest

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.measure.lengths import Lengths, parse_lengths


def draws(lengths: Lengths, count: int = 2000) -> list[int]:
    random = np.random.default_rng(0)
    return [lengths.draw(random) for _ in range(count)]


def test_uniform_lengths_reach_both_ends_and_no_further() -> None:
    assert set(draws(parse_lengths("uniform:3:6", "--prompt-tokens"))) == {3, 4, 5, 6}


def test_a_number_is_every_length() -> None:
    assert set(draws(parse_lengths("128", "--prompt-tokens"))) == {128}


def test_normal_lengths_have_their_mean_and_spread_and_are_never_below_one() -> None:
    drawn = draws(parse_lengths("normal:100:20", "--prompt-tokens"))
    assert np.mean(drawn) == pytest.approx(100, abs=2)
    assert np.std(drawn) == pytest.approx(20, abs=2)
    assert min(draws(parse_lengths("normal:2:50", "--prompt-tokens"))) == 1


def test_the_same_seed_draws_the_same_lengths() -> None:
    assert draws(Lengths("uniform", 1, 1000)) == draws(Lengths("uniform", 1, 1000))


def test_lengths_are_shown_as_they_are_written() -> None:
    for text in ("128", "uniform:16:256", "normal:100:20"):
        assert str(parse_lengths(text, "--output-tokens")) == text


@pytest.mark.parametrize(
    "text", ["", "many", "-1", "1.5", "uniform:16", "uniform:16:", "uniform:1:2:3", "zipf:1:2", "uniform:a:b", "²"]
)
def test_what_is_no_length_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(UsageError, match=r"--output-tokens: '.*' is no length") as caught:
        parse_lengths(text, "--output-tokens")
    assert "uniform:LOW:HIGH or normal:MEAN:SD" in caught.value.hint


@pytest.mark.parametrize("text", ["0", "uniform:0:9", "uniform:9:3", "uniform:1:9999999", "normal:0:3"])
def test_lengths_are_at_least_one_and_in_order(text: str) -> None:
    with pytest.raises(UsageError, match="is not from 1 to 1,000,000 tokens, the lower number first"):
        parse_lengths(text, "--prompt-tokens")
