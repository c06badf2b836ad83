from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.openai.pipelines import Pipeline, find_pipelines
from tritonsmith.backends.server.prepare import read_configs
from tritonsmith.generator.repository.pbtxt import parse_config

WritePipeline = Callable[..., Path]


def test_an_ensemble_and_its_bls_are_one_pipeline_answered_by_the_bls(pipeline: Pipeline) -> None:
    assert (pipeline.name, pipeline.model, pipeline.engine) == ("chat", "tensorrt_llm_bls", "tensorrt_llm")
    assert pipeline.names == ("chat", "tensorrt_llm_bls")
    assert pipeline.max_seq_len == 1024
    assert pipeline.template is not None


def test_without_a_bls_the_ensemble_answers(repository: Path) -> None:
    configs = {name: one for name, one in read_configs(repository).items() if name != "tensorrt_llm_bls"}
    (found,), _ = find_pipelines(configs, repository)
    assert (found.name, found.model, found.engine, found.aliases) == ("chat", "chat", "tensorrt_llm", ())


@pytest.mark.parametrize("release", ["24.08", "25.09", "26.07"])
def test_pipelines_of_every_release_are_found(release: str, write_pipeline: WritePipeline) -> None:
    repository = write_pipeline(release)
    (found,), reasons = find_pipelines(read_configs(repository), repository)
    assert (found.name, reasons) == ("chat", [])


def test_a_model_of_the_llm_api_is_a_pipeline_of_its_own(write_pipeline: WritePipeline) -> None:
    repository = write_pipeline("25.05", target="llmapi")
    (found,), reasons = find_pipelines(read_configs(repository), repository)
    assert (found.name, found.model, found.engine, reasons) == ("chat", "chat", "", [])
    assert found.is_llmapi
    assert found.max_seq_len == 1024


def test_other_models_are_no_pipelines(tmp_path: Path) -> None:
    other = parse_config('input { name: "text_input" } output { name: "text_output" }', "config.pbtxt")
    assert isinstance(other, ModelConfig)
    assert find_pipelines({"other": other, "broken": None}, tmp_path) == ([], [])


def test_a_pipeline_that_cannot_be_spoken_for_is_told_with_the_reason(repository: Path, tmp_path: Path) -> None:
    configs = {name: one for name, one in read_configs(repository).items() if name != "preprocessing"}
    found, reasons = find_pipelines(configs, tmp_path)
    assert found == []
    assert reasons == ["tensorrt_llm_bls: it calls 'preprocessing', which the repository does not have"]
