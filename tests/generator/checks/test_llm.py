"""Checks of models around TensorRT-LLM, on any repository."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tritonsmith.generator.catalog.releases import RELEASES
from tritonsmith.generator.checks import Case, Target, check_repository
from tritonsmith.generator.checks.registry import all_checks
from tritonsmith.generator.repository.core import Content, Model, Repository
from tritonsmith.generator.repository.read import read_repository

BASE = {"gpt_model_type": "inflight_fused_batching", "gpt_model_path": "/models/a/1/engine"}


def engine(name: str = "tensorrt_llm", *, decoupled: bool = True, **parameters: str) -> Model:
    config = ModelConfig(name=name, backend="tensorrtllm", max_batch_size=4)
    config.model_transaction_policy.decoupled = decoupled
    config.instance_group.add(kind=ModelInstanceGroup.KIND_CPU, count=1)
    return with_parameters(config, {**BASE, **parameters})


def python(name: str, *, decoupled: bool = True, files: Any = None, **parameters: str) -> Model:
    config = ModelConfig(name=name, backend="python")
    config.model_transaction_policy.decoupled = decoupled
    return with_parameters(config, parameters, files)


def with_parameters(config: ModelConfig, parameters: dict[str, str], files: Any = None) -> Model:
    for key, value in parameters.items():
        if value:
            config.parameters[key].string_value = value
    return Model(config.name, config, {"1/model.py": Content(b""), **(files or {})})


def llmapi(*, decoupled: bool, yaml_decoupled: bool, batch: int = 0) -> Model:
    document = {"model": "/m", "triton_config": {"decoupled": yaml_decoupled}}
    model = python("chat", decoupled=decoupled, files={"1/model.yaml": Content(yaml.safe_dump(document).encode())})
    assert model.config is not None
    model.config.max_batch_size = batch
    return model


def kind_gpu() -> Model:
    model = engine()
    assert model.config is not None
    model.config.instance_group[0].kind = ModelInstanceGroup.KIND_GPU
    return model


def found(*models: Model, release: str = "24.12", **settings: Any) -> dict[str, list[str]]:
    repository = Repository("r", {model.name: model for model in models}, settings=settings)
    findings = check_repository(Case(repository, Target(RELEASES[release])))
    told: dict[str, list[str]] = {}
    for finding in findings:
        if finding.code.startswith("TS7"):
            assert finding.remedy
            told.setdefault(finding.code, []).append(finding.message)
    return told


BROKEN: list[tuple[str, tuple[Model, ...], str]] = [
    ("TS701", (engine(gpt_model_path="${engine_dir}"),), "parameter gpt_model_path is '${engine_dir}': a placeholder"),
    ("TS701", (python("pre", tokenizer_dir="${tokenizer_dir}"),), "parameter tokenizer_dir is '${tokenizer_dir}'"),
    (
        "TS702",
        (engine(enable_kv_cache_reuse="yes"),),
        "parameter enable_kv_cache_reuse is 'yes', which the backend does",
    ),
    ("TS702", (engine(enable_kv_cache_reuse="True "),), "parameter enable_kv_cache_reuse is 'True '"),
    ("TS702", (engine(batch_scheduler_policy="max"),), "parameter batch_scheduler_policy is 'max'"),
    ("TS702", (engine(worker_path="/x"),), "has no parameter 'worker_path'. Did you mean 'executor_worker_path'?"),
    ("TS702", (engine(gpt_model_type=""),), "parameter gpt_model_type is missing"),
    (
        "TS703",
        (engine("a"), engine("b")),
        "a and b share GPU 0, and their kv_cache_free_gpu_mem_fraction add up to 1.8",
    ),
    (
        "TS704",
        (python("bls", decoupled=False, tensorrt_llm_model_name="tensorrt_llm"), engine()),
        "false here and true in",
    ),
    ("TS705", (engine("a", gpu_device_ids="0"), engine("b", gpu_device_ids="1,2")), "different numbers of ranks"),
    (
        "TS706",
        (llmapi(decoupled=False, yaml_decoupled=True),),
        "decoupled is true in model.yaml's triton_config and false",
    ),
    ("TS706", (llmapi(decoupled=True, yaml_decoupled=True, batch=4),), "max_batch_size is 4; a request of an llmapi"),
    ("TS707", (python("bls", tensorrt_llm_model_name="tensorrt_lm"), engine()), "names 'tensorrt_lm', which is not in"),
    ("TS708", (kind_gpu(),), "the instance group is KIND_GPU"),
    ("TS708", (engine(gpu_device_ids="0;1"),), "1 instances, but gpu_device_ids has 2 groups"),
]


@pytest.mark.parametrize(("code", "models", "message"), BROKEN)
def test_what_is_wrong_is_told(code: str, models: tuple[Model, ...], message: str) -> None:
    assert [message in text for text in found(*models).get(code, [])] == [True]


@pytest.mark.parametrize(
    "models",
    [
        (engine(),),
        (engine("a", gpu_device_ids="0"), engine("b", gpu_device_ids="1")),
        (engine("a", kv_cache_free_gpu_mem_fraction="0.45"), engine("b", kv_cache_free_gpu_mem_fraction="0.45")),
        (engine("a", max_tokens_in_paged_kv_cache="100"), engine("b")),
        (python("bls", tensorrt_llm_model_name="tensorrt_llm"), engine()),
        (llmapi(decoupled=True, yaml_decoupled=True),),
        (python("alone"),),
    ],
)
def test_nothing_is_said_of_what_is_right(models: tuple[Model, ...]) -> None:
    assert found(*models) == {}


def test_a_parameter_is_judged_by_the_release_of_the_target() -> None:
    assert "TS702" in found(engine(num_nodes="1"), release="24.12")
    assert found(engine(num_nodes="1"), release="25.05") == {}


def test_every_check_here_is_broken_here() -> None:
    codes = {code for code in all_checks() if code.startswith("TS7")}
    assert codes == {case[0] for case in BROKEN}


def test_a_placeholder_is_found_in_a_repository_on_disk(tmp_path: Path) -> None:
    folder = tmp_path / "tensorrt_llm"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(
        'name: "tensorrt_llm"\nbackend: "tensorrtllm"\n'
        'parameters { key: "gpt_model_type" value { string_value: "${batching_strategy}" } }\n'
    )
    told = [str(finding) for finding in check_repository(Case(read_repository(tmp_path), Target(RELEASES["24.12"])))]
    assert any("TS701" in line and "config.pbtxt" in line for line in told)
