from typing import Any

import numpy as np
import pytest

from tritonsmith.perf.gate.answers import Answers, find_difference


def answers(*values: Any, name: str = "y") -> Answers:
    return [[{name: np.asarray(value)}] for value in values]


def test_the_same_answers_do_not_differ() -> None:
    one = answers([[0.1, 0.9]], [[np.nan, np.inf]], name="scores")
    assert find_difference(one, one, 0.0) == ""


@pytest.mark.parametrize(
    ("expected", "got", "said"),
    [
        ([0.0, 1000.0], [0.5, 1000.0], ""),
        ([0.0, 1000.0], [2.0, 1000.0], "row 1, output 'y': differs by 2, the largest value is 1e+03"),
        ([1, 2], [1, 3], "row 1, output 'y': the values differ"),
        ([b"seven"], [b"three"], "the values differ"),
        ([1.0, 2.0], [1.0], "float64 [1] instead of float64 [2]"),
        ([1.0], [1], "int64 [1] instead of float64 [1]"),
        ([1.0, np.nan], [1.0, 2.0], "NaN or infinity in other places"),
    ],
)
def test_what_differs_is_named(expected: list[Any], got: list[Any], said: str) -> None:
    found = find_difference(answers(expected), answers(got), 0.001)
    assert said in found
    assert bool(said) == bool(found)


def test_other_outputs_and_other_numbers_of_responses_are_named() -> None:
    assert find_difference(answers([1.0]), answers([1.0], name="z"), 0.0) == "row 1: outputs z instead of y"
    assert find_difference([[{}, {}]], [[{}]], 0.0) == "row 1: 1 responses instead of 2"
