"""A model's shape is read from what it is published as, and what is not understood is refused by its key."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.perf.plan.public_models import NAMES, model_named, published
from tritonsmith.generator.errors import SpecError
from tritonsmith.perf.plan.core import LanguageModel, LayerGroup
from tritonsmith.perf.plan.models.read import read_model

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 256,
    "torch_dtype": "bfloat16",
}


def written(folder: Path, **changes: object) -> Path:
    """Return a config.json with some keys changed, None leaving a key out."""
    values = {key: value for key, value in (LLAMA | changes).items() if value is not None}
    path = folder / "config.json"
    path.write_text(json.dumps(values))
    return path


def multiplied_parameters(model: LanguageModel) -> float:
    """Return how many numbers a token is multiplied with: not the input's table, only experts it is sent to."""
    share = model.experts_per_token / model.experts if model.experts else 0.0
    looked_up = max(0.0, model.embedding_parameters.value - model.vocab_size * model.hidden_size)
    return model.parameters.value - looked_up - model.expert_parameters.value * (1 - share)


def test_of_twenty_public_models_both_is_known_where_they_fit_and_where_not() -> None:
    known = [name for name in NAMES if all(published(name).get(key) for key in ("fits", "does_not_fit"))]
    assert len(known) >= 20


@pytest.mark.parametrize("name", NAMES)
def test_parameters_that_follow_from_a_shape_are_those_published(name: str) -> None:
    known, model = published(name), model_named(name)
    assert model.parameters.value / 1e9 == pytest.approx(known["parameters_g"], rel=0.01)
    if "active_g" in known:  # some count the table of the input, some do not
        table = model.vocab_size * model.hidden_size
        multiplied = multiplied_parameters(model)
        assert 0.95 * multiplied <= known["active_g"] * 1e9 <= 1.05 * (multiplied + table)


def test_a_window_lies_in_all_layers_or_in_those_that_the_type_says() -> None:
    assert model_named("mistral-7b").layers == (LayerGroup(32, "window", 8, 128, window=4096),)
    gemma = model_named("gemma-3-27b").layers
    assert [(group.count, group.attention, group.window) for group in gemma] == [(52, "window", 1024), (10, "full", 0)]
    assert [group.count for group in model_named("llama-4-scout").layers] == [36, 12]


def test_latent_attention_keeps_one_vector_per_token() -> None:
    assert model_named("deepseek-v3").layers == (LayerGroup(61, "mla", 0, 192, latent=576),)


def test_sparse_attention_keeps_an_index_and_reads_what_it_selects() -> None:
    (group,) = model_named("deepseek-v3.2").layers
    assert (group.index_bytes, group.selected) == (132, 2048)


def test_what_is_in_the_files_and_in_no_number_is_told(tmp_path: Path) -> None:
    assert read_model(written(tmp_path)).uncounted == ""
    seeing = read_model(written(tmp_path, vision_config={"depth": 32}, num_nextn_predict_layers=1))
    assert seeing.uncounted == "its vision tower and layers that predict several tokens"


def test_a_model_is_named_by_its_folder_from_inside_of_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert read_model(Path("config.json")).name == read_model(Path()).name == tmp_path.name


def test_layers_without_a_cache_keep_a_state() -> None:
    # 64 heads x 64 x 128 numbers in 32 bits, and 3 x 6144 of the convolution in 16; layers of experts keep nothing
    mamba = LayerGroup(23, "linear", state_bytes=64 * 64 * 128 * 4 + 3 * 6144 * 2)
    experts, full = LayerGroup(23, "linear"), LayerGroup(6, "full", 2, 128)
    assert set(model_named("nemotron-3-nano-30b").layers) == {mamba, experts, full}
    assert [group.count for group in model_named("jamba-v0.1").layers if group.attention == "full"] == [4]


def test_a_dense_first_layer_has_no_experts(tmp_path: Path) -> None:
    sparse = {"n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    every = read_model(written(tmp_path, **sparse))
    first = read_model(written(tmp_path, **sparse, first_k_dense_replace=1))
    assert first.expert_parameters.value == every.expert_parameters.value / 2


def test_shared_experts_are_no_routed_ones(tmp_path: Path) -> None:
    sparse = {"n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    without = read_model(written(tmp_path, **sparse))
    with_one = read_model(written(tmp_path, **sparse, n_shared_experts=1))
    assert with_one.expert_parameters == without.expert_parameters
    assert with_one.parameters.value - without.parameters.value == 2 * 3 * 64 * 32


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "bf16"),
        ({"torch_dtype": "float16"}, "fp16"),
        ({"quantization_config": {"quant_method": "fp8"}}, "fp8"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "int4"),
        ({"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}, "nvfp4"),
        (
            {
                "quantization_config": {
                    "quant_method": "compressed-tensors",
                    "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}},
                }
            },
            "fp8",
        ),
    ],
)
def test_the_stored_type_is_what_the_files_say(tmp_path: Path, changes: dict[str, Any], kind: str) -> None:
    assert read_model(written(tmp_path, **changes)).weight_type == kind


def test_modelopt_says_beside_config_json_how_it_quantised(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "hf_quant_config.json").write_text(json.dumps({"quantization": {"quant_algo": "W4A16_AWQ"}}))
    assert read_model(path).weight_type == "int4"


def safetensors(path: Path, shape: list[int], kind: str = "BF16") -> None:
    """Write a file whose header speaks of one tensor, and as many bytes as that has."""
    size = 2
    for axis in shape:
        size *= axis
    header = json.dumps({"weight": {"dtype": kind, "shape": shape, "data_offsets": [0, size]}}).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + size)


def test_parameters_are_counted_where_weights_lie(tmp_path: Path) -> None:
    computed = read_model(written(tmp_path)).parameters.value
    safetensors(tmp_path / "model.safetensors", [int(computed) + 100])
    counted = read_model(tmp_path).parameters
    assert (counted.value, counted.low, counted.source) == (computed + 100, computed + 100, "1 safetensors files")


def test_weights_that_are_packed_are_not_counted_as_parameters(tmp_path: Path) -> None:
    computed = read_model(written(tmp_path)).parameters
    safetensors(tmp_path / "model.safetensors", [int(computed.value)], "U8")
    assert read_model(tmp_path).parameters == computed


def test_an_engine_says_the_same_below_its_own_key(tmp_path: Path) -> None:
    shape = {key: value for key, value in LLAMA.items() if key not in ("model_type", "torch_dtype")}
    pretrained = shape | {"architecture": "LlamaForCausalLM", "dtype": "float16", "quantization": {"quant_algo": "FP8"}}
    plain = read_model(written(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_config": pretrained, "build_config": {}}))
    engine = read_model(tmp_path)
    assert (engine.parameters.value, engine.layers, engine.weight_type) == (plain.parameters.value, plain.layers, "fp8")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"model_type": "lama"}, "model_type"),
        ({"model_type": None}, "model_type"),
        ({"layer_types": ["full_attention", "spiral_attention"]}, "layer_types"),
        ({"layer_types": ["full_attention"]}, "layer_types"),
        ({"block_configs": [{}]}, "block_configs"),
        ({"hidden_size": None}, "hidden_size"),
        ({"vocab_size": "many"}, "vocab_size"),
        ({"quantization_config": {"quant_method": "magic"}}, "quantization_config.quant_method"),
        ({"quantization_config": "fp8"}, "quantization_config"),
        ({"num_attention_heads": 0}, "num_attention_heads"),
        ({"num_key_value_heads": 0}, "num_key_value_heads"),
        ({"num_attention_heads": 4, "num_key_value_heads": 3}, "num_key_value_heads"),
        ({"num_attention_heads": 6, "num_key_value_heads": 2}, "num_attention_heads"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"num_local_experts": 4, "num_experts_per_tok": 5}, "num_experts_per_tok"),
    ],
)
def test_what_is_not_understood_is_refused_by_its_key(tmp_path: Path, changes: dict[str, Any], key: str) -> None:
    with pytest.raises(SpecError) as problem:
        read_model(written(tmp_path, **changes))
    assert key in str(problem.value)
    assert str(tmp_path) in str(problem.value)


def test_heads_that_do_not_divide_the_hidden_size_are_fine_where_their_size_is_said(tmp_path: Path) -> None:
    assert read_model(written(tmp_path, num_attention_heads=6, head_dim=16)).head_size == 16


def test_a_key_that_all_layers_read_is_told_once(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as problem:
        read_model(written(tmp_path, sliding_window="many"))
    assert [finding.key for finding in problem.value.findings] == ["sliding_window"]


def test_a_name_that_is_nearly_one_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="Did you mean 'llama'"):
        read_model(written(tmp_path, model_type="lama"))


def test_no_model_is_told_with_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="name a Hugging Face folder"):
        read_model(tmp_path)
