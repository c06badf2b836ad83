"""The document of a tuning, and what is said of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tritonsmith.generator.errors import RepositoryError, UsageError
from tritonsmith.perf.limits import Limit
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.tune.core import Candidate, Wish
from tritonsmith.perf.tune.document import TUNINGS, Tuning
from tritonsmith.perf.tune.report.text import as_text
from tritonsmith.perf.tune.report.words import cheaper, goal, short

MakeTuning = Callable[..., Tuning]
RATES = tuple(Load("request_rate", value) for value in (100, 400))


def test_what_is_written_is_read_again(make_tuning: MakeTuning, tmp_path: Path) -> None:
    tuning = make_tuning()
    TUNINGS.write(tuning, tmp_path)
    for path in (tmp_path, tmp_path / "tune.json"):
        assert TUNINGS.as_json(TUNINGS.read(path)) == TUNINGS.as_json(tuning)
    assert TUNINGS.read(tmp_path).found.standings == tuning.found.standings


def test_a_document_of_another_kind_is_refused(make_tuning: MakeTuning, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no tuning in"):
        TUNINGS.read(tmp_path)
    path = TUNINGS.write(make_tuning(), tmp_path)
    path.write_text(path.read_text().replace("tritonsmith.tune/1", "tritonsmith.tune/9"))
    with pytest.raises(RepositoryError, match=r"schema 'tritonsmith.tune/9' is not"):
        TUNINGS.read(tmp_path)
    path.write_text('{"schema": "tritonsmith.tune/1"}')
    with pytest.raises(RepositoryError, match="plan: Field required"):
        TUNINGS.read(tmp_path)
    path.write_text("[]")
    with pytest.raises(RepositoryError, match="not a JSON document"):
        TUNINGS.read(tmp_path)


def test_the_schema_stands_in_the_json(make_tuning: MakeTuning) -> None:
    assert TUNINGS.as_json(make_tuning())["schema"] == "tritonsmith.tune/1"


def test_the_text_names_the_pick_its_interval_the_tie_and_the_change(make_tuning: MakeTuning) -> None:
    text = as_text(make_tuning())
    first, second = text.splitlines()[:2]
    assert first == (
        "pick: digits, classifier.instance_group.count=2, the best of 5 configurations for throughput with "
        "p99 <= 50 ms, at concurrency 1 to 16"
    )
    assert second == "  1,240 (1,210 to 1,270) answers/s at concurrency 16; predicted 1,190"
    assert "tied with:\n  classifier.instance_group.count=3: 1,250" in text
    assert "eliminated:\n  classifier.instance_group.count=1: 48% below the leader" in text
    assert "classifier.count=2 against classifier.count=3: -0.8% (-3.9% to +2.1%) over 8 pairs" in text
    assert "build and start 3 s, calibration 20 s, search 71 s, end 2 s: 96 of 120 s" in text
    assert "written:\n--- a/tritonsmith.yaml" in text


def test_narrow_columns_leave_out_the_model_and_what_holds_a_field() -> None:
    name = "digits.instance_group.count=2, digits.max_batch_size=8, other.dynamic_batching.max_queue_delay=1"
    assert short(name, "digits") == "count=2, max_batch_size=8, other.max_queue_delay=1"
    assert short("digits.dynamic_batching=null", "digits") == "dynamic_batching=null"
    assert short("as it is", "digits") == "as it is"


def test_a_tie_says_what_the_pick_saves() -> None:
    costly, cheap = Candidate("a", {}, (2.0, 500.0, 8.0, 1.0)), Candidate("b", {}, (2.0, 100.0, 16.0, 1.0))
    assert cheaper(cheap, costly) == "and the pick has 100 us of queue delay, not 500"
    assert cheaper(cheap, cheap) == "and the pick does not cost more"


def test_a_patch_that_was_only_printed_is_not_called_written(make_tuning: MakeTuning) -> None:
    assert "\nnot written:\n---" in as_text(make_tuning(is_written=False))
    assert "tritonsmith.yaml has this configuration already" in as_text(make_tuning(change=""))


def test_without_a_pick_the_limits_are_named(make_tuning: MakeTuning) -> None:
    text = as_text(make_tuning(pick=None, load=None, change=""))
    assert text.startswith("none: digits, no configuration of 5 keeps p99 <= 50 ms")
    assert "already" not in text


def test_out_of_budget_with_nothing_told_apart_is_inconclusive(make_tuning: MakeTuning) -> None:
    tuning = make_tuning()
    untold = tuple(replace(one, fate="tied") if one.fate == "eliminated" else one for one in tuning.found.standings)
    untold = tuple(one for one in untold if one.fate != "failed")
    assert make_tuning(standings=untold, is_out_of_budget=True).is_inconclusive
    assert make_tuning(pick=None, is_out_of_budget=True).is_inconclusive  # one was never measured
    ended = tuple(replace(one, fate="eliminated") for one in tuning.found.standings)
    assert not make_tuning(pick=None, standings=ended, is_out_of_budget=True).is_inconclusive
    assert not make_tuning(standings=untold).is_inconclusive  # all tied, and shown to be
    assert not make_tuning(is_out_of_budget=True).is_inconclusive  # one was eliminated
    assert not make_tuning(standings=untold[:1], is_out_of_budget=True).is_inconclusive  # there is no other


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (Wish("latency", (), RATES), "latency, at 400 requests/s"),
        (Wish("cost", (), RATES, price_per_hour=2), "cost, at 100 to 400 requests/s"),
        (
            Wish("goodput", (Limit("ttft_ms", 200), Limit("memory_mib", 512)), (Load("concurrency", 8),)),
            "goodput with ttft <= 200 ms and memory <= 512 mib, at concurrency 8",
        ),
    ],
)
def test_a_wish_in_words(wish: Wish, said: str) -> None:
    assert goal(wish) == said
