"""What a report says of streamed answers."""

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tritonsmith.perf.document import Sweep, read_sweep
from tritonsmith.perf.measure.profile import Profile
from tritonsmith.perf.measure.streams import NO_GOALS, Goals, Streams, measure_streams
from tritonsmith.perf.report import render_report, table_text
from tritonsmith.perf.summary import summarise

RECORDED = Path(__file__).parents[1] / "recorded"
ChangeMeasurements = Callable[..., Sweep]
MakeSweep = Callable[..., Sweep]
MS = 1_000_000


def streams_of(responses: int, requests: int = 2000) -> Streams:
    """Requests 1 ms apart over 2 s; the first token after 20 ms, further ones every 5 ms."""
    sent_ns = np.arange(requests) * MS
    arrived_ns = (sent_ns[:, None] + 20 * MS + np.arange(responses) * 5 * MS).ravel()
    counts = np.full(requests, responses)
    windows_ns = np.array([0, 700, 1400, 2000]) * MS
    return measure_streams(Profile(sent_ns, counts, arrived_ns, np.ones_like(arrived_ns), "responses", windows_ns, ""))


@pytest.fixture
def streamed(make_sweep: MakeSweep, change_measurements: ChangeMeasurements) -> Sweep:
    goals = Goals(ttft_ms=20, tpot_ms=4)
    sweep = change_measurements(make_sweep(counts=(1, 2)), lambda cell: True, streams=streams_of(4))
    return replace(sweep, plan=replace(sweep.plan, goals=goals, prompts="256 prompts of 8 tokens at random"))


def test_the_terminal_tables_have_a_spread_for_every_number(streamed: Sweep) -> None:
    blocks = table_text(streamed).split("\n\n")
    assert blocks[1].splitlines()[0].split() == [
        "load",
        "tokens/s",
        "tokens",
        "each",
        "TTFT",
        "p50",
        "ms",
        "TTFT",
        "p99",
        "ms",
    ]
    assert "goodput/s (TTFT 20 ms, TPOT 4 ms)" in blocks[2].splitlines()[0]
    rows = [line for block in blocks[1:3] for line in block.splitlines()[1:]]
    assert len(rows) == 12
    assert {row.count(" to ") for row in rows[:6]} == {4}
    assert {row.count(" to ") for row in rows[6:]} == {4}
    assert "A response counts as one token" in blocks[3]


def test_numbers_are_those_of_the_streams(streamed: Sweep) -> None:
    point = summarise(streamed)[0].streams
    assert point
    assert {name: one.value for name, one in point.times.items() if name.endswith("p50_us")} == {
        "ttft_p50_us": 20_000,
        "tpot_p50_us": 5_000,
        "inter_token_p50_us": 5_000,
    }
    assert point.output_tokens_per_s.value == 4_000
    assert point.output_tokens.value == 4
    assert (point.good_share, point.goodput_per_s and point.goodput_per_s.value) == (0, 0)  # 5 ms miss a TPOT of 4


def test_goodput_is_judged_by_the_plans_goals_without_measuring_again(streamed: Sweep) -> None:
    kinder = replace(streamed, plan=replace(streamed.plan, goals=Goals(ttft_ms=20, tpot_ms=5)))
    point = summarise(kinder)[0].streams
    assert point and point.goodput_per_s
    assert point.good_share == 1
    assert point.goodput_per_s.value == pytest.approx(2000 / kinder.cells[0].measurement.measured_s)


def test_without_goals_there_is_no_goodput(streamed: Sweep) -> None:
    plain = replace(streamed, plan=replace(streamed.plan, goals=NO_GOALS))
    for form in ("html", "markdown", "csv"):
        assert "oodput" not in render_report(plain, form)
    assert json.loads(render_report(plain, "json"))["points"][0]["streams"]["goodput_per_s"] is None


def test_answers_of_one_response_have_a_first_token_and_no_others(
    make_sweep: MakeSweep, change_measurements: ChangeMeasurements
) -> None:
    sweep = change_measurements(make_sweep(), lambda cell: True, streams=streams_of(1))
    assert [line.split()[-3:] for line in table_text(sweep).split("\n\n")[2].splitlines()[1:]] == [["-", "-", "-"]] * 3
    assert "answers have a single response" in render_report(sweep, "html")
    [row, *_] = csv.DictReader(io.StringIO(render_report(sweep, "csv")))
    assert "ttft_p50_us" in row
    assert "tpot_p50_us" not in row


def test_too_few_values_beyond_a_quantile_are_marked(
    make_sweep: MakeSweep, change_measurements: ChangeMeasurements
) -> None:
    sweep = change_measurements(make_sweep(), lambda cell: True, streams=streams_of(4, requests=900))
    point = summarise(sweep)[0].streams
    assert point
    assert point.unreliable == ("ttft_p99_us", "tpot_p99_us")  # the 2,700 gaps are enough
    assert "fewer than ten values beyond it" in table_text(sweep)


def test_the_csv_has_a_column_with_its_unit_for_every_number(streamed: Sweep) -> None:
    row = next(csv.DictReader(io.StringIO(render_report(streamed, "csv"))))
    for kind in ("ttft", "tpot", "inter_token"):
        for quantile in ("mean", "p50", "p90", "p99"):
            assert {f"{kind}_{quantile}_us{end}" for end in ("", "_low", "_high")} <= set(row)
    assert (row["output_tokens_per_s"], row["goodput_per_s"], row["good_share"]) == ("4000.0", "0.0", "0.0")
    assert row["tokens_by"] == "responses"


def test_the_markdown_has_the_tables(streamed: Sweep) -> None:
    text = render_report(streamed, "markdown")
    assert "| load | tokens/s | tokens each | TTFT p50 ms | TTFT p99 ms |\n|---|--:|--:|--:|--:|\n" in text
    assert "| ITL p50 ms | ITL p99 ms | TPOT p50 ms | goodput/s (TTFT 20 ms, TPOT 4 ms) |" in text


def test_the_page_draws_tokens_over_each_kind_of_load_within_the_drawing(streamed: Sweep) -> None:
    page = render_report(streamed, "html")
    [section] = re.findall(r'<section id="tokens">.*?</section>', page, re.DOTALL)
    drawings = [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", section, re.DOTALL)]
    assert [drawing.get("aria-label") for drawing in drawings] == [
        "Times of tokens over requests in flight",
        "Tokens per second over requests in flight",
        "Times of tokens over requests sent per second",
        "Tokens per second over requests sent per second",
    ]
    for drawing in drawings:
        for element in drawing.iter():
            for names, limit in ((("x", "x1", "x2", "cx"), 1040), (("y", "y1", "y2", "cy"), 340)):
                assert all(0 <= float(element.get(name, 0)) <= limit for name in names), element.attrib


def test_the_page_says_how_tokens_were_counted_and_prompts_made(streamed: Sweep) -> None:
    page = render_report(streamed, "html")
    assert "A response counts as one token" in page
    assert "What a decoupled model does after its execute returned is in no phase" in page
    assert "Goodput counts the requests with TTFT 20 ms, TPOT 4 ms at most." in page
    assert "<dt>Input</dt><dd>256 prompts of 8 tokens at random</dd>" in page


def test_tokens_in_bunches_are_told_since_their_median_gap_says_little(
    make_sweep: MakeSweep, change_measurements: ChangeMeasurements
) -> None:
    even = streams_of(4)
    assert even.inter_token
    bunched = replace(even, inter_token=replace(even.inter_token, p50_us=5.3))
    told = summarise(change_measurements(make_sweep(), lambda cell: True, streams=bunched))[0].remarks
    [remark] = told
    assert remark.startswith("tokens came in bunches: half of them within 0.0053 ms of the one before, 5 ms apart on")
    assert summarise(change_measurements(make_sweep(), lambda cell: True, streams=even))[0].remarks == ()


def test_a_sweep_without_streams_says_nothing_of_them(make_sweep: MakeSweep) -> None:
    page = render_report(make_sweep(), "html")
    assert "TTFT" not in page
    assert "decoupled" not in page
    assert 'id="tokens"' not in page


def test_a_recorded_sweep_is_shown() -> None:
    sweep = read_sweep(RECORDED / "sweep_3.json")
    assert "TTFT p50 ms" in table_text(sweep)
    assert render_report(sweep, "html").count("<svg") == 6
