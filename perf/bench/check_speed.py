"""Check 1,000 models against the least that must be done: `python -m tritonsmith.perf.bench.check_speed`.

The least is protobuf's own parse of the texts, which lie in memory; where models have Python and ONNX files, also
`ast.parse` and `onnx.load` of them. Reading the repository is part of our time. All is timed in turn within one
process, several times over; the goal is a ratio of at most 5, with files of at most 2.
"""

from __future__ import annotations

import ast
import functools
import gc
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import onnx
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator import console
from tritonsmith.generator.checks import Case, Target, check_repository
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.repository.read import read_repository
from tritonsmith.perf.bench.check_repository import Writer, write_plain, write_with_files
from tritonsmith.perf.bench.record import write_result
from tritonsmith.perf.statistics import median, median_interval

SEED = 4
PARTS: dict[str, tuple[Writer, float]] = {"configurations": (write_plain, 5.0), "with files": (write_with_files, 2.0)}


@click.command()
@click.option("--models", default=1000, show_default=True, help="How many models each repository has.")
@click.option("--rounds", default=15, show_default=True, help="How often each is timed.")
def main(models: int, rounds: int) -> None:
    """Time the check of many models."""
    results: dict[str, Any] = {}
    for name, (write, goal) in PARTS.items():
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), models, random.Random(SEED))  # noqa: S311 - a reproducible repository
            results[name] = {**measure(Path(folder), rounds), "goal": goal}
    write_result("check_speed", {"models": models, "rounds": rounds, **results})
    header = ["s, median", "the least", "check", "ratio", "interval", "goal", "findings"]
    console.result(console.table(header, [_row(name, result) for name, result in results.items()]))


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """Return the median seconds of the least and of a check, their ratio, and how sure that is."""
    texts = [path.read_text() for path in sorted(folder.glob("*/config.pbtxt"))]
    work = functools.partial(least, texts, sorted(folder.glob("*/1/model.py")), sorted(folder.glob("*/1/model.onnx")))
    findings = check(folder)
    pairs = [(_timed(work), _timed(functools.partial(check, folder))) for _ in range(rounds)]
    ratios = [ours / theirs for theirs, ours in pairs]
    interval = median_interval(ratios)
    return {
        "least_s": round(median([theirs for theirs, _ in pairs]), 4),
        "check_s": round(median([ours for _, ours in pairs]), 4),
        "ratio": round(median(ratios), 2),
        "ratio_interval": [round(interval.low, 2), round(interval.high, 2)],
        "findings": len(findings),
    }


def check(folder: Path) -> list[Finding]:
    """Read a repository and check it."""
    repository = read_repository(folder)
    return check_repository(Case(repository, Target.of(repository)))


def least(texts: list[str], scripts: list[Path], graphs: list[Path]) -> None:
    """Do the least that any tool must: parse the messages, the scripts and the graphs."""
    for text in texts:
        text_format.Parse(text, ModelConfig())
    for script in scripts:
        ast.parse(script.read_bytes())
    for graph in graphs:
        onnx.load(graph)


def _timed(work: Callable[[], object]) -> float:
    gc.collect()  # of what the other one left
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


def _row(name: str, result: dict[str, Any]) -> list[str]:
    low, high = result["ratio_interval"]
    seconds = [f"{result[key]:.3f}" for key in ("least_s", "check_s")]
    return [name, *seconds, f"{result['ratio']}", f"{low} to {high}", f"{result['goal']:g}", str(result["findings"])]


if __name__ == "__main__":
    main()
