"""Files of engines with something odd in them: each is read, or refused with an error of ours; nothing else happens."""

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.inspect.engine_source import read_engine_source

ENGINES = Path(__file__).parents[2] / "data" / "engines"
ODD: list[Any] = [None, True, -1, 0, 1, 2**70, 10**12, 1.5, "", "x", "é" * 300, [], [1], ["a", 2], {}, {"a": {"b": []}}]


def places(node: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    below = [places(value, (*path, key)) for key, value in node.items()] if isinstance(node, dict) else []
    return [path] * bool(path) + [one for many in below for one in many]


def mutated(document: Any, dice: random.Random) -> Any:
    found = copy.deepcopy(document)
    for _ in range(dice.choice([1, 1, 1, 2, 4])):
        *parents, last = dice.choice(places(found))
        holder = found
        for parent in parents:
            holder = holder[parent]
        if dice.random() < 0.3:
            del holder[last]
        else:
            holder[last] = copy.deepcopy(dice.choice(ODD))
    return found


@pytest.mark.parametrize("kind", ["engine", "checkpoint", "huggingface"])
def test_an_odd_config_is_read_or_refused(
    kind: str, tmp_path: Path, write_engine: Callable[..., Path], write_weights: Callable[..., Path]
) -> None:
    engine = json.loads((ENGINES / "llama-0.16.0-lora.json").read_text())
    shape = engine["pretrained_config"]
    documents = {
        "engine": engine,
        "checkpoint": shape,
        "huggingface": {**shape, "architecture": None, "architectures": ["LlamaForCausalLM"], "eos_token_id": [1, 2]},
    }
    folder = write_engine("llama-0.16.0")
    write_weights(folder / "rank0.safetensors")
    dice, refused, told = random.Random(3), 0, 0
    for _ in range(500):
        (folder / "config.json").write_text(json.dumps(mutated(documents[kind], dice)))
        try:
            found = read_engine_source(folder)
        except SpecError as problem:
            assert problem.where
            refused += 1
        else:
            told += bool(found.findings)
            assert all(finding.place.file and finding.message for finding in found.findings)
    assert told > 20


def test_as_many_ranks_as_cannot_be_meant_are_not_looked_for(write_engine: Callable[..., Path]) -> None:
    folder = write_engine("llama-0.16.0", {"pretrained_config.mapping.world_size": 10**12}, ranks=1)
    found = read_engine_source(folder)
    assert "expected at most 4096, got 1000000000000" in [finding.message for finding in found.findings]
