"""What cannot work is refused by name, before anything is written."""

from collections.abc import Callable
from typing import Any

import pytest

from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.manifests.kubernetes.files import render
from tritonsmith.generator.manifests.workload import Workload
from tritonsmith.generator.repository.core import Model

CLAIM: dict[str, Any] = {"repository": {"claim": "models"}}
OWN = {"image": "registry.example/own:1"}
TLS = {"certificate": "/certs/cert.pem", "key": "/certs/key.pem"}
H100S = {"gpu": "H100-SXM-80GB", "count": 8}
Plan = Callable[..., Workload]
MakeModel = Callable[..., Model]


@pytest.mark.parametrize(
    ("deploy", "settings", "message"),
    [
        ({}, {}, "no pod would have the repository"),
        ({"repository": {"store": "s3://b/p"}}, {}, "nothing that fetches s3://b/p"),
        ({"repository": {"volume": "r/m:1"}, "kubernetes": "1.30"}, {}, r"Kubernetes 1\.30 has no image volumes"),
        (
            {"repository": {"volume": "r/m:1", "path": "a"}, "kubernetes": "1.32"},
            {},
            r"1\.32 mounts image volumes whole",
        ),
        ({**CLAIM, "memory_mib": 600}, {}, "memory_mib 600 is too little"),
        (CLAIM, {"server": {"tls": {"certificate": "cert.pem", "key": "key.pem"}}}, r"tls\.certificate cert\.pem"),
        (CLAIM, {"server": {"tracing": {"config": {"file": "trace.json"}}}}, r"tracing writes trace\.json"),
        ({**CLAIM, "openai": True}, {"triton": "24.10"}, r"the image of 24\.10 has no OpenAI front end"),
        ({**CLAIM, "openai": True}, {}, "no text pipeline"),
        ({**OWN, "openai": True}, {"server": {"tls": TLS}}, "front end speaks no TLS"),
        ({**OWN, "gateway": "public"}, {"server": {"tls": TLS}}, "a gateway's routes speak plain gRPC"),
    ],
)
def test_a_model_that_no_pod_could_serve_is_refused(
    deploy: dict[str, Any], settings: dict[str, Any], message: str, plan: Plan, model: MakeModel
) -> None:
    workload = plan(model("m", "python", {"count": 8}), deploy=deploy, **settings)
    with pytest.raises(RepositoryError, match=message) as refused:
        render(workload)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("parameters", "deploy", "settings", "message"),
    [
        (
            {"gpu_device_ids": "0,1"},
            {**CLAIM, "gpus": {"resource": "nvidia.com/mig-1g.10gb"}},
            {},
            "a process can use one",
        ),
        ({"ranks": 10}, CLAIM, {}, "10 ranks do not fill 2 nodes of 8 GPUs"),
        ({"gpu_device_ids": ",".join(map(str, range(16)))}, CLAIM, {}, "GPUs up to 15, and the engine spans 2 nodes"),
        ({"gpu_device_ids": "0,1,2,3,4;5,6,7,8"}, CLAIM, {}, "GPUs up to 8"),
        (
            {"gpu_device_ids": "0,1,2,3,4,5,6,7,8", "participant_ids": "1,2,3,4,5,6,7,8,9"},
            CLAIM,
            {"server": {"orchestrator": "participants"}},
            "GPUs up to 8",
        ),
        ({"ranks": 16}, {**OWN, "openai": True}, {}, "one process, and the engine spans 2 nodes"),
        ({"gpt_model_path": "/engines/llama"}, CLAIM, {}, "no pod would have /engines/llama"),
        ({}, CLAIM, {"triton": "26.08"}, r"no image of Triton 26\.08 with TensorRT-LLM"),
    ],
)
def test_an_engine_that_no_pod_could_serve_is_refused(
    parameters: dict[str, Any],
    deploy: dict[str, Any],
    settings: dict[str, Any],
    message: str,
    plan: Plan,
    engine: MakeModel,
) -> None:
    workload = plan(engine(**parameters), deploy=deploy, hardware=H100S, **settings)
    with pytest.raises(RepositoryError, match=message) as refused:
        render(workload)
    assert refused.value.hint


def test_a_backend_that_nvidia_s_image_lacks_is_refused(plan: Plan, engine: MakeModel, model: MakeModel) -> None:
    beside = [engine(), model("net", "onnxruntime")]
    with pytest.raises(RepositoryError, match=r"24\.10-trtllm-python-py3 has no onnxruntime backend"):
        render(plan(*beside, deploy=CLAIM, hardware=H100S, triton="24.10"))
    assert render(plan(*beside, deploy=CLAIM | OWN, hardware=H100S, triton="24.10"))


@pytest.mark.parametrize(
    ("parameters", "deploy", "settings"),
    [
        ({"gpt_model_path": "/engines/llama"}, OWN, {}),  # an image of one's own may have it
        ({}, OWN, {"triton": "26.08"}),
        ({"gpu_device_ids": "0,1;2,3"}, CLAIM, {}),
    ],
)
def test_what_can_work_is_not_refused(
    parameters: dict[str, str], deploy: dict[str, Any], settings: dict[str, Any], plan: Plan, engine: MakeModel
) -> None:
    assert render(plan(engine(**parameters), deploy=deploy, hardware=H100S, **settings))
