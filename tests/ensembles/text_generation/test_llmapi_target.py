"""The one model of target llmapi: its tensors by release, its model.yaml, and what is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.export import export_engine
from tritonsmith.ensembles.pipelines import load_spec
from tritonsmith.ensembles.text_generation.blueprint import BLUEPRINT
from tritonsmith.generator.catalog.tensorrtllm.llmapi import ARGUMENTS, arguments_of, typed
from tritonsmith.generator.findings import Severity
from tritonsmith.generator.lower import lower
from tritonsmith.generator.repository.core import Content, Model
from tritonsmith.generator.spec.document import Spec

Read = Callable[..., Spec]


@pytest.fixture
def llmapi(tmp_path: Path) -> Read:
    """Return a function that reads a spec of target llmapi around the demo's model."""
    shutil.copytree(BLUEPRINT.folder / "demo", tmp_path / "demo")

    def read(release: str = "26.03", *, top: dict[str, Any] | None = None, **given: Any) -> Spec:
        own: dict[str, Any] = {key: given.pop(key) for key in ("replicas", "nodes", "names", "engine") if key in given}
        pipeline = {"use": "text_generation", "engine": "demo", **own, "with": {"target": "llmapi", **given}}
        spec = {"triton": release, **(top or {}), "pipelines": {"chat": pipeline}}
        (tmp_path / "tritonsmith.yaml").write_text(yaml.safe_dump(spec))
        return load_spec(tmp_path / "tritonsmith.yaml")

    return read


def model_of(spec: Spec, name: str = "chat") -> Model:
    models = lower(spec).models
    assert list(models) == [name]
    return models[name]


def document_of(model: Model) -> dict[str, Any]:
    file = model.files["1/model.yaml"]
    assert isinstance(file, Content)
    found: dict[str, Any] = yaml.safe_load(file.data)
    return found


# Typed from the table of NVIDIA's model, version by version.
FIRST = {
    "text_input",
    "streaming",
    *(f"sampling_param_{name}" for name in ("beam_width", "temperature", "top_k", "top_p", "frequency_penalty")),
    *(f"sampling_param_{name}" for name in ("presence_penalty", "max_tokens", "stop", "seed")),
    "sampling_param_exclude_input_from_output",
    *("return_finish_reason", "return_stop_reason", "return_cumulative_logprob"),
}
SINCE_1_0 = FIRST - {"sampling_param_beam_width"} | {
    *("sampling_param_best_of", "sampling_param_return_perf_metrics", "stop"),
}
MAIN = SINCE_1_0 | {
    *("image_url", "sampling_param_logits_post_processor_name"),
    *("lora_id", "lora_name", "lora_path", "lora_ckpt_source"),
}
FEW = {"text_output", "finish_reason", "stop_reason", "cumulative_logprob"}
ALL = FEW | {
    *(f"kv_cache_{name}" for name in ("reused_block", "missed_block", "alloc_new_blocks", "alloc_total_blocks")),
    "kv_cache_hit_rate",
    *(f"{stage}_time_ns" for stage in ("arrival", "first_scheduled", "first_token", "last_token")),
    *("acceptance_rate", "total_accepted_draft_tokens", "total_draft_tokens"),
}


@pytest.mark.parametrize(
    ("release", "inputs", "outputs"),
    [
        ("25.05", FIRST, FEW),
        ("25.08", FIRST, FEW),
        ("25.09", SINCE_1_0, ALL),
        ("25.12", SINCE_1_0, ALL),
        ("26.07", SINCE_1_0, ALL),
        ("26.08", MAIN, ALL),
    ],
)
def test_tensors_are_those_of_the_release(llmapi: Read, release: str, inputs: set[str], outputs: set[str]) -> None:
    config = model_of(llmapi(release)).config
    assert config is not None
    assert {tensor.name for tensor in config.input} == inputs
    assert {tensor.name for tensor in config.output} == outputs
    assert [tensor.name for tensor in config.input if not tensor.optional] == ["text_input"]
    assert config.max_batch_size == 0
    assert not [tensor.name for tensor in config.input if tensor.HasField("reshape")]


def test_types_are_those_of_nvidia_s_model(llmapi: Read) -> None:
    config = model_of(llmapi("26.08")).config
    assert config is not None
    types = {tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in config.input}
    types |= {tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in config.output}
    bool_, uint64, int32, int64, fp32, string = 1, 5, 8, 9, 11, 13
    expected = {
        "text_input": (string, (-1,)),
        "streaming": (bool_, (1,)),
        "sampling_param_best_of": (int32, (1,)),
        "sampling_param_temperature": (fp32, (1,)),
        "sampling_param_stop": (string, (-1,)),
        "sampling_param_seed": (uint64, (1,)),
        "lora_id": (uint64, (1,)),
        "lora_name": (string, (1,)),
        "text_output": (string, (-1,)),
        "cumulative_logprob": (fp32, (-1,)),
        "kv_cache_reused_block": (int32, (-1,)),
        "arrival_time_ns": (int64, (1,)),
        "acceptance_rate": (fp32, (1,)),
    }
    assert {name: types[name] for name in expected} == expected


@pytest.mark.parametrize("streams", [True, False])
def test_the_policy_is_the_same_in_both_files(llmapi: Read, streams: bool) -> None:
    model = model_of(llmapi(streaming=streams))
    assert model.config is not None
    assert model.config.model_transaction_policy.decoupled is streams
    assert document_of(model)["triton_config"]["decoupled"] is streams
    assert document_of(model)["triton_config"]["max_batch_size"] == 0


def test_model_yaml_has_the_arguments_as_yaml_types_them(llmapi: Read) -> None:
    arguments = {
        "tensor_parallel_size": 2,
        "enable_chunked_prefill": True,
        "cuda_graph_config": None,
        "kv_cache_config": {"free_gpu_memory_fraction": 0.5, "max_attention_window": [4096, 256], "dtype": "fp8"},
        "scheduler_config": {"capacity_scheduler_policy": "MAX_UTILIZATION"},
        "speculative_config": {"decoding_type": "NGram", "max_draft_len": 4, "is_keep_all": True},
    }
    document = document_of(model_of(llmapi(llm=arguments, max_batch_size=16)))
    assert document == {
        "model": "/models/chat/1/engine",
        "max_batch_size": 16,
        **arguments,
        "triton_config": {"max_batch_size": 0, "decoupled": True, "cancellation_check_period_ms": 100},
    }


def test_the_engines_and_the_tokenizer_lie_beside_the_model(llmapi: Read) -> None:
    files = model_of(llmapi()).files
    for name in ("model.py", "completion.py", "llm/engines.py", "llm/cpu/engine.py", "tokenizer/tokenizer.json"):
        assert f"1/{name}" in files
    assert "1/engine/model.safetensors" in files
    assert not [name for name in files if "__pycache__" in name]


def test_it_may_be_called_as_nvidia_s_is(llmapi: Read) -> None:
    assert model_of(llmapi(names={"tensorrt_llm": "tensorrt_llm"}), "tensorrt_llm").name == "tensorrt_llm"


def test_replicas_are_instances_with_a_group_of_gpus_each(llmapi: Read) -> None:
    config = model_of(llmapi("26.03", replicas=2, llm={"tensor_parallel_size": 2})).config
    assert config is not None
    assert [group.count for group in config.instance_group] == [2]
    assert config.parameters["gpu_device_ids"].string_value == "0,1;2,3"


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("25.04", {}, "Triton 25.04 (TensorRT-LLM 0.18.2) has no LLM API behind Triton"),
    (
        "25.09",
        {"llm": {"tensor_paralel_size": 2}},
        "LLM has no argument 'tensor_paralel_size'. Did you mean 'tensor_pa",
    ),
    (
        "25.09",
        {"llm": {"kv_cache_config": {"enable_reuse": True}}},
        "LLM has no argument 'kv_cache_config.enable_reuse'",
    ),
    ("25.09", {"llm": {"build_config": {}}}, "'build_config' is no argument of LLM"),
    ("25.09", {"llm": {"enable_chunked_context": True}}, "'enable_chunked_context' is no argument of LLM"),
    ("25.09", {"llm": {"backend": "tensorrt"}}, "'tensorrt' is no value of 'backend'"),
    ("25.09", {"llm": {"tensor_parallel_size": "two"}}, "'two' is no value of 'tensor_parallel_size'"),
    (
        "25.09",
        {"llm": {"kv_cache_config": {"free_gpu_memory_fraction": 2}}},
        "'2' is no value of 'kv_cache_config.free",
    ),
    ("25.09", {"llm": {"kv_cache_config": {"max_attention_window": 5}}}, "'5' is no value of 'kv_cache_config.max_att"),
    ("25.09", {"llm": {"tensor_parallel_size": 0}}, "'0' is no value of 'tensor_parallel_size'"),
    ("25.09", {"llm": {"kv_cache_config": [1]}}, "'['1']' is no value of 'kv_cache_config'"),
    ("26.03", {"replicas": 10**12}, "1,000,000,000,000 replicas are asked for"),
    ("25.09", {"llm": {"use_cuda_graph": True}}, "'use_cuda_graph' is gone since 1.0"),
    (
        "25.05",
        {"llm": {"cuda_graph_config": {"max_batch_size": 4}}},
        "'cuda_graph_config.max_batch_size' appeared in 0.21",
    ),
    ("25.09", {"llm": {"model": "/x"}}, "'model' is not set here"),
    (
        "25.09",
        {"llm": {"moe_expert_parallel_size": 3, "tensor_parallel_size": 2}},
        "are 3, but tensor_parallel_size is 2",
    ),
    (
        *("25.09", {"llm": {"cuda_graph_config": {"batch_sizes": [1, 4], "max_batch_size": 8}}}),
        "cuda_graph_config: max_batch_size 8, but the largest of batch_sizes is 4",
    ),
    ("25.09", {"llm": {"max_seq_len": 100_000}}, "max_seq_len 100000, but the model has"),
    (
        "25.09",
        {"top": {"hardware": {"gpu": "H100", "count": 2}}, "llm": {"tensor_parallel_size": 4}},
        "1 x 4 GPUs are nee",
    ),
    ("25.09", {"top": {"server": {"orchestrator": "spawn"}}}, "server.orchestrator spawn is for engines"),
    ("25.09", {"replicas": 2}, "2 replicas: instances on GPUs of their own came with TensorRT-LLM 1.2"),
    ("25.09", {"parameters": {"max_beam_width": 2}}, "'parameters' is for target tensorrtllm"),
    ("25.09", {"draft": {"engine": "demo"}}, "'draft' is for target tensorrtllm"),
    ("25.09", {"disaggregated": {}}, "'disaggregated' is for target tensorrtllm"),
    ("26.08", {}, "NVIDIA has no container of Triton 26.08 with TensorRT-LLM"),
]


@pytest.mark.parametrize(("release", "given", "message"), REFUSED)
def test_what_makes_no_sense_is_told(llmapi: Read, release: str, given: dict[str, Any], message: str) -> None:
    findings = llmapi(release, **given).findings
    assert message in "\n".join(finding.message for finding in findings)
    assert all(finding.remedy and finding.place.line for finding in findings)


def test_an_engine_is_refused(llmapi: Read, write_engine: Callable[..., Path]) -> None:
    write_engine("llama-1.0.0-streamed")
    found = llmapi("25.09", engine="engine", tokenizer="demo").findings
    assert [finding.message for finding in found] == [
        "the engine's folder holds an engine: LLM generates from the model itself"
    ]


def test_what_export_wrote_is_for_the_laptop_alone(llmapi: Read, tmp_path: Path) -> None:
    export_engine(BLUEPRINT.folder / "demo", tmp_path / "i8", "int8")
    (found,) = llmapi("26.03", engine="i8").findings
    assert found.message == "i8 was exported for the CPU engine: no LLM API can generate from it"
    assert found.severity is Severity.WARNING


def test_its_arguments_are_refused_of_the_other_target(llmapi: Read) -> None:
    found = llmapi("24.12", target="tensorrtllm", llm={"max_seq_len": 5}).findings
    assert [finding.message for finding in found] == ["'llm' is for target llmapi"]


def test_the_target_of_engines_ends_with_the_containers_that_have_it(llmapi: Read) -> None:
    [finding] = llmapi("26.08", target="tensorrtllm").findings
    assert "target: llmapi" in finding.remedy


def test_no_argument_has_two_rows_in_one_version() -> None:
    for version in ((0, 19), (0, 20), (0, 21), (1, 0), (1, 1), (1, 2), (1, 3)):
        names = [row.path for row in ARGUMENTS if row.holds_in(version)]
        assert len(names) == len(set(names)) == len(arguments_of(version))


def test_text_of_a_spec_is_typed_as_yaml_does() -> None:
    given = {"a": "true", "b": ["1", "0.5", "x"], "c": "1e3"}
    assert typed(given) == {"a": True, "b": [1, 0.5, "x"], "c": 1000.0}
