"""The overhead benchmark computes each comparison within its round."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tritonsmith.perf.bench.overhead import NETWORKS, Network, as_markdown, mlp, summarize, write_models


def a_round(ours_ms: float, identity_ms: float, in_process_ms: float, per_s: float) -> dict[str, float]:
    return {
        "in_process_tight_p50_ms": in_process_ms,
        "in_process_p50_ms": in_process_ms,
        "in_process_per_s": 100.0,
        "identity_1_p50_ms": identity_ms,
        "identity_1_per_s": 1.0,
        "bare_1_p50_ms": ours_ms,
        "bare_1_per_s": 1.0,
        "ours_1_p50_ms": ours_ms,
        **{f"ours_{concurrency}_per_s": per_s for concurrency in (1, 16, 64)},
    }


def test_overhead_is_paired_by_round() -> None:
    rounds = [a_round(k + 1.05, k + 0.5, 0.5, 400) for k in range(9)]  # the machine got slower from round to round
    summary = summarize(rounds)
    assert summary["overhead_ms"]["median"] == pytest.approx(0.05)
    assert summary["overhead_ms"]["high"] == pytest.approx(0.05)
    assert summary["ratio_16"]["median"] == 4


def test_the_table_states_the_goals() -> None:
    text = as_markdown("mlp14", summarize([a_round(1, 0.5, 0.4, 400)] * 3))
    assert "| ratio to in-process, concurrency 16 | 4 | 4 to 4 | >= 3.5 |" in text
    assert "| served - identity - in-process, p50, ms | 0.1 | 0.1 to 0.1 | <= 0.1 |" in text


def test_the_models_are_what_they_are_called(tmp_path: Path) -> None:
    write_models(tmp_path, Network("small", (4, 8, 2), 1))
    assert {path.name for path in tmp_path.iterdir()} == {"small", "batching_small", "identity_small", "bare_small"}
    session = onnxruntime.InferenceSession(mlp((4, 8, 2)).SerializeToString())
    assert session.run(["y"], {"x": np.ones((3, 4), np.float32)})[0].shape == (3, 2)
    assert [len(network.widths) - 1 for network in NETWORKS] == [2, 14, 24]
