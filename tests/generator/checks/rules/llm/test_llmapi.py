"""Models around the LLM API: model.yaml and config.pbtxt."""

from typing import Any

import pytest

from tests.generator.checks.rules.llm.models import chat, found, told
from tritonsmith.generator.findings import Phase, Severity
from tritonsmith.generator.repository.core import Content, Model

GRAPHS = {"cuda_graph_config": {"batch_sizes": [1, 4], "max_batch_size": 8}}
HALF: dict[str, Any] = {"kv_cache_config": {"free_gpu_memory_fraction": 0.45}}
BROKEN: list[tuple[str, tuple[Model, ...], dict[str, Any], str]] = [
    (
        "TS706",
        (chat({"triton_config": {"decoupled": True}}),),
        {},
        "decoupled is true in model.yaml's triton_config and false in config.pbtxt",
    ),
    ("TS785", (chat(batch=4),), {}, "max_batch_size is 4; a request of an llmapi model is one prompt"),
    (
        "TS785",
        (chat({"triton_config": {"max_batch_size": 4}}),),
        {},
        "max_batch_size is 4 in 1/model.yaml: triton_config",
    ),
    ("TS785", (chat(dims=(-1, 1)),), {}, "text_input has dims [-1, 1]"),
    ("TS786", (chat({"max_seq_length": 5}),), {}, "LLM has no such argument. Did you mean 'max_seq_len'?"),
    ("TS786", (chat({"build_config": {}}),), {}, "1/model.yaml: build_config: an engine's, not the LLM API's"),
    ("TS786", (chat({"cuda_graph_config": {}}),), {"release": "25.05"}, "has no such argument"),
    ("TS786", (chat({"zzzz": 5}),), {}, "no argument of LLM that we know"),
    ("TS786", (chat({"kv_cache_config": {"max_token": 5}}),), {}, "kv_cache_config.max_token: no such argument"),
    ("TS787", (chat({"backend": "tensorrt"}),), {}, "1/model.yaml: backend is 'tensorrt'"),
    ("TS787", (chat({"tensor_parallel_size": "two"}),), {}, "tensor_parallel_size is 'two'"),
    ("TS787", (chat({"kv_cache_config": {"free_gpu_memory_fraction": 9}}),), {}, "free_gpu_memory_fraction is 9"),
    ("TS788", (chat(HALF, count=2),), {}, "2 instances without gpu_device_ids"),
    ("TS789", (chat(count=3, gpu_device_ids="0;1"),), {}, "3 instances, but gpu_device_ids has 2 groups"),
    ("TS790", (chat({"tensor_parallel_size": 2}, count=2, gpu_device_ids="0,1;2"),), {}, "gpu_device_ids 2 are 1, but"),
    (
        "TS791",
        (chat({"tensor_parallel_size": 4, "moe_tensor_parallel_size": 1, "moe_expert_parallel_size": 2}),),
        {},
        "is 1 x 2, tensor_parallel_size 4",
    ),
    ("TS792", (chat(GRAPHS),), {}, "max_batch_size is 8, batch_sizes go to 4"),
    (
        "TS793",
        (chat({"max_batch_size": 2, "cuda_graph_config": {"batch_sizes": [4]}}),),
        {},
        "go to 4, max_batch_size is 2",
    ),
    ("TS794", (chat(), chat(name="b")), {}, "free_gpu_memory_fraction of the LLMs on GPU 0 add up to 1.8"),
    ("TS794", (chat(count=2, gpu_device_ids="0;0"),), {}, "on GPU 0 add up to 1.8"),
    ("TS795", (chat(),), {"release": "26.07"}, "openai package"),
]


@pytest.mark.parametrize(("code", "models", "given", "message"), BROKEN)
def test_what_is_wrong_is_told_once(code: str, models: tuple[Model, ...], given: dict[str, Any], message: str) -> None:
    said = told(*models, **{"release": "26.04", **given})
    assert set(said) == {code}
    assert [message in text for text in said[code]] == [True]


@pytest.mark.parametrize(
    "models",
    [
        (chat(),),
        (chat({"backend": "pytorch", "tensor_parallel_size": 1, "pipeline_parallel_size": 1}),),  # NVIDIA's own
        (chat({"triton_config": {"decoupled": True}}, written=True),),
        (chat({"tensor_parallel_size": 4, "moe_tensor_parallel_size": 2, "moe_expert_parallel_size": 2}),),
        (chat({"max_batch_size": 8, "cuda_graph_config": {"batch_sizes": [1, 8], "max_batch_size": 8}}),),
        (chat(HALF), chat(HALF, name="b")),
        (chat(count=2, gpu_device_ids="0;1"),),
        (chat({"speculative_config": {"decoding_type": "MTP", "anything": 1}}),),
        (chat({"cuda_graph_config": None}),),
    ],
)
def test_nothing_is_said_of_what_is_right(models: tuple[Model, ...]) -> None:
    assert told(*models, release="26.04") == {}


@pytest.mark.parametrize("text", [b"", b"[", b"- 1", b"triton_config: 5", b"\xff", b"[" * 5000, b"a: &a [*a]"])
def test_a_model_yaml_that_is_none_is_left_to_the_model(text: bytes) -> None:
    model = chat()
    broken = Model(model.name, model.config, {"1/model.py": Content(b""), "1/model.yaml": Content(text)}, ("1",))
    assert told(broken, release="26.04") == {}


def test_what_llm_refuses_does_not_load_and_what_only_the_client_can_change_is_a_note() -> None:
    assert [finding.phase for finding in found(chat({"build_config": {}}), release="26.04")] == [Phase.LOAD]
    assert [finding.severity for finding in found(chat(), release="26.07")] == [Severity.NOTE]
