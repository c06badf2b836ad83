import contextlib
import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tritonsmith.generator.errors import ServerError, UnstableError, UsageError
from tritonsmith.generator.process import Completed
from tritonsmith.perf.measure.analyzer import (
    AnalyzerRun,
    AnalyzerTool,
    analyzer_argv,
    arrival_gaps_us,
    require_data,
    run_analyzer,
)
from tritonsmith.perf.measure.load import Load

RECORDED = Path(__file__).parents[1] / "recorded"
FAILURES: dict[str, Any] = json.loads((RECORDED / "failures.json").read_text())
FOUR = AnalyzerRun("pipe", "127.0.0.1:8001", Load("concurrency", 4))
RATE = AnalyzerRun("pipe", "127.0.0.1:8001", Load("request_rate", 100))


def recorded_failure(case: str, folder: Path) -> Completed:
    for name in FAILURES[case]["files"]:
        (folder / {"load.json": "profile.json"}.get(name, name)).write_bytes(b"{}")
    return Completed(("perf_analyzer",), FAILURES[case]["returncode"], "", FAILURES[case]["stderr"], 1.0)


def test_it_always_measures_three_windows_and_keeps_them() -> None:
    argv = " ".join(analyzer_argv("pa", FOUR))
    assert "-s 999 -r 3" in argv
    assert "--request-count" not in argv


def test_exports_have_bare_names() -> None:
    argv = analyzer_argv("pa", FOUR)
    assert "/" not in argv[argv.index("-f") + 1] + argv[argv.index("--profile-export-file") + 1]


def test_a_rate_is_sent_on_our_schedule_without_waiting_for_answers() -> None:
    argv = analyzer_argv("pa", RATE)
    assert "--async" in argv
    assert argv[argv.index("--request-intervals") + 1] == "intervals.txt"
    assert "--async" not in analyzer_argv("pa", FOUR)


def test_a_decoupled_model_is_streamed() -> None:
    for load in (Load("concurrency", 2), Load("request_rate", 5)):
        argv = analyzer_argv("pa", AnalyzerRun("chat", "h:1", load, is_decoupled=True))
        assert argv.count("--async") == argv.count("--streaming") == 1


@pytest.mark.parametrize("load", [Load("concurrency", 1), Load("concurrency", 64), Load("request_rate", 1)], ids=str)
def test_warm_up_has_more_requests_than_perf_analyzer_has_threads(load: Load) -> None:
    threads = load.value if load.kind == "concurrency" else 4
    assert AnalyzerRun("m", "h:1", load).warmup_requests > threads


@pytest.mark.parametrize("rate", [2, 100, 777, 5000])
def test_arrivals_have_the_rate_that_was_asked(rate: float) -> None:
    gaps_us = arrival_gaps_us(rate, measured_s=1.8, seed=3)
    assert len(gaps_us) / sum(gaps_us) * 1e6 == pytest.approx(rate, rel=0.001)
    assert np.std(gaps_us) / np.mean(gaps_us) == pytest.approx(1.0, abs=4 / len(gaps_us) ** 0.5)  # exponential


def test_the_greatest_rate_over_the_longest_window_has_a_schedule_that_fits_into_memory() -> None:
    gaps_us = arrival_gaps_us(1e6, measured_s=2160, seed=0)
    assert len(gaps_us) == 1_000_000
    assert min(gaps_us) >= 1


def test_arrivals_differ_by_seed_and_repeat_with_it() -> None:
    assert arrival_gaps_us(100, 1.8, 1) == arrival_gaps_us(100, 1.8, 1) != arrival_gaps_us(100, 1.8, 2)


@pytest.mark.parametrize(
    ("case", "error", "said"),
    [
        ("downgrpc", ServerError, "Connection refused"),
        ("downhttp", ServerError, "Couldn't connect"),
        ("unknown", ServerError, "'nosuch' is not found"),
        ("version", ServerError, "version 7 is not found"),
        ("badshape", ServerError, "batch-size must be <= 16"),
        ("braw", ServerError, "expecting string of length 1196314761"),
        ("unstable", UnstableError, "within 3 measurement windows"),
        ("novalid", UnstableError, "No valid requests recorded"),
        ("overlimit", UnstableError, "went over the set limit"),
        ("badjson", UsageError, "failed to parse the specified json file"),
        ("missingtensor", UsageError, "missing tensor pixels"),
        ("wrongcount", UsageError, "unable to find float data"),
        ("exists", UsageError, "Path must not already exist"),
        ("nonstream", UsageError, "Decoupled models must be run with"),
    ],
)
def test_every_failure_keeps_its_reason(case: str, error: type[Exception], said: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=said.replace("(", r"\(")) as caught:
        require_data(recorded_failure(case, tmp_path), tmp_path, where="pipe at concurrency 4")
    assert "SYNOPSIS" not in str(caught.value)  # the usage that perf_analyzer appends
    assert "pipe at concurrency 4" in str(caught.value)


def test_status_0_without_data_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnstableError, match="wrote no data"):
        require_data(recorded_failure("overlimit", tmp_path), tmp_path, where="")


def test_a_server_that_is_down_is_told_from_a_model_that_is_missing(tmp_path: Path) -> None:
    hints = []
    for case in ("downgrpc", "unknown"):
        with pytest.raises(ServerError) as caught:
            require_data(recorded_failure(case, tmp_path), tmp_path, where="")
        hints.append(caught.value.hint)
    assert "serve" in hints[0]
    assert "not loaded" in hints[1]


def test_of_the_threads_that_fail_one_speaks_for_all(tmp_path: Path) -> None:
    threads = "".join(f"Thread [{n}] had error: no image: {n}\n\n" for n in range(8))
    done = Completed(("perf_analyzer",), 99, "", f"Failed to maintain requested inference load.\n{threads}", 1.0)
    with pytest.raises(ServerError) as caught:
        require_data(done, tmp_path, where="")
    assert caught.value.message.endswith("inference load.\nThread [0] had error: no image: 0")


def test_advice_stands_where_nothing_better_is_known(tmp_path: Path) -> None:
    hints = {}
    for case in ("downgrpc", "braw"):
        with pytest.raises(ServerError) as caught:
            require_data(recorded_failure(case, tmp_path), tmp_path, where="", advice="the inputs were made up")
        hints[case] = caught.value.hint
    assert "serve" in hints["downgrpc"]
    assert hints["braw"] == "the inputs were made up"


def stand_in(folder: Path, script: str) -> AnalyzerTool:
    """A program in perf_analyzer's place, for what the real one does only now and then."""
    program = folder / "perf_analyzer"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return AnalyzerTool(program, dict(os.environ))


def test_a_cut_off_export_is_measured_again(tmp_path: Path) -> None:
    script = f"""
    cp {RECORDED}/concurrency.csv load.csv
    if [ -e {tmp_path}/second ]; then cp {RECORDED}/concurrency.json profile.json
    else touch {tmp_path}/second; head -c 20000 {RECORDED}/concurrency.json > profile.json; fi"""
    result = run_analyzer(stand_in(tmp_path, script), FOUR, tmp_path)
    assert result.attempts == 2
    assert len(result.profile.sent_ns) == 264


def test_an_empty_export_of_a_decoupled_model_is_measured_again(tmp_path: Path) -> None:
    """perf_analyzer reads outputs that a response lacks from memory that nobody wrote, which may look like NaN."""
    script = f"""
    cp {RECORDED}/concurrency.csv load.csv
    if [ -e {tmp_path}/second ]; then cp {RECORDED}/concurrency.json profile.json
    else touch {tmp_path}/second profile.json; fi"""
    assert run_analyzer(stand_in(tmp_path, script), replace(FOUR, is_decoupled=True), tmp_path).attempts == 2
    (tmp_path / "second").unlink()
    with pytest.raises(UsageError, match="NaN or infinity"):
        run_analyzer(stand_in(tmp_path, script), FOUR, tmp_path)


def test_an_export_that_is_cut_off_every_time_is_unstable(tmp_path: Path) -> None:
    script = f"cp {RECORDED}/concurrency.csv load.csv; head -c 20000 {RECORDED}/concurrency.json > profile.json"
    with pytest.raises(UnstableError, match="is not whole"):
        run_analyzer(stand_in(tmp_path, f"echo >> {tmp_path}/runs; {script}"), FOUR, tmp_path)
    assert (tmp_path / "runs").read_text() == "\n" * 8


def test_one_good_export_of_eight_is_enough(tmp_path: Path) -> None:
    """Of TensorRT-LLM's model, with its dozen outputs, one export in four is cut off, and some are emptied."""
    script = f"""
    echo >> {tmp_path}/runs; cp {RECORDED}/concurrency.csv load.csv
    case $(wc -l < {tmp_path}/runs) in
      8) cp {RECORDED}/concurrency.json profile.json;;
      2|5) touch profile.json;;
      *) head -c 20000 {RECORDED}/concurrency.json > profile.json;;
    esac"""
    assert run_analyzer(stand_in(tmp_path, script), replace(FOUR, is_decoupled=True), tmp_path).attempts == 8


def test_an_export_that_is_empty_every_time_means_nan(tmp_path: Path) -> None:
    script = f"echo >> {tmp_path}/runs; cp {RECORDED}/concurrency.csv load.csv; touch profile.json"
    with pytest.raises(UsageError, match="NaN or infinity"):
        run_analyzer(stand_in(tmp_path, script), replace(FOUR, is_decoupled=True), tmp_path)
    assert (tmp_path / "runs").read_text() == "\n" * 8


def test_windows_without_a_request_are_measured_three_times_only(tmp_path: Path) -> None:
    script = f"echo >> {tmp_path}/runs; echo 'No valid requests recorded within time interval.' >&2; exit 3"
    with pytest.raises(UnstableError, match="No valid requests"):
        run_analyzer(stand_in(tmp_path, script), FOUR, tmp_path)
    assert (tmp_path / "runs").read_text() == "\n" * 3


def test_a_window_without_a_request_is_measured_again(tmp_path: Path) -> None:
    script = f"""
    if [ ! -e {tmp_path}/second ]; then touch {tmp_path}/second
    echo "No valid requests recorded within time interval. Please use a larger time window." >&2; exit 3; fi
    cp {RECORDED}/concurrency.csv load.csv; cp {RECORDED}/concurrency.json profile.json"""
    assert run_analyzer(stand_in(tmp_path, script), FOUR, tmp_path).attempts == 2


def test_a_server_that_fails_is_not_asked_again(tmp_path: Path) -> None:
    script = f"echo >> {tmp_path}/runs; echo 'failed to connect to all addresses' >&2; exit 99"
    with pytest.raises(ServerError):
        run_analyzer(stand_in(tmp_path, script), FOUR, tmp_path)
    assert (tmp_path / "runs").read_text() == "\n"


def test_it_runs_in_an_empty_folder_that_is_gone_afterwards(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    script = (
        f"ls -A > {tmp_path}/seen; cp {RECORDED}/concurrency.csv load.csv; cp {RECORDED}/concurrency.json profile.json"
    )
    run_analyzer(stand_in(tmp_path, script), FOUR, work)
    assert (tmp_path / "seen").read_text() == ""
    assert list(work.iterdir()) == []


def test_one_that_hangs_is_ended_with_all_its_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnalyzerRun, "time_limit_s", 0.5)
    script = f"trap '' INT TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.1; done"
    with pytest.raises(ServerError, match="did not finish within"):
        run_analyzer(stand_in(tmp_path, script), FOUR, tmp_path)
    assert living_members(int((tmp_path / "pid").read_text())) == []


def test_one_that_hangs_is_tried_a_second_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnalyzerRun, "time_limit_s", 0.5)
    hang = f"echo >> {tmp_path}/runs; if [ $(wc -l < {tmp_path}/runs) -le $HANGS ]; then sleep 60; fi"
    done = f"cp {RECORDED}/concurrency.csv load.csv; cp {RECORDED}/concurrency.json profile.json"
    tool = stand_in(tmp_path, f"{hang}; {done}")
    assert run_analyzer(replace(tool, environment={**os.environ, "HANGS": "1"}), FOUR, tmp_path).attempts == 2
    (tmp_path / "runs").unlink()
    with pytest.raises(ServerError, match="did not finish within"):
        run_analyzer(replace(tool, environment={**os.environ, "HANGS": "9"}), FOUR, tmp_path)
    assert (tmp_path / "runs").read_text() == "\n" * 2


def living_members(group: int) -> list[str]:
    """The processes of a group; zombies, which nobody reaps in a container without init, do not count."""
    members = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, process_group = path.read_text().rpartition(")")[2].split()[:3]
            if int(process_group) == group and state != "Z":
                members.append(path.parent.name)
    return members
