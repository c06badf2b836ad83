import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tritonsmith.generator.inspect.checkpoint import CheckpointFacts
from tritonsmith.generator.inspect.engine_source import read_engine_source

WriteWeights = Callable[..., Path]
CONFIG: dict[str, Any] = {
    "architecture": "LlamaForCausalLM",
    "dtype": "float16",
    "logits_dtype": "float32",
    "vocab_size": 32000,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "mapping": {"world_size": 2, "tp_size": 2, "pp_size": 1},
    "quantization": {"quant_algo": "W4A16_AWQ", "kv_cache_quant_algo": "INT8"},
}


def read(folder: Path, **changes: Any) -> CheckpointFacts:
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    found = read_engine_source(folder)
    assert isinstance(found, CheckpointFacts)
    return found


def test_shape_spread_and_weights_of_all_ranks_are_read(tmp_path: Path, write_weights: WriteWeights) -> None:
    write_weights(tmp_path / "rank0.safetensors")
    write_weights(tmp_path / "rank1.safetensors")
    found = read(tmp_path)
    assert (found.architecture.quantisation, found.architecture.kv_cache_quantisation) == ("W4A16_AWQ", "INT8")
    assert (found.architecture.kv_heads, found.architecture.head_size) == (4, 16)  # as many as heads; 64 / 4
    assert (found.spread.world_size, found.weights.parameters, found.weights.size_bytes) == (2, 12, 24)
    assert found.findings == ()


def test_a_missing_rank_is_told(tmp_path: Path, write_weights: WriteWeights) -> None:
    write_weights(tmp_path / "rank0.safetensors")
    [finding] = read(tmp_path).findings
    assert finding.place.file == str(tmp_path / "rank1.safetensors")


def test_a_truncated_rank_is_told(tmp_path: Path, write_weights: WriteWeights) -> None:
    write_weights(tmp_path / "rank0.safetensors", cut=1)
    [finding] = read(tmp_path, mapping={}).findings
    assert finding.message.endswith("its header speaks of 120")


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs", b"\x02\0\0\0\0\0\0\0[]", b"\x02\0\0\0\0\0\0\0{"])
def test_what_is_no_safetensors_file_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rank0.safetensors").write_bytes(content)
    [finding] = read(tmp_path, mapping={}).findings
    assert "safetensors file" in finding.message
    assert "git lfs pull" in finding.remedy
