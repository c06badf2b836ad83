from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.ensembles.draw.configs import chain, model
from tritonsmith.ensembles.commands import graph
from tritonsmith.generator.cli import guarded
from tritonsmith.generator.errors import RepositoryError, UsageError

ROOT = Path(__file__).parents[3]
Write = Callable[[Mapping[str, str]], Path]


def run(*words: object) -> str:
    done = CliRunner().invoke(graph, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_our_own_repository_is_drawn() -> None:
    drawn = run(ROOT / "model_repository")
    assert drawn.startswith("digits: ensemble, max_batch_size 64\n")
    assert drawn.count("┌─ ") == 5
    assert "✗" not in drawn


def test_the_readme_shows_our_own_repository_as_it_is_drawn() -> None:
    assert f"```\n{run(ROOT / 'model_repository')}```\n" in (ROOT / "ensembles" / "README.md").read_text("utf-8")


def test_a_spec_is_drawn_as_what_it_builds() -> None:
    spec = ROOT / "ensembles" / "image_classification" / "spec.yaml"
    assert run(spec, "--format", "mermaid") == run(ROOT / "model_repository", "--format", "mermaid")


@pytest.mark.parametrize(
    ("name", "start"),
    [("p.svg", "<svg "), ("p.mmd", "flowchart TB"), ("p.md", "```mermaid\nflowchart"), ("p.txt", "whole: ensemble")],
)
def test_the_ending_decides_the_form(repository: Write, tmp_path: Path, name: str, start: str) -> None:
    folder = repository({"a": model(), "whole": chain("a")})
    assert run(folder, "--output", tmp_path / "new" / name).strip() == str(tmp_path / "new" / name)
    assert (tmp_path / "new" / name).read_text(encoding="utf-8").startswith(start)


def test_a_file_without_a_known_ending_is_refused(repository: Write) -> None:
    with pytest.raises(UsageError, match=r"'out\.png' does not say what to draw"):
        run(repository({"a": model()}), "--output", "out.png")


def test_a_model_that_is_not_there_is_wrong_usage(repository: Write) -> None:
    with pytest.raises(UsageError, match="Did you mean 'whole'"):
        run(repository({"a": model(), "whole": chain("a")}), "--model", "hole")


def test_a_path_that_is_neither_ends_with_4(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError):
        run(tmp_path)
    assert guarded(lambda: graph.main([str(tmp_path)], standalone_mode=False)) == 4


def test_a_file_that_cannot_be_written_is_wrong_usage(repository: Write, tmp_path: Path) -> None:
    (tmp_path / "taken.svg").mkdir()
    with pytest.raises(UsageError, match="cannot write"):
        run(repository({"a": model()}), "--output", tmp_path / "taken.svg")


def test_what_is_broken_is_drawn_with_its_finding(repository: Write) -> None:
    drawn = run(repository({"bad": "no_such_field: 1", "whole": chain("bad", "gone")}))
    assert "its configuration is not known" in drawn
    assert "not in the repository" in drawn
    assert "✗ TS" in drawn


def test_of_many_findings_alike_the_first_are_drawn(repository: Write) -> None:
    drawn = run(repository({"a": model() + 'input { name: "x" data_type: TYPE_FP32 dims: 1 }\n' * 1_000}))
    assert "more like it" in drawn
    assert drawn.count("TS324") == 21
