"""The benchmark of the gate: what is counted, what is kept, what is said."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.bench.gate_real import (
    RUNS,
    Done,
    closing_table,
    in_order,
    judged,
    read_done,
    read_runs,
    result_of,
    summary_of,
)
from tritonsmith.perf.files import write_by_rename
from tritonsmith.perf.gate.document import Gate

MakeGate = Callable[..., Gate]


@pytest.fixture
def done(make_gate: MakeGate) -> list[Done]:
    """All gates, as they should be."""
    kinds = {"alike": make_gate(1.0, pairs=12), "slower": make_gate(1.1, pairs=12)}
    return [summary_of(kinds[kind], "here", kind, number) for kind, number in in_order(RUNS)]


def test_both_kinds_are_mixed_all_along() -> None:
    order = list(in_order(RUNS))
    assert Counter(kind for kind, _ in order) == RUNS
    assert Counter(kind for kind, _ in order[:40])["slower"] in (9, 10, 11)
    assert list(in_order({"alike": 1, "slower": 0})) == [("alike", 0)]


def test_all_goals_are_met_by_gates_that_are_right(done: list[Done]) -> None:
    assert all(is_met for *_, is_met in judged(done).values())
    said = closing_table(done)
    assert "60 of 60" in said
    assert "20 of 20" in said
    assert "steal 0.0% at most" in said


@pytest.mark.parametrize(
    ("kind", "change", "count", "goal"),
    [
        ("alike", {"word": "regress"}, 4, "false alarms"),
        ("alike", {"word": "inconclusive"}, 16, "alike and pass"),
        ("slower", {"word": "inconclusive"}, 5, "10% slower and found"),
        ("alike", {"smallest_visible": 0.051}, 1, "passed without sight of 5%"),
        ("slower", {"seconds": 180.5}, 1, "took longer than allowed"),
        ("alike", {"seconds": 120.5}, 1, "took longer than allowed"),
    ],
)
def test_each_goal_can_be_missed(kind: str, change: dict[str, object], count: int, goal: str, done: list[Done]) -> None:
    places = [place for place, one in enumerate(done) if one.kind == kind][:count]
    spoilt = [replace(one, **change) if place in places else one for place, one in enumerate(done)]  # type: ignore[arg-type]
    assert [name for name, (*_, is_met) in judged(spoilt).items() if not is_met] == [goal]
    assert "no" in closing_table(spoilt)


def test_what_is_committed_has_every_gate_with_what_the_machine_did(done: list[Done]) -> None:
    result = result_of(done, None)
    gates = result["gates"]
    assert isinstance(gates, list)
    assert len(gates) == 80
    assert {"load_average", "steal_share", "most_steal_share", "foreign_cores"} <= set(gates[0])
    assert result["false_alarm_rate_95_bound"] == pytest.approx(0.0487, abs=0.0001)  # none of 60


def test_a_gate_of_another_machine_is_not_counted(done: list[Done], tmp_path: Path) -> None:
    from tritonsmith.perf.bench.gate_real import _DONE

    path = write_by_rename(tmp_path / "alike-00.json", _DONE.dump_json(done[0]))
    assert read_done(path, "here") == done[0]
    assert read_done(path, "elsewhere") is None
    assert read_done(tmp_path / "nowhere.json", "here") is None


def test_how_many_is_two_numbers() -> None:
    assert read_runs("6,2") == {"alike": 6, "slower": 2}
    for text in ("6", "6,2,1", "a,b", "-1,2"):
        with pytest.raises(UsageError, match="--runs"):
            read_runs(text)
