"""Pipelines with something odd in their settings: each is built, or refused with findings; nothing else happens."""

import copy
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tritonsmith.ensembles.build import plan_build
from tritonsmith.ensembles.text_generation.blueprint import BLUEPRINT
from tritonsmith.generator.errors import TritonsmithError

ODD: list[Any] = [
    *(
        None,
        True,
        False,
        -1,
        0,
        1,
        3,
        10**12,
        0.5,
        1.5,
        "",
        "x",
        "0,1;2,3",
        "{0}, {0, 0}",
        "é" * 50,
        [],
        [1],
        ["a"],
        {},
    ),
    *({"a": 1}, {"from": "demo"}, {"place": "mounted", "at": "/e"}, "demo", "engine", "/absolute", "..", "medusa"),
]
ENGINE: dict[str, Any] = {
    "triton": "24.12",
    "hardware": {"gpu": "H100", "count": 8},
    "server": {"orchestrator": "participants"},
    "pipelines": {
        "chat": {
            "use": "text_generation",
            "engine": "engine",
            "replicas": 1,
            "nodes": 1,
            "names": {"tensorrt_llm": "llm"},
            "with": {
                "target": "tensorrtllm",
                "tokenizer": "demo",
                "max_batch_size": 4,
                "parameters": {"max_beam_width": 1, "gpu_device_ids": "0", "participant_ids": "1"},
                "draft": {"engine": "draft", "parameters": {"kv_cache_free_gpu_mem_fraction": "0.4"}},
                "build": {"quantise": "fp8", "options": {"max_seq_len": 256}},
                "instances": {"tensorrt_llm_bls": 2},
            },
        }
    },
}
APART = copy.deepcopy(ENGINE)
APART["pipelines"]["chat"]["with"] = {
    "tokenizer": "demo",
    "disaggregated": {"context": {"replicas": 1, "parameters": {}}, "generation": {"engine": "engine"}},
}
LLMAPI: dict[str, Any] = {
    "triton": "26.03",
    "pipelines": {
        "chat": {
            "use": "text_generation",
            "engine": {"from": "demo", "place": "copy"},
            "replicas": 2,
            "with": {
                "target": "llmapi",
                "llm": {
                    "tensor_parallel_size": 2,
                    "kv_cache_config": {"free_gpu_memory_fraction": 0.5, "max_attention_window": [4]},
                    "cuda_graph_config": {"batch_sizes": [1, 2]},
                    "speculative_config": {"decoding_type": "NGram"},
                },
            },
        }
    },
}


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path] * bool(path) + [one for key, value in items for one in places(value, (*path, key))]


def mutated(document: Any, dice: random.Random) -> Any:
    found = copy.deepcopy(document)
    for _ in range(dice.choice([1, 1, 2, 3])):
        *parents, last = dice.choice(places(found))
        holder = found
        for parent in parents:
            holder = holder[parent]
        kind = dice.randint(0, 3)
        if kind == 0:
            del holder[last]
        elif kind == 1 and isinstance(holder, dict):
            holder[dice.choice(["x", "engine", "parameters", "max_beam_width", ""])] = holder.pop(last)
        else:
            holder[last] = copy.deepcopy(dice.choice(ODD))
        if not places(found):
            return document
    return found


@pytest.mark.parametrize("document", [ENGINE, APART, LLMAPI], ids=["engine", "apart", "llmapi"])
def test_an_odd_pipeline_is_built_or_refused(
    document: dict[str, Any], tmp_path: Path, write_engine: Callable[..., Path]
) -> None:
    shutil.copytree(BLUEPRINT.folder / "demo", tmp_path / "demo")
    write_engine("llama-0.16.0-target")
    write_engine("llama-0.16.0-draft", folder="draft")
    spec, dice, built = tmp_path / "tritonsmith.yaml", random.Random(7), 0
    for _ in range(60):
        spec.write_text(yaml.safe_dump(mutated(document, dice)))
        try:
            plan_build(spec, tmp_path / "repository")
            built += 1
        except TritonsmithError as problem:
            assert problem.exit_code in (3, 4), problem
    assert 2 < built < 58
