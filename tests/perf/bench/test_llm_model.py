from __future__ import annotations

from pathlib import Path

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.repository.pbtxt import parse_config
from tritonsmith.perf.bench.llm_model import MODEL, write_llm_model


@pytest.mark.parametrize(("release", "name"), [("24.12", "min_length"), ("25.09", "min_tokens")])
def test_the_model_has_the_tensors_of_its_release_and_links_its_engine(tmp_path: Path, release: str, name: str) -> None:
    (tmp_path / "engine").mkdir()
    folder = write_llm_model(tmp_path / "r", tmp_path / "engine", release=release, parameters={"a": "b"}) / MODEL
    config = parse_config((folder / "config.pbtxt").read_text(), "config.pbtxt")
    assert isinstance(config, ModelConfig)
    assert {tensor.name for tensor in config.input} & {"min_length", "min_tokens"} == {name}
    assert config.parameters["a"].string_value == "b"
    assert (folder / "1" / config.parameters["gpt_model_path"].string_value).samefile(tmp_path / "engine")
