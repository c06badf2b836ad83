"""What `make bench-fuzz` does a hundred thousand times."""

import random
import time
from pathlib import Path

import pytest

from tritonsmith.backends.checking import Question, ask
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.perf.bench import fuzz
from tritonsmith.perf.bench.fuzz import Outcome, run, write_case

COUNT = 3000


@pytest.mark.slow
def test_check_ends_in_findings_or_an_error_whatever_it_is_given() -> None:
    outcome = run(range(COUNT))
    assert not outcome.failures, "\n".join(f"case {one.number}: {one.why}" for one in outcome.failures[:5])
    assert outcome.counts["cases"] == COUNT
    assert outcome.parsed_share >= 0.5
    assert min(outcome.counts[kind] for kind in ("findings", "nothing found", "errors")) > COUNT / 100


def test_a_case_is_made_from_its_number_alone(tmp_path: Path) -> None:
    made = [write_case(tmp_path / name, random.Random("4:8")) for name in ("a", "b")]
    files = [
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*.*") if path.is_file()} for root in made
    ]
    assert files[0]
    assert files[0] == files[1]


def spoilt(monkeypatch: pytest.MonkeyPatch, how: object) -> Outcome:
    monkeypatch.setattr(fuzz, "ask", how)
    return run(range(1))


def test_a_traceback_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_question: Question) -> None:
        raise ValueError("unforeseen")

    assert "unforeseen" in spoilt(monkeypatch, fail).failures[0].why


def test_a_hang_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "LIMIT_S", 0.1)

    def hang(_question: Question) -> None:
        while True:
            time.sleep(0.01)

    assert "more than 0.1 s" in spoilt(monkeypatch, hang).failures[0].why


def test_a_file_outside_is_a_failure_but_an_error_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(question: Question) -> object:
        assert question.path is not None
        (question.path.parent.parent / "secret.txt").read_text()
        return ask(question)

    assert "secret.txt" in spoilt(monkeypatch, read).failures[0].why

    def refuse(_question: Question) -> None:
        raise RepositoryError("no")

    assert not spoilt(monkeypatch, refuse).failures
