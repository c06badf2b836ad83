"""Models around TensorRT-LLM for tests, each right by itself, and what is said of a repository of them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig, ModelInstanceGroup

from tritonsmith.generator.catalog.releases import RELEASES
from tritonsmith.generator.checks import Case, Target, check_repository
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.repository.core import Content, File, Model, Repository
from tritonsmith.generator.spec.settings import Server

ENGINES = Path(__file__).parents[4] / "data" / "engines"
BASE = {"gpt_model_type": "inflight_fused_batching", "gpt_model_path": "/engines/llama"}
GUIDES = ("tokenizer_dir", "xgrammar_tokenizer_info_path", "guided_decoding_backend")
HERE = "/models/tensorrt_llm/1/engine"


def engine_files(engine: str, changes: Mapping[str, Any] | None = None, ranks: int | None = None) -> dict[str, File]:
    """Return the files of an engine of tests/data/engines as a model's, in 1/engine; `changes` are by dotted key."""
    config = json.loads((ENGINES / f"{engine}.json").read_text())
    for key, value in (changes or {}).items():
        *parents, last = key.split(".")
        place = config
        for parent in parents:
            place = place[parent]
        place[last] = value
    count = config["pretrained_config"]["mapping"]["world_size"] if ranks is None else ranks
    files: dict[str, File] = {f"1/engine/rank{rank}.engine": Content(b"engine") for rank in range(count)}
    return {**files, "1/engine/config.json": Content(json.dumps(config).encode())}


def llm(
    name: str = "tensorrt_llm",
    *,
    engine: str = "",
    changes: Mapping[str, Any] | None = None,
    ranks: int | None = None,
    files: Mapping[str, File] | None = None,
    python: bool = False,
    decoupled: bool = True,
    batch: int = 4,
    count: int = 1,
    types: Mapping[str, str] | None = None,
    outputs: Mapping[str, str] | None = None,
    **parameters: str | None,
) -> Model:
    """Return a model that runs an engine; a parameter that is None is left out, one that is empty is written so."""
    config = ModelConfig(name=name, backend="python" if python else "tensorrtllm", max_batch_size=batch)
    config.model_transaction_policy.decoupled = decoupled
    config.instance_group.add(kind=ModelInstanceGroup.KIND_CPU, count=count)
    config.dynamic_batching.default_queue_policy.max_queue_size = 100
    for kind, given in ((config.input, types), (config.output, outputs)):
        for tensor, data_type in (given or {}).items():
            kind.add(name=tensor, data_type=DataType.Value(data_type), dims=[-1, -1])
    held = dict(files or {})
    if engine:
        held |= engine_files(engine, changes, ranks)
        parameters = {"gpt_model_path": f"/models/{name}/1/engine", **parameters}
    written = {**BASE, **dict.fromkeys(GUIDES, ""), **parameters} if not python else {**BASE, **parameters}
    return with_parameters(config, written, held)


def python_model(
    name: str,
    *,
    decoupled: bool = False,
    batch: int = 0,
    count: int = 1,
    inputs: Mapping[str, str] | None = None,
    outputs: Mapping[str, str] | None = None,
    files: Mapping[str, File] | None = None,
    **parameters: str | None,
) -> Model:
    """Return a Python model."""
    config = ModelConfig(name=name, backend="python", max_batch_size=batch)
    config.model_transaction_policy.decoupled = decoupled
    config.instance_group.add(kind=ModelInstanceGroup.KIND_CPU, count=count)
    for kind, given in ((config.input, inputs), (config.output, outputs)):
        for tensor, data_type in (given or {}).items():
            kind.add(name=tensor, data_type=DataType.Value(data_type), dims=[-1])
    return with_parameters(config, parameters, files)


def bls(name: str = "tensorrt_llm_bls", *, decoupled: bool = True, **given: Any) -> Model:
    """Return NVIDIA's caller of an LLM."""
    return python_model(name, decoupled=decoupled, **{"count": 4, "tensorrt_llm_model_name": "tensorrt_llm", **given})


def pre(**given: Any) -> Model:
    """Return what makes tokens of text."""
    tensors = {"inputs": {"QUERY": "TYPE_STRING"}, "outputs": {"INPUT_ID": "TYPE_INT32"}}
    return python_model("preprocessing", **{"batch": 4, **tensors, **given})


def post(**given: Any) -> Model:
    """Return what makes text of tokens."""
    tensors = {"inputs": {"TOKENS_BATCH": "TYPE_INT32"}, "outputs": {"OUTPUT": "TYPE_STRING"}}
    return python_model("postprocessing", **{"batch": 4, **tensors, **given})


def ensemble(*steps: str) -> Model:
    """Return an ensemble of steps, without maps."""
    config = ModelConfig(name="ensemble", platform="ensemble", max_batch_size=4)
    for step in steps:
        config.ensemble_scheduling.step.add(model_name=step, model_version=-1)
    return Model("ensemble", config, {}, ("1",))


def chat(
    document: Mapping[str, Any] | None = None,
    *,
    name: str = "chat",
    written: bool = False,
    batch: int = 0,
    count: int = 1,
    dims: tuple[int, ...] = (-1,),
    **parameters: Any,
) -> Model:
    """Return a model of the LLM API; `document` is its model.yaml."""
    values = {"model": "/m", "triton_config": {"decoupled": False, "max_batch_size": 0}, **(document or {})}
    files = {"1/model.yaml": Content(yaml.safe_dump(values).encode())}
    model = python_model(name, decoupled=written, batch=batch, count=count, files=files, **parameters)
    assert model.config is not None
    model.config.input.add(name="text_input", data_type=DataType.Value("TYPE_STRING"), dims=dims)
    return model


def with_parameters(
    config: ModelConfig, parameters: Mapping[str, str | None], files: Mapping[str, File] | None = None
) -> Model:
    for key, value in parameters.items():
        if value is not None:
            config.parameters[key].string_value = value
    return Model(config.name, config, {"1/model.py": Content(b""), **(files or {})}, ("1",))


def found(
    *models: Model, release: str = "24.12", server: Mapping[str, Any] | None = None, gpu: str = "", ours: bool = False
) -> list[Finding]:
    """Return what the checks of this subject say of a repository."""
    settings: dict[str, Any] = {"triton": release} if server or gpu or ours else {}
    if server is not None:
        settings["server"] = dict(server)
    if gpu:
        settings["hardware"] = {"gpu": gpu, "count": 8}
    repository = Repository("r", {model.name: model for model in models}, settings=settings)
    target = Target(RELEASES[release], gpus=None, server=Server.model_validate(server) if server is not None else None)
    said = [finding for finding in check_repository(Case(repository, target)) if finding.code.startswith("TS7")]
    assert all(finding.remedy for finding in said)
    return said


def told(*models: Model, **given: Any) -> dict[str, list[str]]:
    """Return what is said, by code."""
    said: dict[str, list[str]] = {}
    for finding in found(*models, **given):
        said.setdefault(finding.code, []).append(finding.message)
    return said
