from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tritonsmith.backends.python_based.tensorrtllm.llm.wire.parameters import (
    PARAMETERS,
    SettingsError,
    engine_folder,
    read_settings,
)

CONTRACTS = sorted((Path(__file__).parents[4] / "data" / "contracts").glob("*.json"))


def config(**parameters: str) -> dict[str, Any]:
    given = {"gpt_model_path": "engine", **parameters}
    return {
        "max_batch_size": 4,
        "parameters": {name: {"string_value": value} for name, value in given.items()},
    }


def test_what_is_left_out_is_left_to_the_engine() -> None:
    settings = read_settings(config(), is_on_gpu=False)
    assert (settings.engine, settings.max_batch_size, settings.is_decoupled) == ("engine", 4, False)
    assert settings.max_queue_size == 0
    assert settings.is_cache_reused is None
    assert settings.scheduler_policy is None
    assert not settings.notices


def test_parameters_and_the_queue_policy_become_settings() -> None:
    document = config(
        gpt_model_type="inflight_fused_batching",
        batch_scheduler_policy="MAX_UTILIZATION",
        enable_kv_cache_reuse="TRUE",
        enable_chunked_context="0",
        exclude_input_in_output="true",
        max_tokens_in_paged_kv_cache="640",
        cancellation_check_period_ms="20",
        max_beam_width="1",
    )
    document["model_transaction_policy"] = {"decoupled": True}
    document["dynamic_batching"] = {"default_queue_policy": {"max_queue_size": 5}}
    settings = read_settings(document, is_on_gpu=False)
    assert settings.scheduler_policy == "max_utilization"
    assert (settings.is_cache_reused, settings.is_context_chunked) == (True, False)
    assert (settings.is_input_excluded, settings.is_decoupled) == (True, True)
    assert (settings.max_tokens_in_cache, settings.max_queue_size) == (640, 5)
    assert (settings.cancellation_check_period_ms, settings.stats_check_period_ms) == (20, 100)


def test_what_a_template_left_unfilled_is_unset() -> None:
    assert read_settings(config(max_beam_width="${max_beam_width}", decoding_mode=""), is_on_gpu=False).notices == ()


def test_what_means_nothing_here_is_taken_and_said() -> None:
    parameters = {
        "kv_cache_free_gpu_mem_fraction": "0.9",
        "multi_block_mode": "true",
        "kv_cache_host_memory_bytes": "1",
    }
    on_cpu = read_settings(config(**parameters), is_on_gpu=False)
    assert on_cpu.notices == (
        "without effect on this engine: kv_cache_free_gpu_mem_fraction, kv_cache_host_memory_bytes, multi_block_mode",
    )
    on_gpu = read_settings(config(**parameters), is_on_gpu=True)
    assert (on_gpu.free_gpu_memory_fraction, on_gpu.host_cache_bytes) == (0.9, 1)
    assert on_gpu.notices == ("without effect on this engine: multi_block_mode",)


def test_an_unknown_parameter_is_said_with_what_was_meant() -> None:
    (notice,) = read_settings(config(enable_kv_cache_resue="true"), is_on_gpu=False).notices
    assert notice == "parameter enable_kv_cache_resue is not known and ignored; meant enable_kv_cache_reuse?"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("gpt_model_type", "V1", "must be one of inflight_fused_batching, inflight_batching"),
        ("max_beam_width", "4", "the CPU engine cannot do that; use 1, or leave it out"),
        ("decoding_mode", "beam_search", "must be one of auto, top_k, top_p, top_k_top_p"),
        ("decoding_mode", "medusa", "must be one of"),
        ("medusa_choices", "{0}", "cannot do that"),
        ("encoder_model_path", "/e", "cannot do that; leave it out"),
        ("max_attention_window_size", "128", "the CPU engine cannot do that"),
        ("enable_kv_cache_reuse", "yes", "must be true or false"),
        ("max_tokens_in_paged_kv_cache", "many", "must be a whole number"),
        ("kv_cache_free_gpu_mem_fraction", "90", "must be a number from 0 to 1"),
        ("worker_path", "/w", "was replaced by executor_worker_path"),
        ("enable_trt_overlap", "true", "use false, or leave it out"),
        ("num_nodes", "2", "use 1"),
    ],
)
def test_what_the_cpu_engine_cannot_do_is_refused_by_name(name: str, value: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(config(**{name: value}), is_on_gpu=False)
    assert str(caught.value).startswith(f"parameter {name} = '{value}'")
    assert words in str(caught.value)


def test_a_sliding_window_is_the_gpus_affair() -> None:
    settings = read_settings(config(max_attention_window_size="128, 64"), is_on_gpu=True)
    assert settings.attention_window == (128, 64)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"parameters": {}}, "gpt_model_path is not set"),
        ({"max_batch_size": 0}, "max_batch_size must be at least 1"),
        ({"instance_group": [{"count": 1}, {"count": 1}]}, "instance_group has 2 instances"),
    ],
)
def test_a_configuration_that_cannot_be_served_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read_settings(config() | changes, is_on_gpu=False)


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda path: path.stem)
def test_every_parameter_of_nvidias_templates_is_known(contract: Path) -> None:
    names = json.loads(contract.read_text())["models"]["tensorrt_llm"]["parameters"]
    assert names
    assert set(names) <= set(PARAMETERS)


def test_a_relative_engine_path_counts_from_the_version_folder(tmp_path: Path) -> None:
    (tmp_path / "m" / "2" / "engine").mkdir(parents=True)
    assert engine_folder("engine", tmp_path / "m", "2", "m") == tmp_path / "m" / "2" / "engine"


def test_the_containers_path_of_this_model_is_looked_up_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "m" / "1" / "engine").mkdir(parents=True)
    found = engine_folder("/models/m/1/engine", tmp_path / "m", "1", "m")
    assert found == tmp_path / "m" / "1" / "engine"


def test_an_engine_that_is_nowhere_is_named_with_each_place(tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    with pytest.raises(SettingsError, match=r"no folder /models/m/1/engine \(nor .*/m/1/engine\)"):
        engine_folder("/models/m/1/engine", tmp_path / "m", "1", "m")
    with pytest.raises(SettingsError, match=r"there is no folder /engines/llama$"):
        engine_folder("/engines/llama", tmp_path / "m", "1", "m")
