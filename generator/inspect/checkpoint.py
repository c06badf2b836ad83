"""What a TensorRT-LLM checkpoint holds: a model converted and quantised, not yet built into an engine.

Source: TensorRT-LLM: docs/source/legacy/architecture/checkpoint.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.findings import Finding, Place, error
from tritonsmith.generator.inspect.architecture import Architecture, Spread, read_architecture, read_spread
from tritonsmith.generator.inspect.json_file import JsonObject, read_json
from tritonsmith.generator.inspect.safetensors_file import Weights, read_weights


@dataclass(frozen=True)
class CheckpointFacts:
    """A checkpoint folder; `weights` are those of all ranks together, `findings` what is wrong with it."""

    path: Path
    architecture: Architecture
    spread: Spread
    weights: Weights
    findings: tuple[Finding, ...] = ()


def is_checkpoint(found: JsonObject) -> bool:
    """Whether a config.json is a checkpoint's: one `architecture`, where Hugging Face has a list `architectures`."""
    return "architecture" in found


def read_checkpoint(folder: Path) -> CheckpointFacts:
    """Return the facts of a checkpoint folder.

    Raises: SpecError where there is none.
    """
    found = read_json(folder / "config.json", "config.json of the checkpoint")
    spread = read_spread(found.below("mapping"))
    architecture = read_architecture(found)
    weights = sum_weights([folder / f"rank{rank}.safetensors" for rank in range(spread.world_size)], found.findings)
    return CheckpointFacts(folder, architecture, spread, weights, tuple(found.findings))


def sum_weights(paths: list[Path], findings: list[Finding]) -> Weights:
    """Return what files hold together; one that cannot be read is a finding."""
    total = Weights()
    for path in paths:
        try:
            total += read_weights(path)
        except SpecError as problem:
            findings.append(error(problem.message, Place(str(path)), remedy=problem.hint))
    return total
