"""What follows from an engine where the spec says nothing, and what of it the spec can change."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tritonsmith.generator.lower import lower
from tritonsmith.generator.spec.document import Spec

Parameters = Callable[..., dict[str, str]]
Read = Callable[..., Spec]


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        ("llama-0.16.0", {"enable_kv_cache_reuse": "false", "enable_chunked_context": "false", "max_beam_width": "1"}),
        ("llama-0.16.0-paged-fmha", {"enable_kv_cache_reuse": "true", "enable_chunked_context": "true"}),
        ("llama-1.2.1-int8-kv", {"enable_kv_cache_reuse": "false", "enable_chunked_context": "true"}),
        ("llama-0.16.0-beam4", {"max_beam_width": "4"}),
        ("llama-0.16.0-medusa", {"decoding_mode": "medusa", "enable_chunked_context": "false"}),
        ("llama-0.19.0-lookahead", {"decoding_mode": "lookahead"}),
        ("llama-0.19.0-eagle", {"decoding_mode": "eagle"}),
        ("llama-0.19.0-tp4", {"gpu_device_ids": "0,1,2,3"}),
        ("gpt-0.16.0-static", {"gpt_model_type": "V1"}),
    ],
)
def test_parameters_follow_from_the_engine(parameters: Parameters, engine: str, expected: dict[str, str]) -> None:
    written = parameters(engine)
    assert {name: written.get(name) for name in expected} == expected


@pytest.mark.parametrize("name", ["decoding_mode", "gpu_device_ids", "participant_ids"])
def test_nothing_is_written_that_the_engine_does_not_need(parameters: Parameters, name: str) -> None:
    assert name not in parameters("llama-0.16.0")


def test_the_spec_is_over_the_engine(parameters: Parameters) -> None:
    given = {"enable_kv_cache_reuse": False, "max_beam_width": 2}
    written = parameters("llama-0.16.0-beam4", parameters=given)
    assert (written["enable_kv_cache_reuse"], written["max_beam_width"]) == ("false", "2")
    assert "enable_chunked_context" not in parameters("llama-0.16.0-beam4", parameters={"enable_chunked_context": None})


def test_batch_and_types_follow_from_the_engine(read: Read) -> None:
    models = lower(read("llama-0.16.0-beam4", "25.05", changes={"version": "0.19.0"})).models
    assert {model.config.max_batch_size for model in models.values() if model.config} == {16}
    for name in ("tensorrt_llm", "tensorrt_llm_bls", "chat"):
        config = models[name].config
        assert config is not None
        types = {output.name: output.data_type for output in config.output}
        assert types.get("generation_logits", 10) == 10, name  # FP16


def test_replicas_are_instances_on_gpus_of_their_own(read: Read, parameters: Parameters) -> None:
    given: dict[str, Any] = {"replicas": 2, "server": {"orchestrator": "participants"}}
    written = parameters("llama-0.19.0-tp4", **given)
    assert written["gpu_device_ids"] == "0,1,2,3;4,5,6,7"
    assert written["participant_ids"] == "1,2,3,4;5,6,7,8"
    config = lower(read("llama-0.19.0-tp4", **given)).models["tensorrt_llm"].config
    assert config is not None
    assert [group.count for group in config.instance_group] == [2]


def test_a_draft_is_a_second_model_that_tensorrt_llm_bls_calls(
    read: Read, parameters: Parameters, write_engine: Callable[..., Path]
) -> None:
    write_engine("llama-0.16.0-draft", folder="small")
    given: dict[str, Any] = {"draft": {"engine": "small"}, "names": {"tensorrt_llm_draft": "small_llm"}}
    spec = read("llama-0.16.0-target", **given)
    assert spec.findings == ()
    models = lower(spec).models
    assert list(models) == [
        *("preprocessing", "tensorrt_llm", "small_llm", "postprocessing", "tensorrt_llm_bls", "chat"),
    ]
    assert "1/engine/rank0.engine" in models["small_llm"].files
    bls = parameters("llama-0.16.0-target", model="tensorrt_llm_bls", **given)
    assert bls["tensorrt_llm_draft_model_name"] == "small_llm"
    assert list(spec.models["tensorrt_llm_bls"].calls) == ["preprocessing", "tensorrt_llm", "small_llm"]
    halves = [parameters("llama-0.16.0-target", model=name, **given) for name in ("tensorrt_llm", "small_llm")]
    assert [half["kv_cache_free_gpu_mem_fraction"] for half in halves] == ["0.45", "0.45"]


def test_disaggregated_serving_has_two_models_and_one_between(read: Read, parameters: Parameters) -> None:
    given: dict[str, Any] = {
        "disaggregated": {"context": {"replicas": 2}, "generation": {}},
        "server": {"orchestrator": "participants"},
    }
    spec = read("llama-0.19.0-tp2pp2", **given)
    assert spec.findings == ()
    models = lower(spec).models
    assert list(models) == [
        *("preprocessing", "context", "generation", "disaggregated_serving_bls", "postprocessing"),
        *("tensorrt_llm_bls", "chat"),
    ]
    context, generation = (parameters("llama-0.19.0-tp2pp2", model=name, **given) for name in ("context", "generation"))
    assert (context["gpu_device_ids"], context["participant_ids"]) == ("0,1,2,3;4,5,6,7", "1,2,3,4;5,6,7,8")
    assert (generation["gpu_device_ids"], generation["participant_ids"]) == ("8,9,10,11", "9,10,11,12")
    ensemble, between = models["chat"].config, models["disaggregated_serving_bls"].config
    assert ensemble is not None
    assert between is not None
    steps = [step.model_name for step in ensemble.ensemble_scheduling.step]
    assert steps == ["preprocessing", "disaggregated_serving_bls", "postprocessing"]
    named = {tensor.name for tensor in between.input} | {tensor.name for tensor in between.output}
    assert "context_phase_params" not in named
    # what comes goes on to models that want the batch axis
    assert not [tensor.name for tensor in between.input if tensor.HasField("reshape")]
    names = {f"1/{name}" for name in ("model.py", "disaggregated.py", "model_parameters.py")}
    assert names <= set(models["disaggregated_serving_bls"].files)
    bls = parameters("llama-0.19.0-tp2pp2", model="tensorrt_llm_bls", **given)
    assert bls["tensorrt_llm_model_name"] == "disaggregated_serving_bls"


def test_an_encoder_and_a_decoder_are_placed_together(read: Read, write_engine: Callable[..., Path]) -> None:
    for part in ("encoder", "decoder"):
        write_engine(f"t5-0.16.0-{part}", folder=f"engine/{part}")
    spec = read("t5-0.16.0", "24.12")
    assert spec.findings == ()
    model = lower(spec).models["tensorrt_llm"]
    assert model.config is not None
    written = {name: value.string_value for name, value in model.config.parameters.items()}
    assert written["gpt_model_path"] == "/models/tensorrt_llm/1/engine/decoder"
    assert written["encoder_model_path"] == "/models/tensorrt_llm/1/engine/encoder"
    assert written["cross_kv_cache_fraction"] == "0.5"
    assert {"1/engine/encoder/rank0.engine", "1/engine/decoder/rank0.engine"} <= set(model.files)
