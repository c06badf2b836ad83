"""A repository with the one model `tensorrt_llm`, as a release has it: for what measures or shakes that model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from google.protobuf.json_format import ParseDict
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.catalog.releases import RELEASES
from tritonsmith.generator.catalog.tensorrtllm.rows import TENSORS
from tritonsmith.generator.catalog.tensorrtllm.tensors import ENCODER, LOGITS, PROMPT, items_of
from tritonsmith.generator.catalog.tensorrtllm.versions import parse_version
from tritonsmith.generator.repository.pbtxt import render_config

MODEL = "tensorrt_llm"
TYPES = {LOGITS: "TYPE_FP32", ENCODER: "TYPE_FP16", PROMPT: "TYPE_FP16"}


def write_llm_model(
    repository: Path,
    engine: Path,
    *,
    release: str = "25.09",
    name: str = MODEL,
    max_batch_size: int = 8,
    is_decoupled: bool = True,
    max_queue_size: int = 0,
    parameters: Mapping[str, str] | None = None,
) -> Path:
    """Write the model with a link to its engine's folder, and return the repository."""
    version = parse_version(RELEASES[release].tensorrt_llm)
    inputs, outputs = TENSORS[MODEL]
    texts = {"gpt_model_path": "engine", "gpt_model_type": "inflight_fused_batching", **(parameters or {})}
    fields = {
        "name": name,
        "backend": "tensorrtllm",
        "max_batch_size": max_batch_size,
        "input": items_of(inputs, version, TYPES),
        "output": items_of(outputs, version, TYPES),
        "model_transaction_policy": {"decoupled": is_decoupled},
        "dynamic_batching": {"default_queue_policy": {"max_queue_size": max_queue_size}},
        "instance_group": [{"kind": "KIND_CPU", "count": 1}],
        "parameters": {key: {"string_value": text} for key, text in texts.items()},
    }
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "engine").symlink_to(engine.resolve())
    (folder / "config.pbtxt").write_text(render_config(ParseDict(fields, ModelConfig())), encoding="utf-8")
    return repository
