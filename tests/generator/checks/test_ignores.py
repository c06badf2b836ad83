import os
from pathlib import Path

import pytest

from tritonsmith.generator.checks.ignores import read_ignores
from tritonsmith.generator.checks.report import Report, reported
from tritonsmith.generator.checks.select import Selection
from tritonsmith.generator.checks.sources import Sources
from tritonsmith.generator.findings import Finding, Place, Severity


def told(folder: Path, text: str, line: int, code: str = "TS403", name: str = "config.pbtxt") -> Report:
    path = folder / name
    path.write_text(text)
    finding = Finding(Severity.WARNING, "said", Place(str(path), line, 1), code=code)
    return reported([finding], Sources([folder]), Selection())


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1  # tritonsmith: ignore[TS403]\n", 1),
        ("a: 1\n# tritonsmith: ignore[TS403]\nb: 2\n", 3),
        ("a: 1\n# tritonsmith: ignore[TS403]\n\n# another comment\nb: 2\n", 5),
        ("# tritonsmith: ignore[TS403]\n\na: 1\nb: 2\n", 4),
        ("# title\n#tritonsmith:ignore[TS405,TS403]\n", 0),
        ("a: 1  # tritonsmith: ignore[TS4]\n", 1),
        ("a: 1  # tritonsmith: ignore[TS202, TS403] because\n", 1),
    ],
)
@pytest.mark.parametrize("name", ["config.pbtxt", "tritonsmith.yaml", "model.py"])
def test_a_comment_silences_its_line_the_next_or_the_file(tmp_path: Path, text: str, line: int, name: str) -> None:
    report = told(tmp_path, text, line, name=name)
    assert (report.findings, report.ignored) == ((), 1)
    assert report.summary() == "nothing found (1 ignored)"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1  # tritonsmith: ignore[TS403]\nb: 2\n", 2),
        ("a: 1\n# tritonsmith: ignore[TS403]\nb: 2\nc: 3\n", 4),
        ("a: 1\n# tritonsmith: ignore[TS403]\n", 1),
        ("a: 1  # tritonsmith: ignore[TS402]\n", 1),
        ("a: 1  # ignore[TS403]\n", 1),
    ],
)
def test_a_comment_silences_nothing_else(tmp_path: Path, text: str, line: int) -> None:
    assert [finding.code for finding in told(tmp_path, text, line).findings] == ["TS403"]


def test_a_code_that_there_is_not_is_told(tmp_path: Path) -> None:
    found = told(tmp_path, "a: 1\nb: 2  # tritonsmith: ignore[TS40x, TL001, TS403]\n", 2)
    assert [(one.code, one.place.line) for one in found.findings] == [("TS001", 2)]
    assert "there is no check 'TS40x' to ignore. Did you mean 'TS" in found.findings[0].message
    assert found.ignored == 1


@pytest.mark.parametrize("comment", ["ignore[]", "ignore", "ignore TS403", "ignore[ , ]", "ignore[TS403"])
def test_a_comment_without_codes_is_told(tmp_path: Path, comment: str) -> None:
    found = told(tmp_path, f"a: 1  # tritonsmith: {comment}\n", 1).findings
    assert [one.code for one in found] == ["TS403", "TS001"]
    assert "names no codes" in found[1].message


def test_other_words_are_no_comment_of_ours(tmp_path: Path) -> None:
    found = told(tmp_path, "a: 1  # tritonsmith: ignored by nobody\n", 1).findings
    assert [one.code for one in found] == ["TS403"]


def test_what_lies_elsewhere_is_not_read(tmp_path: Path) -> None:
    inside, outside = tmp_path / "repository", tmp_path / "repository2"
    inside.mkdir()
    outside.mkdir()
    (outside / "config.pbtxt").write_text("# tritonsmith: ignore[TS403]\n")
    (inside / "config.pbtxt").symlink_to(outside / "config.pbtxt")
    sources = Sources([inside])
    assert sources.lines(str(outside / "config.pbtxt")) == []
    assert sources.lines(str(inside / "config.pbtxt")) == []
    assert sources.lines(str(inside / ".." / "repository2" / "config.pbtxt")) == []


def test_a_pipe_and_a_folder_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.pbtxt")
    (tmp_path / "b.pbtxt").mkdir()
    assert Sources([tmp_path]).lines(str(tmp_path / "config.pbtxt")) == []
    assert Sources([tmp_path]).lines(str(tmp_path / "b.pbtxt")) == []


def test_a_place_is_where_the_comment_stands() -> None:
    (ignore,) = read_ignores(["a: 1", "  # tritonsmith: ignore[TS4]", "b: 2"], "f")
    assert (ignore.line, ignore.place) == (3, Place("f", 2, 3))
