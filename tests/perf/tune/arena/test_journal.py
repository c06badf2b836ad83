"""What an arena writes down."""

import json
from pathlib import Path

import pytest

from tritonsmith.perf.tune.arena.journal import JOURNAL_NAME, Journal

ONE, TWO = {"candidate": "a", "load": ["concurrency", 1.0]}, {"candidate": "b", "load": ["concurrency", 1.0]}


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    journal = Journal(tmp_path, "mine")
    journal.add(ONE, {"rate": 1}, 1.5)
    journal.add(TWO, {"rate": 2}, 4.0)
    return tmp_path


def test_the_same_questions_in_the_same_order_get_the_same_answers_and_cost_what_they_did(filled: Path) -> None:
    journal = Journal(filled, "mine")
    assert journal.answers == 2
    assert journal.spent_s == 0
    assert journal.answer(ONE) == {"rate": 1}
    assert journal.spent_s == 1.5
    assert journal.is_next(TWO)
    assert journal.answer(TWO) == {"rate": 2}
    assert journal.spent_s == 4.0
    assert not journal.is_replaying
    assert journal.answer(ONE) is None


def test_from_the_first_question_that_differs_on_all_is_asked_anew(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = Journal(filled, "mine")
    assert journal.answer(ONE) == {"rate": 1}
    assert journal.answer(ONE) is None
    assert "asked otherwise than before" in capsys.readouterr().err
    journal.add(ONE, {"rate": 3}, 5.0)
    again = Journal(filled, "mine")
    assert [again.answer(ONE), again.answer(ONE)] == [{"rate": 1}, {"rate": 3}]


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_last_line_that_a_kill_tore_is_dropped(filled: Path, cut: int) -> None:
    path = filled / JOURNAL_NAME
    path.write_bytes(path.read_bytes()[:-cut])
    journal = Journal(filled, "mine")
    assert journal.answers == 1
    assert journal.answer(ONE) == {"rate": 1}
    journal.add(TWO, {"rate": 4}, 6.0)
    lines = path.read_text().splitlines()
    assert len(lines) == 3
    assert json.loads(lines[2])["answer"] == {"rate": 4}


def test_another_identity_begins_anew_and_says_so(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = Journal(filled, "another")
    assert journal.answers == 0
    assert "begun anew" in capsys.readouterr().err
    assert Journal(filled, "mine").answers == 0


def test_damage_in_the_middle_begins_anew_and_says_so(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = filled / JOURNAL_NAME
    head, first, second = path.read_text().splitlines()
    path.write_text(f"{head}\n{first[:20]}\n{second}\n")
    assert Journal(filled, "mine").answers == 0
    assert "cannot be read" in capsys.readouterr().err
