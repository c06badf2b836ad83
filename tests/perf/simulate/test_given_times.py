import pytest

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.simulate import ServiceTimes
from tritonsmith.perf.simulate.given_times import (
    GivenTimes,
    Known,
    is_given,
    parse_times,
    require_times,
    seconds_text,
    with_given,
)


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("1=2ms,8=4.8ms", GivenTimes("", {1: 2000.0, 8: 4800.0})),
        ("1=500us,~20%", GivenTimes("", {1: 500.0}, 0.2)),
        ("m-1.b:1=.5s", GivenTimes("m-1.b", {1: 500_000.0})),
        ("m:~0%", GivenTimes("m", {}, 0.0)),
    ],
)
def test_times_are_rows_and_a_time_with_its_unit_and_how_much_it_varies(text: str, times: GivenTimes) -> None:
    assert is_given(text)
    assert parse_times(text) == times


@pytest.mark.parametrize(
    ("text", "word"),
    [("1=2", "1=2"), ("1=2ms,1=3ms", "1=3ms"), ("0=1ms", "0=1ms"), ("1=0ms", "1=0ms"), ("1=2ms,~9%,~9%", "~9%")],
)
def test_what_is_no_time_is_named(text: str, word: str) -> None:
    with pytest.raises(UsageError, match=f"'{word}' is no rows=time"):
        parse_times(text)


@pytest.mark.parametrize("text", ["build/sweep", "sweep.json", "./1=2", "a b"])
def test_a_path_is_no_times(text: str) -> None:
    assert not is_given(text)


def test_what_is_given_by_hand_stands_in_for_what_was_measured() -> None:
    known = Known({"a": ServiceTimes({1: 10.0}, observed=(0.5, 1.5)), "b": ServiceTimes({1: 20.0})})
    found = with_given(known, [parse_times("b:1=7us"), parse_times("a:~30%")], ("a", "b"))
    assert found.services == {"a": ServiceTimes({1: 10.0}, variation=0.3), "b": ServiceTimes({1: 7.0})}


def test_a_spread_that_is_not_known_is_known_once_all_models_have_one() -> None:
    known = Known({"a": ServiceTimes({1: 10.0}), "b": ServiceTimes({1: 20.0})}, has_spread=False)
    assert not with_given(known, [parse_times("a:~30%")], ("a", "b")).has_spread
    assert with_given(known, [parse_times("a:~30%"), parse_times("b:~0%")], ("a", "b")).has_spread


def test_the_only_model_needs_no_name_one_of_several_does() -> None:
    assert with_given(Known(), [parse_times("1=7us")], ("a",)).services == {"a": ServiceTimes({1: 7.0})}
    with pytest.raises(UsageError, match="of which model"):
        with_given(Known(), [parse_times("1=7us")], ("a", "b"))
    with pytest.raises(UsageError, match=r"no model 'aa' computes here\. Did you mean"):
        with_given(Known(), [parse_times("aa:1=7us")], ("aaa", "b"))
    with pytest.raises(UsageError, match="how much 'a' varies is given, but not how long"):
        with_given(Known(), [parse_times("~20%")], ("a",))


def test_a_model_without_times_is_refused_one_with_a_single_size_is_told_of() -> None:
    with pytest.raises(UsageError, match="no service times for b"):
        require_times(Known({"a": ServiceTimes({1: 1.0})}), ("a", "b"), {"a": 8, "b": 8})
    known = Known({"a": ServiceTimes({2: 1.0}), "b": ServiceTimes({1: 1.0}), "c": ServiceTimes({1: 1.0, 8: 2.0})})
    notes = require_times(known, ("a", "b", "c"), {"a": 8, "b": 0, "c": 16})
    assert [note.partition(" are known")[0] for note in notes] == ["a: only batches of 2 rows"]


def test_a_time_is_told_as_it_is_written() -> None:
    assert [seconds_text(us) for us in (0, 500, 2000, 4800, 1.5e6, 0.25)] == [
        "0us",
        "500us",
        "2ms",
        "4.8ms",
        "1.5s",
        "0.25us",
    ]
