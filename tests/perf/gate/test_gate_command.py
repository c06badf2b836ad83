"""The verb gate where no server is needed."""

import json
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from tritonsmith.generator.cli import cli
from tritonsmith.generator.errors import AnswerIsNo, TritonsmithError, UnstableError
from tritonsmith.perf.gate.cli import read_share, require_pass, show
from tritonsmith.perf.gate.document import Gate

MakeGate = Callable[..., Gate]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ([], 2, "compared with what?"),
        (["--baseline", "main", "--self-test"], 2, "leave out --baseline"),
        (["--self-test", "--tolerance", "p51=5%"], 2, "'p51' is no metric of a gate"),
        (["--self-test", "--tolerance", "p50"], 2, "--tolerance p50: '' is no share"),
        (["--self-test", "--tolerance", "p50=150%"], 2, "'150%' is no share"),
        (["--self-test", "--tolerance", "p50=5%", "--tolerance", "p50=4%"], 2, "two tolerances of p50"),
        (["--self-test", "--answers-within", "x"], 2, "--answers-within: 'x' is no share"),
        (["--self-test", "--concurrency", "0"], 2, "'0' is not a whole number above 0"),
        (["--self-test", "--input-data", "/nowhere"], 2, "no input data in /nowhere"),
        (["--self-test", "--budget-s", "1"], 2, "--budget-s"),
        (["--self-test", "--json", "--markdown"], 2, "exclude each other"),
        (["nowhere", "--baseline", "neither"], 2, "neither a folder nor a revision"),
    ],
)
def test_wrong_usage_is_named(words: list[str], status: int, said: str, tmp_path: Path) -> None:
    try:
        cli.main(["gate", *words, "--output", str(tmp_path / "gate")], standalone_mode=False)
    except TritonsmithError as problem:
        got, error = problem.exit_code, str(problem)
    except click.ClickException as problem:
        got, error = problem.exit_code, problem.format_message()
    assert (got, said in error) == (status, True), error


def test_shares_are_read_with_and_without_a_sign() -> None:
    assert [read_share(text, "--x") for text in ("5%", "0.05", "0", "0.1%")] == pytest.approx([0.05, 0.05, 0, 0.001])


def test_a_gate_leaves_its_files_and_prints_what_it_is_asked_for(make_gate: MakeGate, tmp_path: Path) -> None:
    gate = make_gate(1.1, pairs=12)
    assert "report: " in show(gate, tmp_path, form="text")
    assert json.loads(show(gate, tmp_path, form="json"))["verdict"]["word"] == "regress"
    assert show(gate, tmp_path, form="markdown").startswith("<!-- tritonsmith gate -->")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gate.html", "gate.md", "gate.xml"]


def test_in_a_github_workflow_the_step_has_a_summary(
    make_gate: MakeGate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    (tmp_path / "summary").write_text("before\n")
    show(make_gate(), tmp_path, form="text")
    assert (tmp_path / "summary").read_text().startswith("before\n<!-- tritonsmith gate -->")


def test_self_tests_in_one_folder_are_counted_together(make_gate: MakeGate, tmp_path: Path) -> None:
    from dataclasses import replace

    gate = replace(make_gate(), is_self_test=True)
    show(gate, tmp_path, form="text")
    assert "0 false alarms in 2 self-tests" in show(gate, tmp_path, form="text")


def test_the_exit_status_is_the_verdict_s(make_gate: MakeGate) -> None:
    require_pass(make_gate(1.0))
    with pytest.raises(AnswerIsNo):
        require_pass(make_gate(1.1, pairs=12))
    with pytest.raises(UnstableError):
        require_pass(make_gate(1.0, pairs=3))
