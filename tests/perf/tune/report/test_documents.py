"""The verb report on what `tune` left."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.report.documents import report_on, reports_on
from tritonsmith.perf.tune.document import TUNINGS, Tuning

MakeTuning = Callable[..., Tuning]


def test_the_page_is_written_beside_the_document(make_tuning: MakeTuning, tmp_path: Path) -> None:
    document = TUNINGS.write(make_tuning(), tmp_path)
    for path in (tmp_path, document):
        assert report_on(path, "") == str(tmp_path / "tune.html")
    assert (tmp_path / "tune.html").read_text().startswith("<!doctype html>")


def test_a_tuning_is_printed_in_the_forms_that_it_has(make_tuning: MakeTuning, tmp_path: Path) -> None:
    TUNINGS.write(make_tuning(), tmp_path)
    assert report_on(tmp_path, "html").startswith("<!doctype html>")
    assert json.loads(report_on(tmp_path, "json"))["schema"] == "tritonsmith.tune/1"
    markdown = report_on(tmp_path, "markdown")
    assert markdown.startswith("### pick: digits, classifier.instance\\_group.count=2")
    assert "```diff\n--- a/tritonsmith.yaml" in markdown
    with pytest.raises(UsageError, match="what `tune` found has no --csv"):
        report_on(tmp_path, "csv")


def test_of_several_documents_in_a_folder_the_newest_is_meant(make_tuning: MakeTuning, tmp_path: Path) -> None:
    written = TUNINGS.write(make_tuning(), tmp_path)
    other = tmp_path / "gate.json"
    other.write_text("{}")
    os.utime(other, (1, 1))
    assert reports_on(tmp_path).verb == "tune"
    os.utime(written, (0, 0))
    assert reports_on(tmp_path).verb == "gate"


@pytest.mark.parametrize("text", ["", "[]", '{"schema": "tritonsmith.tuner/1"}', "{}"])
def test_what_is_no_document_of_ours_is_taken_for_a_sweep_s(text: str, tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    path.write_text(text)
    assert reports_on(path).verb == reports_on(tmp_path).verb == reports_on(tmp_path / "none").verb == "sweep"
