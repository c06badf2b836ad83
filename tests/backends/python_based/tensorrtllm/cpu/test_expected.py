"""The shipped model's answers are those of transformers' `generate`, which were written down once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.export import export_engine
from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.kernels import open_kernels
from tritonsmith.backends.python_based.tensorrtllm.llm.request import Request

ROOT = Path(__file__).parents[5]
DEMO = ROOT / "ensembles" / "text_generation" / "demo"
EXPECTED: list[dict[str, Any]] = json.loads((ROOT / "tests/data/text_generation/greedy_64.json").read_bytes())


def test_at_most_one_comparison_ends_early() -> None:
    assert len(EXPECTED) == 64
    assert sum(case["near_tie_at"] is not None for case in EXPECTED) <= 1


@pytest.mark.parametrize(
    "settings",
    [
        {"max_batch_size": 8},
        {"max_batch_size": 16, "max_num_tokens": 25, "tokens_per_block": 8},
        {"max_batch_size": 64, "scheduler_policy": "max_utilization", "max_tokens_in_cache": 2048},
    ],
    ids=["as it comes", "small pieces", "pausing"],
)
def test_64_mixed_requests_in_flight_equal_transformers(open_engine: Any, settings: dict[str, Any]) -> None:
    running = open_engine(DEMO, **settings)
    requests = [
        Request(np.array(case["prompt"], np.int32), case["max_new_tokens"], end_id=case["end_id"]) for case in EXPECTED
    ]
    answers = running.complete(*requests)
    for case, answer in zip(EXPECTED, answers, strict=True):
        end = case["near_tie_at"]
        assert answer[:end] == case["tokens"][:end]
    assert running.engine.counters().reused_blocks > 0


def test_with_int8_weights_nearly_every_next_token_is_the_same(tmp_path: Path) -> None:
    folder = export_engine(DEMO, tmp_path / "int8", "int8")
    kernels = open_kernels(folder, rows=1, max_seq_len=0, max_tokens=0, threads=1)
    agree = []
    for case in EXPECTED:
        tokens = np.array(case["prompt"] + case["tokens"], np.int32)
        for end in range(len(case["prompt"]), len(tokens), 7):
            kernels.read(0, tokens[:end], 0)
            agree.append(kernels.next[0] == tokens[end])
    assert np.mean(agree) > 0.97
