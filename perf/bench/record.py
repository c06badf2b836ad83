"""Benchmark results as small JSON files beside the benchmarks: committed, shown in the README."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tritonsmith.perf.measure.machine import read_environment

FOLDER = Path(__file__).parent / "results"


def write_result(name: str, result: Mapping[str, Any]) -> Path:
    """Write a benchmark's result with the machine and the date, and return its path."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    machine = {name: value for name, value in asdict(read_environment("", "")).items() if value}
    document = {"date": datetime.date.today().isoformat(), "machine": machine, **result}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return path
