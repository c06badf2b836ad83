"""What an HPA asks for, given each pod's metric."""

from __future__ import annotations

import pytest

from tritonsmith.perf.bench.scaling import desired_replicas


@pytest.mark.parametrize(
    ("values", "replicas"),
    [
        ({"a": 3.0, "b": 1.0}, 4),
        ({"a": 1.05, "b": 1.05}, 2),  # within its tolerance
        ({"a": 1.2, "b": 1.0, "c": 1.0, "d": 1.3}, 5),
        ({"a": 0.0, "b": 0.0}, 0),  # its minimum then holds
        ({"a": 0.4, "b": 0.0}, 1),
    ],
)
def test_replicas_follow_the_mean_over_the_target(values: dict[str, float | None], replicas: int) -> None:
    assert desired_replicas(values, 1) == replicas


def test_a_pod_without_a_value_is_neither_given_away_nor_a_reason_for_more() -> None:
    assert desired_replicas({"a": 0.0, "b": None}, 1) == 1
    assert desired_replicas({"a": 1.5, "b": None}, 1) == 2
    assert desired_replicas({"a": 5.0, "b": None}, 1) == 5
    assert desired_replicas({"a": None, "b": None}, 1) == 2
