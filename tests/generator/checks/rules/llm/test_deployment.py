"""How LLMs are started."""

from typing import Any

import pytest
from tritonclient.grpc.model_config_pb2 import DataType, ModelInstanceGroup

from tests.generator.checks.rules.llm.models import bls, chat, found, llm, post, pre, python_model, told
from tritonsmith.generator.checks import Target
from tritonsmith.generator.findings import Severity
from tritonsmith.generator.repository.core import Model, Repository

FAST: dict[str, Any] = {"speculative_decoding_fast_logits": "true"}
DRAFTED = (pre(), post(), bls(tensorrt_llm_draft_model_name="draft"))
PARTICIPANTS = {"orchestrator": "participants"}


def changed(model: Model, path: str, value: Any) -> Model:
    assert model.config is not None
    *parents, last = path.split(".")
    place: Any = model.config
    for parent in parents:
        place = place[int(parent)] if parent.isdecimal() else getattr(place, parent)
    setattr(place, last, value)
    return model


def asking(model: Model, name: str) -> Model:
    """The model with an input by which a request asks for something."""
    assert model.config is not None
    model.config.input.add(name=name, data_type=DataType.TYPE_BOOL, dims=[1], optional=True)
    return model


BROKEN: list[tuple[str, tuple[Model, ...], dict[str, Any], str]] = [
    ("TS705", (llm("a", gpu_device_ids="0"), llm("b", gpu_device_ids="1,2")), {}, "different numbers of ranks"),
    ("TS705", (llm(participant_ids="1"), llm("b", gpu_device_ids="1")), {}, "b has no participant_ids"),
    (
        "TS708",
        (changed(llm(), "instance_group.0.kind", ModelInstanceGroup.KIND_GPU),),
        {},
        "the instance group is KIND_GPU",
    ),
    ("TS771", (llm(gpu_device_ids="0;1"),), {}, "1 instance, but gpu_device_ids has 2 groups"),
    ("TS771", (llm(count=2, gpu_device_ids="0;1", participant_ids="1"),), {}, "2 instances, but participant_ids has 1"),
    ("TS771", (llm(count=2),), {}, "2 instances without gpu_device_ids"),
    (
        "TS772",
        (llm(engine="llama-0.19.0-tp4", gpu_device_ids="0,1"),),
        {"release": "25.05"},
        "0,1 are 2, the engine has 4",
    ),
    ("TS772", (llm(engine="llama-0.19.0-tp4", gpu_device_ids="0,1,2,2"),), {"release": "25.05"}, "names a GPU twice"),
    ("TS773", (llm(engine="llama-0.16.0", participant_ids="1,2"),), {}, "participant_ids 1,2 are 2, the engine has 1"),
    ("TS774", (llm(),), {"server": PARTICIPANTS}, "the server's orchestrator is participants"),
    ("TS776", (changed(llm(), "dynamic_batching.default_queue_policy.max_queue_size", 0),), {}, "max_queue_size is 0"),
    ("TS777", (changed(llm(), "dynamic_batching.max_queue_delay_microseconds", 5),), {}, "only adds latency"),
    ("TS778", (llm(python=True, gpu_weights_percent="0.5"),), {}, "the Python model does not read it"),
    ("TS779", (llm(python=True, gpu_device_ids="0;1"),), {}, "has groups, which the Python model cannot read"),
    ("TS780", (llm(python=True, encoder_model_path="/e", cross_kv_cache_fraction="0.5"),), {}, "runs decoders alone"),
    ("TS781", (llm(**FAST),), {}, "is true without an orchestrator that does not spawn"),
    ("TS782", (llm(),), {"release": "26.08"}, "Triton 26.08 has no backend 'tensorrtllm'"),
    ("TS783", (llm(python=True),), {"server": PARTICIPANTS}, "does not spawn, which the Python model cannot do"),
    (
        "TS784",
        (
            *DRAFTED,
            llm(participant_ids="1", **FAST),
            llm("draft", engine="llama-0.16.0", gpu_device_ids="1", participant_ids="2"),
        ),
        {},
        "the draft was built with gather_generation_logits off",
    ),
    (
        "TS796",
        (asking(llm(engine="llama-0.16.0"), "return_context_logits"),),
        {},
        "requests with return_context_logits fail",
    ),
]


@pytest.mark.parametrize(("code", "models", "given", "message"), BROKEN)
def test_what_is_wrong_is_told_once(code: str, models: tuple[Model, ...], given: dict[str, Any], message: str) -> None:
    said = told(*models, **given)
    assert set(said) == {code}
    assert [message in text for text in said[code]] == [True]


def test_rank_0_is_the_orchestrator_s() -> None:
    assert "participant_ids names rank 0, which is the orchestrator" in told(llm(participant_ids="0"))["TS775"]


def test_models_that_went_with_the_backend_are_told_beside_it() -> None:
    models = (python_model("encoders", multimodal_model_path="/m"), llm())
    said = found(*models, release="26.08")
    assert {finding.model: finding.severity for finding in said} == {
        "encoders": Severity.WARNING,
        "tensorrt_llm": Severity.ERROR,
    }
    assert told(*models, release="26.07") == {}


@pytest.mark.parametrize(
    ("models", "given"),
    [
        ((llm(count=2, gpu_device_ids="0;1"),), {}),
        ((llm(engine="llama-0.19.0-tp4", gpu_device_ids="0,1,2,3"),), {"release": "25.05"}),
        ((llm(participant_ids="1"), llm("b", gpu_device_ids="1", participant_ids="2")), {"server": PARTICIPANTS}),
        ((llm(participant_ids="1", **FAST),), {"server": PARTICIPANTS}),
        ((llm(python=True, gpu_device_ids="0,1", num_nodes="1"),), {"release": "25.05"}),
        ((changed(llm(gpt_model_type="V1"), "dynamic_batching.max_queue_delay_microseconds", 5),), {}),
        ((changed(llm(), "dynamic_batching.default_queue_policy.max_queue_size", 0),), {"ours": True}),
        ((chat(),), {"release": "26.08"}),
        ((asking(llm(), "return_context_logits"),), {}),
        (
            (
                asking(
                    llm(engine="llama-0.16.0", changes={"build_config.gather_context_logits": 1}),
                    "return_context_logits",
                ),
            ),
            {},
        ),
    ],
)
def test_nothing_is_said_of_what_can_be_started(models: tuple[Model, ...], given: dict[str, Any]) -> None:
    said = told(*models, **given)
    said.pop("TS711", None)  # V1
    assert said == {}


@pytest.mark.parametrize(
    ("model", "release"),
    [
        (llm(), "26.07"),
        (llm(types={"min_length": "TYPE_INT32"}), "25.08"),
        (llm(types={"min_length": "TYPE_INT32"}, tokenizer_dir=None), "25.04"),
        (llm(types={"return_kv_cache_reuse_stats": "TYPE_BOOL"}, tokenizer_dir=None), "25.04"),
        (llm(types={"mine": "TYPE_BOOL"}), "26.07"),
        (llm(gpt_model_type=None), "26.07"),  # no release takes it
        (chat(), "26.08"),
    ],
)
def test_where_nobody_says_the_release_it_is_the_newest_that_fits(model: Model, release: str) -> None:
    assert Target.of(Repository("r", {model.name: model})).release.name == release
