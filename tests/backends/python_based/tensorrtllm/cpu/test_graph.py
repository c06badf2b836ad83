"""Every shape of Llama that the graph takes equals plain numpy; what it does not take is refused by name."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tritonsmith.backends.python_based.tensorrtllm.llm.cpu import EngineError, Options, load_engine
from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.export import export_engine
from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.graph import quantize
from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.kernels import Kernels, open_kernels
from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.llama import read_llama, rotary_angles
from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.model_file import graph_of, save_model

TOKENS = np.random.default_rng(9).integers(0, 160, 40).astype(np.int32)


def kernels_of(folder: Path) -> Kernels:
    return open_kernels(folder, rows=2, max_seq_len=0, max_tokens=0, threads=1)


def logits_of(folder: Path) -> Any:
    """The logits after the last of TOKENS, read in two pieces and one token more."""
    kernels = kernels_of(folder)
    kernels.read(0, TOKENS[:25], 0)
    kernels.read(0, TOKENS[25:39], 25)
    kernels.tokens[0], kernels.lengths[0] = TOKENS[39], 39
    kernels.generate(1)
    return kernels.logits[0].copy()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tie_word_embeddings": True},
        {"num_key_value_heads": 4},
        {"num_key_value_heads": 1, "num_hidden_layers": 1},
        {"head_dim": 32},
        {"rope_theta": 500000.0, "rms_norm_eps": 1e-3},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
        {"intermediate_size": 100, "vocab_size": 161},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_the_graph_computes_what_numpy_does(write_llama: Any, settings: dict[str, Any], dtype: str) -> None:
    llama = write_llama(dtype=dtype, **settings)
    assert np.abs(logits_of(llama.folder) - llama.logits(TOKENS)[-1]).max() < 2e-4


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"rope_scaling": {"type": "linear", "factor": 4.0}}, lambda f: f / 4),
        (
            {
                "rope_parameters": {
                    "rope_type": "llama3",
                    "rope_theta": 10000.0,
                    "factor": 8.0,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 64,
                }
            },
            lambda f: llama3(f, 8.0, 1.0, 4.0, 64),
        ),
    ],
    ids=["linear", "llama3"],
)
def test_scaled_rotary_frequencies_are_transformers(
    write_llama: Any, settings: dict[str, Any], expected: Callable[[float], float]
) -> None:
    llama = write_llama(**settings)
    plain = llama.frequencies(16)
    wanted = np.array([expected(float(frequency)) for frequency in plain])
    cosines, sines = rotary_angles(read_llama(llama.folder), 20)
    assert np.abs(cosines - np.cos(np.outer(np.arange(20), wanted))).max() < 1e-5
    assert np.abs(sines - np.sin(np.outer(np.arange(20), wanted))).max() < 1e-5


def llama3(frequency: float, factor: float, low: float, high: float, original: int) -> float:
    """As the Llama 3.1 release spells it, one frequency at a time."""
    wavelength = 2 * math.pi / frequency
    if wavelength < original / high:
        return frequency
    if wavelength > original / low:
        return frequency / factor
    smooth = (original / wavelength - low) / (high - low)
    return (1 - smooth) * frequency / factor + smooth * frequency


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"architectures": ["MistralForCausalLM"]}, "architecture MistralForCausalLM; the CPU engine computes Llama"),
        ({"architectures": None}, "architecture none"),
        ({"hidden_act": "gelu"}, "hidden_act gelu"),
        ({"attention_bias": True}, "attention_bias True"),
        ({"mlp_bias": True}, "mlp_bias True"),
        ({"sliding_window": 4096}, "sliding_window 4096"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, "rope scaling 'yarn'"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope scaling 'dynamic'"),
        ({"head_dim": 20}, "head size 20"),
        ({"num_attention_heads": 0}, "num_attention_heads 0"),
        ({"max_position_embeddings": "many"}, "max_position_embeddings many"),
        ({"num_attention_heads": 3, "num_key_value_heads": 2}, "3 attention heads are no multiple of 2"),
    ],
    ids=str,
)
def test_what_the_graph_does_not_compute_is_refused_by_name(
    llama: Any, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**llama.config, **settings}))
    with pytest.raises(EngineError, match=message) as caught:
        load_engine(tmp_path, Options())
    assert str(tmp_path / "config.json") in str(caught.value)


def test_tensors_that_the_graph_has_no_place_for_are_refused(llama: Any, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**llama.config, "num_hidden_layers": 1}))
    (tmp_path / "model.safetensors").write_bytes((llama.folder / "model.safetensors").read_bytes())
    with pytest.raises(EngineError, match=r"model\.layers\.1\.input_layernorm\.weight and 8 more"):
        load_engine(tmp_path, Options())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_hidden_layers": 3}, r"the tensor model\.layers\.2\.input_layernorm\.weight is missing"),
        ({"vocab_size": 320}, r"model\.embed_tokens\.weight is \[160, 64\]; config\.json tells \[320, 64\]"),
    ],
)
def test_weights_that_do_not_fit_the_config_are_refused(
    llama: Any, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**llama.config, **settings}))
    (tmp_path / "model.safetensors").write_bytes((llama.folder / "model.safetensors").read_bytes())
    with pytest.raises(EngineError, match=message):
        load_engine(tmp_path, Options())


def test_a_folder_without_weights_is_refused(llama: Any, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(llama.config))
    with pytest.raises(EngineError, match=r"neither model\.safetensors nor model\.safetensors\.index\.json"):
        load_engine(tmp_path, Options())


def test_bytes_and_scales_come_within_half_a_step_of_the_weights() -> None:
    weights = np.random.default_rng(0).standard_normal((5, 70)).astype(np.float32)
    weights[2] = 0
    packed, scales = quantize(weights)
    assert (packed.shape, scales.shape) == ((5, 3, 32), (5, 3))
    restored = ((packed.astype(np.float32) - 128) * scales[:, :, None]).reshape(5, -1)[:, :70]
    assert (np.abs(restored - weights) <= np.repeat(scales, 32, axis=1)[:, :70] * 0.501).all()


@pytest.mark.parametrize("settings", [{}, {"tie_word_embeddings": True, "intermediate_size": 100}], ids=str)
def test_int8_weights_are_close(write_llama: Any, tmp_path: Path, settings: dict[str, Any]) -> None:
    llama = write_llama(**settings)
    exported = export_engine(llama.folder, tmp_path / "int8", "int8")
    exact = llama.logits(TOKENS)[-1]
    difference = np.abs(logits_of(exported) - exact)
    assert 0 < difference.max() < 0.2 * exact.std()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_constants_in_a_file_beside_the_model_give_the_same(llama: Any, tmp_path: Path, precision: Any) -> None:
    read = read_llama(llama.folder)
    for name, limit in (("inside", 1 << 30), ("beside", 1000)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(llama.config))
        save_model(graph_of(llama.folder, read, precision, 256), read, 256, folder, largest_inline=limit)
    assert (tmp_path / "beside" / "model.onnx").stat().st_size < 20_000
    assert (logits_of(tmp_path / "inside") == logits_of(tmp_path / "beside")).all()
