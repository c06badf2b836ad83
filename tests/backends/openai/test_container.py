from __future__ import annotations

from pathlib import Path

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.openai.container import container_front_end, front_end_argv
from tritonsmith.backends.server.container import Outfit, image_of
from tritonsmith.backends.server.prepare import read_configs
from tritonsmith.generator.errors import RepositoryError, UsageError
from tritonsmith.generator.manifests.server import ServerOptions

OPTIONS = ServerOptions(http_port=8000, grpc_port=8001, metrics_port=8002)


def test_nvidia_s_front_end_gets_the_repository_and_the_pipeline_s_tokenizer(repository: Path) -> None:
    front = container_front_end(read_configs(repository), OPTIONS, "24.12", 9100)
    argv = front_end_argv(front, repository, OPTIONS, "image", Outfit("n", gpus=1))
    assert "--publish=127.0.0.1:9100:9000" in argv
    assert argv[argv.index("image") + 1 :][:2] == ["python3", "/opt/tritonserver/python/openai/openai_frontend/main.py"]
    assert "--model-repository=/models" in argv
    assert "--tokenizer=/models/preprocessing/1/tokenizer" in argv
    assert "--kserve-http-port=8000" in argv


def test_what_is_different_behind_it_is_said(repository: Path) -> None:
    cached = ServerOptions(cache_config={"local": {"size": "1000"}})
    said = "\n".join(container_front_end(read_configs(repository), cached, "24.12", 0).notices)
    assert "without cache_config" in said
    assert "tensorrt_llm: exclude_input_in_output is not true" in said


def test_releases_before_it_was_shipped_are_refused(repository: Path) -> None:
    with pytest.raises(UsageError, match=r"24\.10 has no OpenAI front end"):
        container_front_end(read_configs(repository), OPTIONS, "24.10", 0)


def test_it_needs_exactly_one_tokenizer(repository: Path) -> None:
    configs = dict(read_configs(repository))
    with pytest.raises(RepositoryError, match="no text pipeline"):
        container_front_end({}, OPTIONS, "24.12", 0)
    other = ModelConfig()
    other.CopyFrom(configs["tensorrt_llm_bls"])  # type: ignore[arg-type]
    other.parameters["preprocessing_model_name"].string_value = "other"
    configs["other"] = ModelConfig()
    configs["other"].parameters["tokenizer_dir"].string_value = "/elsewhere"  # type: ignore[union-attr]
    with pytest.raises(RepositoryError, match="2 tokenizers"):
        container_front_end({**configs, "other_bls": other}, OPTIONS, "24.12", 0)


def test_tensorrt_llm_has_an_image_of_its_own() -> None:
    assert image_of("24.12", has_tensorrt_llm=True) == "nvcr.io/nvidia/tritonserver:24.12-trtllm-python-py3"
