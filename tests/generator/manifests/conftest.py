"""Repositories of the kinds that are deployed: on processors, on GPUs of one pod, on several nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tritonsmith.generator.manifests.workload import Workload, plan_workload
from tritonsmith.generator.repository.core import Content, Model, Repository

H100S = {"gpu": "H100-SXM-80GB", "count": 8}
MakeModel = Callable[..., Model]
Plan = Callable[..., Workload]


def _engine(name: str = "tensorrt_llm", size: int = 1000, ranks: int = 1, **parameters: str) -> Model:
    config = ModelConfig(name=name, backend="tensorrtllm")
    for key, value in parameters.items():
        config.parameters[key].string_value = value
    return Model(name, config, {f"1/rank{rank}.engine": Content(bytes(size)) for rank in range(ranks)})


def _model(name: str = "m", backend: str = "python", *groups: dict[str, Any], file: str = "1/x") -> Model:
    config = ModelConfig(name=name, backend=backend, instance_group=[ModelInstanceGroup(**group) for group in groups])
    return Model(name, config, {file: Content(b"0123456789")})


def _plan(*models: Model, deploy: dict[str, Any] | None = None, **settings: Any) -> Workload:
    deploy = {"repository": {"claim": "models"}} if deploy is None else deploy
    settings = {"triton": "25.05", "deploy": deploy, **settings}
    return plan_workload(Repository("chat", {one.name: one for one in models}, settings=settings))


@pytest.fixture
def plan() -> Plan:
    """Return a function that plans the deployment of some models, from a claim where nothing else is said."""
    return _plan


@pytest.fixture
def engine() -> MakeModel:
    """Return a function that makes a model of TensorRT-LLM's backend, with an engine of some bytes."""
    return _engine


@pytest.fixture
def model() -> MakeModel:
    """Return a function that makes a model of a backend, with instance groups as written."""
    return _model


@pytest.fixture
def digits() -> Workload:
    """Return an ensemble on processors."""
    ensemble = ModelConfig(name="digits")
    ensemble.ensemble_scheduling.step.add(model_name="classifier")
    classifier = _model("classifier", "onnxruntime", {"kind": ModelInstanceGroup.KIND_CPU, "count": 1})
    return _plan(_model("preprocessing"), classifier, Model("digits", ensemble), deploy={"image": "registry/d:1"})


@pytest.fixture
def four_gpus() -> Workload:
    """Return an engine of four ranks in a pod, with a Python model beside it."""
    return _plan(_model("preprocessing"), _engine(gpu_device_ids="0,1,2,3"), hardware=H100S)


@pytest.fixture
def two_nodes() -> Workload:
    """Return an engine of sixteen ranks on nodes of eight GPUs."""
    return _plan(_engine(ranks=16), hardware=H100S)


@pytest.fixture(params=["digits", "four_gpus", "two_nodes"])
def workload(request: pytest.FixtureRequest) -> Workload:
    """Return each kind in turn."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Workload)
    return found
