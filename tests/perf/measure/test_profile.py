"""What we read from exports that perf_analyzer 2.51.0 really wrote."""

import json
from pathlib import Path

import numpy as np
import pytest

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.measure import profile as module
from tritonsmith.perf.measure.profile import (
    Profile,
    TruncatedExportError,
    parse_csv,
    parse_profile,
    read_profile,
    without_final_flags,
)
from tritonsmith.perf.statistics import quantile

RECORDED = Path(__file__).parents[1] / "recorded"


def read(name: str) -> Profile:
    return parse_profile((RECORDED / f"{name}.json").read_bytes())


def row(name: str) -> dict[str, float]:
    return parse_csv((RECORDED / f"{name}.csv").read_text())[0]


def test_throughput_and_quantiles_of_a_concurrency_are_perf_analyzers() -> None:
    profile, columns = read("concurrency"), row("concurrency")
    assert profile.throughput_per_s == pytest.approx(columns["Inferences/Second"], rel=1e-4)
    for share, name in ((0.5, "p50 latency"), (0.9, "p90 latency"), (0.95, "p95 latency"), (0.99, "p99 latency")):
        ordered = np.sort(profile.latencies_us)
        ours, theirs = np.searchsorted(ordered, [quantile(ordered, share), columns[name]])
        assert abs(int(ours) - int(theirs)) <= 1  # it rounds the rank down
    assert float(profile.latencies_us.mean()) == pytest.approx(columns["Avg latency"], abs=1)


def test_each_window_has_a_throughput_of_its_own() -> None:
    windows = read("concurrency").windows_per_s
    assert len(windows) == 3
    assert windows[0] < 0.8 * windows[2]  # no warm-up was asked for: the first window made connections


def test_throughput_with_a_request_count_is_recomputed() -> None:
    profile, columns = read("request_count"), row("request_count")
    assert columns["Inferences/Second"] == pytest.approx(49.96, abs=0.01)  # 50 requests in a window of a whole second
    busy_s = float(profile.latencies_us.sum()) / 1e6
    assert profile.throughput_per_s == pytest.approx(50 / busy_s, rel=0.02)


def test_an_empty_last_response_is_no_answer() -> None:
    profile, columns = read("decoupled_text"), row("decoupled_text")
    assert set(profile.responses.tolist()) == {5}
    assert quantile(profile.latencies_us, 0.5) == pytest.approx(columns["p50 latency"], rel=0.02)


def test_a_last_response_of_uninitialised_memory_is_no_answer() -> None:
    profile, columns = read("decoupled_numbers"), row("decoupled_numbers")
    assert set(profile.responses.tolist()) == {6}
    corrected = without_final_flags(profile, columns["Response Throughput"] / columns["Inferences/Second"])
    assert set(corrected.responses.tolist()) == {5}
    assert quantile(corrected.latencies_us, 0.5) == pytest.approx(columns["p50 latency"], rel=0.02)


def test_what_the_csv_counts_as_answers_is_kept() -> None:
    profile = read("decoupled_text")
    assert without_final_flags(profile, 5.0) is profile


def test_the_first_response_comes_long_before_the_last() -> None:
    profile = read("decoupled_text")
    assert quantile(profile.first_response_us, 0.5) < quantile(profile.latencies_us, 0.5) - 15_000


def test_an_export_that_is_not_utf8_is_read() -> None:
    data = (RECORDED / "bytes.json").read_bytes()
    with pytest.raises(UnicodeDecodeError):
        data.decode()
    assert len(parse_profile(data).sent_ns) == 20


def test_an_export_cut_off_anywhere_is_recognised() -> None:
    data = (RECORDED / "concurrency.json").read_bytes()
    for size in (1, 100, len(data) // 2, len(data) - 120, len(data) - 1):
        with pytest.raises(TruncatedExportError):
            parse_profile(data[:size])


def test_an_export_without_requests_is_recognised() -> None:
    document = json.loads((RECORDED / "concurrency.json").read_bytes())
    document["experiments"][0]["requests"] = []
    with pytest.raises(TruncatedExportError, match="no request"):
        parse_profile(json.dumps(document).encode())


def test_an_empty_export_means_nan_and_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="NaN") as caught:
        read_profile(RECORDED / "nan.json")
    assert "--input-data" in caught.value.hint
    assert row("nan")["Inferences/Second"] > 0  # the measurement itself had worked, with status 0


def test_an_export_too_big_to_read_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_EXPORT_BYTES", 1000)
    with pytest.raises(UsageError, match="MiB") as caught:
        read_profile(RECORDED / "concurrency.json")
    assert "--window-ms" in caught.value.hint


def test_under_overload_the_rate_of_sending_is_still_seen() -> None:
    profile = read("overload")
    assert profile.throughput_per_s < 3000
    assert profile.sent_per_s == pytest.approx(4000, rel=0.05)


def test_a_rate_without_async_is_not_sent_and_that_is_seen() -> None:
    assert read("rate_without_async").sent_per_s < 800  # of 1,000 asked for; status 0 and no warning


def test_rows_are_sorted_by_load_not_by_throughput() -> None:
    text = (RECORDED / "sorted_by_throughput.csv").read_text()
    assert [line.split(",")[0] for line in text.splitlines()[1:]] == ["8", "1"]
    assert [columns["Concurrency"] for columns in parse_csv(text)] == [1, 8]


def test_tensors_are_not_kept() -> None:
    seen: list[object] = []
    json.JSONDecoder(object_hook=lambda value: seen.append(module._without_tensors(value)), strict=False)
    value = module._without_tensors(
        {"response_timestamps": [1, 2], "request_inputs": {"x": [0.0] * 9}, "response_outputs": [{"y": 1}, {"y": ""}]}
    )
    assert value == {"response_timestamps": [1, 2], "is_last_empty": True, "tokens": {}}


def test_latencies_are_microseconds() -> None:
    assert np.all(read("concurrency").latencies_us > 2_000)
