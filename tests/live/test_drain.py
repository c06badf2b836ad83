"""Restarts under load, as Kubernetes does them with the numbers of the generated Deployment."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritonsmith.perf.bench.drain import generated_numbers, roll
from tritonsmith.perf.bench.drain_traffic import write_model

pytestmark = pytest.mark.live


def test_no_request_is_lost_in_rolling_restarts(tmp_path: Path) -> None:
    write_model(tmp_path)
    numbers = generated_numbers(tmp_path, {"pre_stop_s": 1}, {"exit_timeout_s": 20})
    result = roll(tmp_path, numbers, 2)
    assert result["pods_restarted"] == 4
    assert result["lost"] == 0, result["reasons"]
    assert result["statuses"] == [0]
    assert len(result["answered"]) == 3
    assert min(result["answered"].values()) > 0
