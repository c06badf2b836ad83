"""The five models of seven releases against what NVIDIA's templates declare: tests/data/contracts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from tritonsmith.ensembles.blueprint import Use
from tritonsmith.ensembles.pipelines import load_spec
from tritonsmith.ensembles.text_generation.backend_parameters import ParameterReader
from tritonsmith.generator.catalog.releases import RELEASES
from tritonsmith.generator.catalog.tensorrtllm.parameters import TENSORRT_LLM, parameters_of
from tritonsmith.generator.catalog.tensorrtllm.versions import parse_version
from tritonsmith.generator.lower import lower
from tritonsmith.generator.repository.pbtxt import render_config

CONTRACTS = Path(__file__).parents[2] / "data" / "contracts"
NAMES = ("24.08", "24.12", "25.05", "25.09", "25.12", "26.03", "26.07")
MODELS = ("preprocessing", "tensorrt_llm", "postprocessing", "ensemble", "tensorrt_llm_bls")

# Types that depend on the engine, chosen so that none is what a template would say by itself.
TYPES = {
    "${logits_datatype}": "TYPE_FP16",
    "${encoder_input_features_data_type}": "TYPE_BF16",
    "${prompt_embedding_table_data_type}": "TYPE_BF16",
}

# Where ours is not upstream's, and why.
TWICE = "kv_cache_alloc_total_blocks"  # upstream's ensemble declares it twice since 0.19; once says the same
PROMPT = "prompt_embedding_table"  # FP16 in upstream's ensemble and BLS: with another engine the ensemble cannot load
OWN_PARAMETERS = {
    "tensorrt_llm_bls": {
        "tokenizer_dir",  # it detokenises by itself: a hop less per token, and exact
        "skip_special_tokens",
        "preprocessing_model_name",  # upstream fixes the name, so that two pipelines cannot share a repository
    }
}
# tensorrt_llm's inputs in the ensemble's map, and since when: upstream's templates have them, with a comma behind the
# key, for which the files were read without them. Without the links no adapter, no guide reaches the engine.
# Source: tensorrtllm_backend v0.16.0 and v0.19.0: all_models/inflight_batcher_llm/ensemble/config.pbtxt.
LOST_LINKS = {
    "lora_task_id": "24.12",
    "lora_weights": "24.12",
    "lora_config": "24.12",
    "guided_decoding_guide_type": "25.05",
    "guided_decoding_guide": "25.05",
}
# Read by the backend, though its template does not show them; and two that our Python-based backend alone reads.
NOT_IN_TEMPLATES = {"recv_poll_period_ms", "enable_trt_overlap", "intra_op_thread_count", "coalesce_responses"}

SPEC = """
triton: "{release}"
pipelines:
  chat:
    use: text_generation
    engine: {{place: mounted, at: /engines/llama}}
    names: {{ensemble: ensemble}}
    with:
      tokenizer_dir: /engines/llama
      logits_datatype: {logits}
      encoder_input_features_data_type: TYPE_BF16
      prompt_embedding_table_data_type: TYPE_BF16
      max_batch_size: 16
      max_queue_size: 100
      parameters: {parameters}
"""
Row = tuple[str, tuple[int, ...], bool, bool, bool]
Configs = Mapping[str, pb.ModelConfig]
Build = Callable[..., Configs]


def contract_of(release: str) -> dict[str, Any]:
    contract: dict[str, Any] = json.loads((CONTRACTS / f"{release}.json").read_text())
    return contract


@pytest.fixture
def build(write_spec: Callable[[str], Path]) -> Build:
    """Return a function that gives the configurations of a release, as they stand in its config.pbtxt."""

    def configs(release: str, parameters: Mapping[str, str] | None = None) -> Configs:
        text = SPEC.format(release=release, logits="TYPE_FP16", parameters=json.dumps(parameters or {}))
        repository = lower(load_spec(write_spec(text)))
        written = {name: render_config(model.config) for name, model in repository.models.items() if model.config}
        assert not [text for text in written.values() if "${" in text or "<" in text]
        return {name: text_format.Parse(text, pb.ModelConfig()) for name, text in written.items()}

    return configs


def row_of(tensor: pb.ModelInput | pb.ModelOutput) -> Row:
    is_scalar = tensor.HasField("reshape") and not tensor.reshape.shape
    is_optional, is_ragged = getattr(tensor, "optional", False), getattr(tensor, "allow_ragged_batch", False)
    return (pb.DataType.Name(tensor.data_type), tuple(tensor.dims), is_optional, is_scalar, is_ragged)


def expected_row(tensor: Mapping[str, Any], model: str, release: str) -> Row:
    data_type = TYPES.get(tensor["data_type"], tensor["data_type"])
    if tensor["name"] == PROMPT and model in ("ensemble", "tensorrt_llm_bls") and release >= "25.12":
        data_type = TYPES["${prompt_embedding_table_data_type}"]
    flags = (tensor.get(flag, False) for flag in ("optional", "scalar_reshape", "allow_ragged_batch"))
    return (data_type, tuple(tensor["dims"]), *flags)


@pytest.mark.parametrize("release", NAMES)
def test_the_contract_is_of_the_release_s_tensorrt_llm(release: str) -> None:
    assert contract_of(release)["tensorrt_llm"] == RELEASES[release].tensorrt_llm


@pytest.mark.parametrize("release", NAMES)
def test_every_tensor_of_every_model_is_the_release_s(release: str, build: Build) -> None:
    configs = build(release)
    for model, expected in contract_of(release)["models"].items():
        for side in ("input", "output"):
            ours = [(tensor.name, row_of(tensor)) for tensor in getattr(configs[model], side)]
            rows = {tensor["name"]: expected_row(tensor, model, release) for tensor in expected[side]}
            assert dict(ours) == rows, f"{model} {side}"
            assert len(ours) == len(rows), f"{model} declares an {side} twice"


def test_upstream_declares_one_output_twice() -> None:
    names = [tensor["name"] for tensor in contract_of("25.05")["models"]["ensemble"]["output"]]
    assert {name for name in names if names.count(name) > 1} == {TWICE}


@pytest.mark.parametrize("release", NAMES)
def test_every_map_of_the_ensemble_is_the_release_s(release: str, build: Build) -> None:
    steps = build(release)["ensemble"].ensemble_scheduling.step
    ours = [
        {
            "model_name": step.model_name,
            "input_map": dict(step.input_map),
            "output_map": dict(step.output_map),
        }
        for step in steps
    ]
    expected = contract_of(release)["models"]["ensemble"]["step"]
    lost = {name: name for name, since in LOST_LINKS.items() if release >= since}
    assert not lost.keys() & expected[1]["input_map"].keys(), "it is no deviation any more"
    expected[1]["input_map"] |= lost
    assert ours == expected
    assert [step.model_version for step in steps] == [-1, -1, -1]


@pytest.mark.parametrize("release", NAMES)
def test_no_parameter_is_written_that_the_release_does_not_have(release: str, build: Build) -> None:
    configs = build(release)
    for model, expected in contract_of(release)["models"].items():
        extra = set(configs[model].parameters) - set(expected["parameters"])
        assert extra == OWN_PARAMETERS.get(model, set()), model


SAMPLES = {"bool": "true", "int": "3", "fraction": "0.5", "ints": "8,4", "groups": "0,1;2,3", "tree": "{0}, {0, 0}"}


def sampled(release: str) -> dict[str, str]:
    rows = parameters_of(TENSORRT_LLM, parse_version(RELEASES[release].tensorrt_llm))
    given = {name: row.choices[-1] if row.choices else SAMPLES.get(row.kind, "/x") for name, row in rows.items()}
    return {name: value for name, value in given.items() if name != "gpt_model_path"}


@pytest.mark.parametrize("release", NAMES)
def test_every_parameter_of_the_backend_is_reachable_under_its_own_name(release: str) -> None:
    expected = set(contract_of(release)["models"]["tensorrt_llm"]["parameters"])
    given = sampled(release)
    assert expected <= set(given) | {"gpt_model_path"}
    assert set(given) - expected <= NOT_IN_TEMPLATES
    # What makes no sense together is for the rules; here each is read, and written as it was given.
    reader = ParameterReader(Use({}, RELEASES[release]), parse_version(RELEASES[release].tensorrt_llm))
    assert list(reader.findings(given)) == []
    assert reader.values(given) == given


@pytest.mark.parametrize("release", NAMES)
def test_parameters_of_the_spec_are_written(release: str, build: Build) -> None:
    given = {"enable_chunked_context": "true", "max_tokens_in_paged_kv_cache": "4096", "normalize_log_probs": "false"}
    written = {name: value.string_value for name, value in build(release, given)["tensorrt_llm"].parameters.items()}
    assert given.items() <= written.items()
    assert written["gpt_model_path"] == "/engines/llama"


def fields_of(configs: Configs, *models: str) -> Iterator[pb.ModelConfig]:
    return (configs[model] for model in models)


@pytest.mark.parametrize("release", NAMES)
def test_batching_and_instances_are_the_release_s(release: str, build: Build) -> None:
    configs = build(release)
    assert {config.max_batch_size for config in configs.values()} == {16}
    for config in fields_of(configs, "preprocessing", "tensorrt_llm"):
        batching = config.dynamic_batching
        assert list(batching.preferred_batch_size) == [16]
        assert batching.default_queue_policy.max_queue_size == 100
    assert configs["postprocessing"].HasField("dynamic_batching")
    assert not configs["tensorrt_llm_bls"].HasField("dynamic_batching")
    backends = {name: config.backend or config.platform for name, config in configs.items()}
    assert backends == dict.fromkeys(MODELS, "python") | {"tensorrt_llm": "tensorrtllm", "ensemble": "ensemble"}
    counts = {name: [(group.kind, group.count) for group in config.instance_group] for name, config in configs.items()}
    cpu = pb.ModelInstanceGroup.KIND_CPU
    assert counts == {model: [(cpu, 1)] for model in MODELS} | {"tensorrt_llm_bls": [(cpu, 4)], "ensemble": []}


@pytest.mark.parametrize("release", NAMES)
def test_the_engine_and_its_caller_are_decoupled_alike(release: str, build: Build) -> None:
    configs = build(release)
    decoupled = {name for name, config in configs.items() if config.model_transaction_policy.decoupled}
    assert decoupled == {"tensorrt_llm", "tensorrt_llm_bls"}  # the ensemble takes it from its steps
