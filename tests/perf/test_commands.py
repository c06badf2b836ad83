"""The verbs sweep and report where no server is needed."""

from collections.abc import Callable
from pathlib import Path

import click
import pytest

from tritonsmith.generator.cli import cli
from tritonsmith.generator.errors import TritonsmithError
from tritonsmith.perf.document import Sweep, write_sweep

MakeSweep = Callable[..., Sweep]


def run(*argv: object) -> tuple[int, str]:
    """Run one command line; returns its exit status and its error."""
    try:
        cli.main([str(word) for word in argv], standalone_mode=False)
    except TritonsmithError as problem:
        return problem.exit_code, str(problem)
    except click.ClickException as problem:
        return problem.exit_code, problem.format_message()
    return 0, ""


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["sweep", "--url", "127.0.0.1:1"], 6, "no Triton answers at 127.0.0.1:1"),
        (["sweep", "--url", "localhost"], 2, "has no port"),
        (["sweep", "--concurrency", "1,x"], 2, "'x' is not a whole number"),
        (["sweep", "--concurrency", "0"], 2, "'0' is not a whole number above 0"),
        (["sweep", "--request-rate", "nan"], 2, "'nan' is not a number above 0"),
        (["sweep", "--repeats", "2"], 2, "--repeats"),
        (["sweep", "--repository", "/nowhere"], 2, "no model repository in /nowhere"),
        (["sweep", "--vary", "count=1"], 2, "cannot vary 'count=1'"),
        (["report", "/nowhere"], 2, "no sweep in /nowhere"),
        (["report", "--pdf"], 2, "No such option"),
    ],
)
def test_wrong_usage_is_named(
    words: list[str], status: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = ["--output", str(tmp_path / "sweep")] if words[0] == "sweep" else []
    got, error = run(*words, *output)
    assert (got, said in error) == (status, True), error
    assert capsys.readouterr().out == ""


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, error = run("sweep", "m", "--url", "127.0.0.1:1", "--output", tmp_path / "file" / "sweep")
    assert (status, "cannot make" in error) == (2, True)


def test_a_missing_perf_analyzer_is_named_before_a_server_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITONSMITH_HOME", str(tmp_path))
    status, error = run("sweep", "--repository", tmp_path)
    assert (status, "doctor --install" in error) == (5, True)


def test_report_writes_the_page_beside_the_document(
    make_sweep: MakeSweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = write_sweep(make_sweep(), tmp_path)
    for argument in (tmp_path, document):
        assert run("report", argument) == (0, "")
        assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("option", "start"),
    [("--html", "<!doctype html>"), ("--markdown", "### digits"), ("--csv", "load_kind,"), ("--json", "{")],
)
def test_report_prints_what_it_is_asked_for(
    option: str, start: str, make_sweep: MakeSweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sweep(make_sweep(), tmp_path)
    assert run("report", tmp_path, option) == (0, "")
    assert capsys.readouterr().out.startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]
