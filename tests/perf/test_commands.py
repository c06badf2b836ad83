"""The verbs sweep and report where no server is needed."""

from collections.abc import Callable
from pathlib import Path

import click
import pytest

from tritonsmith.generator.cli import cli
from tritonsmith.generator.errors import TritonsmithError
from tritonsmith.perf.commands import sweep
from tritonsmith.perf.document import Sweep, write_sweep
from tritonsmith.perf.folder import sweep_folder
from tritonsmith.perf.target import Target

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
        (["sweep", "--repeats", "1001"], 2, "--repeats"),
        (["sweep", "--window-ms", "1000000000"], 2, "--window-ms"),
        (["sweep", "--request-rate", "1e9"], 2, "up to 1,000,000"),
        (["sweep", "--repository", "/nowhere"], 4, "no model repository in /nowhere"),
        (["sweep", "--input-data", "/nowhere"], 2, "no input data in /nowhere"),
        (["sweep", "--input", "image"], 2, "'image' is no input"),
        (["sweep", "--input", "image=@/nowhere/*.png"], 2, "no file in '/nowhere/*.png'"),
        (["sweep", "--vary", "count=1"], 2, "cannot vary 'count=1'"),
        (["report", "/nowhere"], 2, "no sweep in /nowhere"),
        (["report", "--pdf"], 2, "No such option"),
        (["report", "--markdown", "--csv"], 2, "--markdown and --csv exclude each other"),
    ],
)
def test_wrong_usage_is_named(
    words: list[str], status: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = ["--output", str(tmp_path / "sweep")] if words[0] == "sweep" else []
    got, error = run(*words, *output)
    assert (got, said in error) == (status, True), error
    assert capsys.readouterr().out == ""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository that no server would load: whoever tries ends with 6."""
    (tmp_path / "models" / "digits").mkdir(parents=True)
    return tmp_path / "models"


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        ("models.digit.max_batch_size=1", "no model 'digit' here. Did you mean 'digits'?"),
        (
            "models.digits.instance_grup.count=1",
            "unknown field 'instance_grup' of ModelConfig. Did you mean 'instance_",
        ),
        ("models.digits.maxBatchSize=1", "Did you mean 'max_batch_size'?"),
        ("models.digits.instance_group.count=1,x", "count=x: expected a whole number, got 'x'"),
        ("models.digits.instance_group.kind=GPU", "Did you mean 'KIND_GPU'?"),
        ("models.digits.instance_group=1", "vary one of them: name, kind, count"),
    ],
)
def test_what_cannot_be_varied_is_told_before_a_server_is_started(vary: str, said: str, repository: Path) -> None:
    status, error = run("sweep", "--repository", repository, "--vary", vary, "--output", repository / "sweep")
    assert (status, said in error) == (2, True), error
    assert len(error) < 300


def test_bad_input_data_is_told_before_a_server_is_started(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"data": [')
    status, error = run("sweep", "--repository", repository, "--input-data", tmp_path / "in.json")
    assert (status, "in.json is not JSON" in error) == (2, True), error


def test_two_sweeps_do_not_share_a_folder(repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    with sweep_folder(folder):
        measuring = folder / ".measuring-1"
        measuring.mkdir()
        status, error = run("sweep", "--repository", repository, "-o", folder)
        assert (status, f"another sweep is measuring into {folder}" in error) == (2, True), error
        assert measuring.is_dir()
    with sweep_folder(folder):
        assert not measuring.is_dir()


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


def test_sweep_says_that_a_running_server_s_tokenizer_is_not_known() -> None:
    (row,) = (option for option in sweep.params if option.name == "tokenizer" and isinstance(option, click.Option))
    assert "with --url none, and a word counts as a token" in str(row.help)
    assert Target("localhost:8000", "localhost:8001").repository is None
