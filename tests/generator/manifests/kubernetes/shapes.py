"""The repositories and settings whose manifests are looked at: five shapes of a server, each deployed in many ways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.manifests.kubernetes.files import render
from tritonsmith.generator.manifests.workload import Workload, plan_workload
from tritonsmith.generator.repository.core import Content, Model, Repository

Settings = dict[str, Any]
H100: Settings = {"gpu": "H100-SXM-80GB", "count": 4}
DIGEST = "7d" * 32
BAKED: Settings = {"image": "registry.example/serving:1", "kubernetes": "1.30"}
REGIONS: Settings = {
    "eu": {"store": f"s3://models-eu/chat/{DIGEST}", "spill_to": "us", "spill_above": 3},
    "us": {"replicas": 4},
    "ap": {"autoscale": {"maximum": 9, "by": "keda"}, "spill_to": "us"},
}
# ways of deploying, each over BAKED
WAYS: Mapping[str, Settings] = {
    "baked": {},
    "claim": {"repository": {"claim": "models", "path": "chat/1"}, "service_account": "serving"},
    "store": {"repository": {"store": f"s3://models/chat/{DIGEST}", "secret": "store"}},
    "store read by the server": {"repository": {"store": f"gs://models/chat/{DIGEST}", "fetch": "server"}},
    "volume": {"repository": {"volume": "registry.example/models:1"}, "kubernetes": "1.31"},
    "hpa": {"autoscale": {"maximum": 4}},
    "keda": {"autoscale": {"minimum": 0, "maximum": 4, "by": "keda", "wake_on": "sum(rate(gateway_requests[1m]))"}},
    "gateway": {"gateway": "infra/public"},
    "gateway and openai": {"gateway": "public", "openai": True},
    "kserve": {"kserve": True, "repository": {"store": "as://account/models/chat"}, "autoscale": {"maximum": 4}},
    "kserve with a claim": {"kserve": True, "repository": {"claim": "models"}},
    "regions": {"repository": {"store": f"s3://models/chat/{DIGEST}"}, "regions": REGIONS, "gateway": "public"},
}


def model(text: str, **files: bytes) -> Model:
    """Return a model of a configuration's text, with files by path (`_` for `/`)."""
    config = text_format.Parse(text, ModelConfig())
    return Model(config.name, config, {path.replace("_", "/"): Content(data) for path, data in files.items()})


def ensemble(name: str, inputs: str, *steps: str) -> Model:
    """Return an ensemble, its tensors not wired."""
    listed = " ".join(f'step {{ model_name: "{step}" model_version: -1 }}' for step in steps)
    return model(f'name: "{name}" {inputs} ensemble_scheduling {{ {listed} }}')


def tensor(side: str, name: str, data_type: str) -> str:
    """Return a tensor's text."""
    return f'{side} {{ name: "{name}" data_type: TYPE_{data_type} dims: -1 }}'


def digits() -> tuple[Model, ...]:
    """Return an ensemble on the CPU, of Python models around an ONNX model."""
    return (
        model('name: "pre" backend: "python" instance_group { kind: KIND_CPU count: 2 }'),
        model(
            'name: "net" backend: "onnxruntime" instance_group { kind: KIND_CPU count: 1 }', **{"1_model.onnx": b"x"}
        ),
        model('name: "post" backend: "python" instance_group { kind: KIND_CPU count: 1 }'),
        ensemble("digits", "", "pre", "net", "post"),
    )


def chat(gpus: int, reuse: str = "true") -> tuple[Model, ...]:
    """Return a text pipeline around an engine on so many GPUs."""
    devices = ",".join(map(str, range(gpus)))
    engine = {"gpu_device_ids": devices, "enable_kv_cache_reuse": reuse, "gpt_model_path": "/models/tensorrt_llm/1"}
    files = {}
    if gpus > H100["count"]:  # over several nodes each rank takes a GPU of its own node
        del engine["gpu_device_ids"]
        files = {f"1_rank{rank}.engine": b"engine" for rank in range(gpus)}
    listed = " ".join(
        f'parameters {{ key: "{key}" value {{ string_value: "{text}" }} }}' for key, text in engine.items()
    )
    tokens = f"{tensor('input', 'input_ids', 'INT32')} {tensor('output', 'output_ids', 'INT32')}"
    texts = f"{tensor('input', 'text_input', 'STRING')} {tensor('input', 'max_tokens', 'INT32')}"
    query = f"{tensor('input', 'QUERY', 'STRING')} {tensor('output', 'INPUT_ID', 'INT32')}"
    tokenizer = 'parameters { key: "tokenizer_dir" value { string_value: "/models/preprocessing/1/tokenizer" } }'
    cpu = "instance_group { kind: KIND_CPU count: 1 }"
    return (
        model(f'name: "preprocessing" backend: "python" {query} {tokenizer} {cpu}'),
        model(f'name: "tensorrt_llm" backend: "tensorrtllm" {tokens} {listed} {cpu}', **files),
        model(f'name: "postprocessing" backend: "python" {cpu}'),
        ensemble("ensemble", texts, "preprocessing", "tensorrt_llm", "postprocessing"),
    )


# a shape's models, its hardware, and what its `deploy:` has beside
SHAPES: Mapping[str, tuple[tuple[Model, ...], Settings, Settings]] = {
    "cpu ensemble": (digits(), {}, {}),
    "one gpu": (chat(1), H100 | {"count": 1}, {}),
    "tp4": (chat(4), H100, {}),
    "tp8 on two nodes": (chat(8), H100, {"group_topology": "example.com/nvlink"}),
    "mig slice": (chat(1), H100 | {"count": 1}, {"gpus": {"resource": "nvidia.com/mig-3g.40gb"}}),
}
# ways that a shape does not have: refused by name
REFUSED = frozenset(
    {
        ("cpu ensemble", "gateway and openai"),
        ("tp8 on two nodes", "gateway and openai"),
        ("tp8 on two nodes", "kserve"),
        ("tp8 on two nodes", "kserve with a claim"),
    }
)


def workload(shape: str, way: str = "baked", **deploy: Any) -> Workload:
    """Return a shape's deployment in one of the ways, with what else `deploy:` says."""
    models, hardware, own = SHAPES[shape]
    settings: Settings = {"triton": "25.05", "hardware": hardware, "deploy": BAKED | own | WAYS[way] | deploy}
    name = "digits" if shape == "cpu ensemble" else "chat"
    return plan_workload(Repository(name, {found.name: found for found in models}, settings=settings))


@cache
def files_of(shape: str, way: str) -> Mapping[str, bytes]:
    """Return all that is written for a shape deployed in one of the ways."""
    return render(workload(shape, way))


def every_case() -> Iterator[tuple[str, str]]:
    """Yield each shape with each way that it has."""
    yield from ((shape, way) for shape in SHAPES for way in WAYS if (shape, way) not in REFUSED)
