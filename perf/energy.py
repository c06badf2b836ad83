"""What the GPUs' energy counters say of a measurement, where the server has such counters."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Mapping

# Source: Triton's docs/user_guide/metrics.md: joules since the driver was loaded, a counter per GPU
_ENERGY = re.compile(r'^nv_energy_consumption\{[^}]*gpu_uuid="([^"]+)"[^}]*\}\s+(\S+)', re.MULTILINE)
TIME_LIMIT_S = 5.0


def read_joules(metrics_url: str) -> dict[str, float]:
    """Return each GPU's energy counter by its UUID; empty where the server tells none."""
    if not metrics_url:
        return {}
    try:
        with urllib.request.urlopen(f"http://{metrics_url}/metrics", timeout=TIME_LIMIT_S) as answer:
            text = answer.read().decode("utf-8", "replace")
    except (OSError, ValueError):
        return {}
    return parse_joules(text)


def parse_joules(metrics: str) -> dict[str, float]:
    """Return each GPU's energy counter by its UUID, from the text of /metrics."""
    return {uuid: float(value) for uuid, value in _ENERGY.findall(metrics)}


def joules_between(before: Mapping[str, float], after: Mapping[str, float]) -> float | None:
    """Return what all GPUs took between two readings.

    None where the readings are not of the same GPUs, or the counters stand still: then they are not kept, and no zero
    is what was spent.
    """
    if not before or before.keys() != after.keys():
        return None
    spent = sum(after[uuid] - before[uuid] for uuid in before)
    return spent if spent > 0 else None
