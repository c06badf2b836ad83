"""ONNX's backend test suite: what Triton cannot express is refused by build, for one of a closed list of reasons."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tritonsmith.perf.bench.onnx_cases import REASONS, Case, DataSet, read_cases, run_in_process, why_not_expressible
from tritonsmith.perf.bench.onnx_suite import Verdict, as_text, sample_cases, summarize


def case(name: str) -> Case:
    return next(each for each in read_cases() if each.name == name)


@pytest.mark.slow
def test_every_case_is_built_or_refused_for_a_reason_of_the_list(tmp_path: Path) -> None:
    reasons = Counter(why_not_expressible(each, tmp_path) for each in read_cases())
    assert sum(reasons.values()) == 1765
    assert reasons[""] >= 1290
    assert set(reasons) <= {"", *REASONS.values()}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("test_add", ""),
        ("test_size", "scalar without batch"),
        ("test_reduce_sum_empty_set", "zero dimension"),
        ("test_cast_FLOAT_to_INT4", "tensor type that Triton lacks"),
        ("test_sequence_insert_at_back", "sequence, map or optional type"),
    ],
)
def test_the_reason_is_the_one_that_holds(tmp_path: Path, name: str, reason: str) -> None:
    assert why_not_expressible(case(name), tmp_path) == reason


def test_outputs_are_judged_by_the_suites_own_rule() -> None:
    add = case("test_add")
    (data,) = add.data_sets()
    right = data.outputs["sum"]
    assert add.difference(data, {"sum": right}) == ""
    assert "Mismatched elements" in add.difference(data, {"sum": right + np.float32(0.1)})
    assert "incorrect shape" in add.difference(data, {"sum": right[:1]})
    assert add.difference(data, {"sum": right.astype(np.float64)}) != ""


def test_text_is_compared_as_text() -> None:
    expected = DataSet({}, {"y": np.array(["é"], object)})
    assert case("test_add").difference(expected, {"y": np.array(["é".encode()], object)}) == ""


def test_in_process_runs_say_what_is_wrong() -> None:
    verdicts = run_in_process([case("test_add"), case("test_image_decoder_decode_png_rgb")])
    assert verdicts["test_add"] == ""
    assert "ImageDecoder" in verdicts["test_image_decoder_decode_png_rgb"]


@pytest.mark.slow
def test_the_sample_is_always_the_same(tmp_path: Path) -> None:
    names = [each.name for each in sample_cases(5, tmp_path)]
    assert names == [each.name for each in sample_cases(5, tmp_path)]
    assert len(set(names)) == 5


def test_the_summary_counts_what_passes_and_names_what_disagrees() -> None:
    verdicts = [
        Verdict("a", ""),
        Verdict("b", "", served="differs"),
        Verdict("c", "", in_process="fails"),
        Verdict("d", "zero dimension"),
    ]
    summary = summarize(verdicts)
    assert (summary["expressible"], summary["pass_in_process"], summary["agree_through_server"]) == (3, 2, 1)
    assert summary["disagree"] == {"b": "differs"}
    text = as_text(summary)
    assert "1 of those agree through the server (50.00%)" in text
    assert "1 refused by build: zero dimension" in text
