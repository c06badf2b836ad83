"""A fixed sample of ONNX's backend test suite, through the real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritonsmith.perf.bench.onnx_suite import run_suite, sample_cases, summarize

pytestmark = [pytest.mark.live, pytest.mark.slow]


def test_sixty_cases_agree_through_the_server(tmp_path: Path) -> None:
    cases = sample_cases(60, tmp_path / "alone")
    summary = summarize(run_suite(cases, tmp_path))
    assert summary["expressible"] == 60
    assert summary["pass_in_process"] >= 50
    assert summary["disagree"] == {}


def test_a_run_that_was_interrupted_goes_on_where_it_was(tmp_path: Path) -> None:
    one, two = sample_cases(2, tmp_path / "alone")
    (first,) = run_suite([one], tmp_path)
    remembered = (tmp_path / "verdicts.jsonl").read_text()
    assert run_suite([one, two], tmp_path)[0] == first
    assert (tmp_path / "verdicts.jsonl").read_text().startswith(remembered)
