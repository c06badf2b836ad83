"""`tritonsmith export`: an engine folder that answers as the Hugging Face folder does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tritonsmith.backends.commands import export
from tritonsmith.backends.python_based.tensorrtllm.llm.cpu import EngineError, Options, load_engine
from tritonsmith.generator.errors import RepositoryError


def run(*argv: object) -> str:
    result = CliRunner().invoke(export, list(map(str, argv)), standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_the_exported_folder_answers_with_the_same_tokens(
    llama: Any, open_engine: Any, ask: Any, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(llama.folder, source)
    (source / "tokenizer.json").write_text("{}")
    target = tmp_path / "new" / "engine"
    assert run(source, target) == f"{target}\n"
    assert sorted(path.name for path in target.iterdir()) == ["config.json", "model.onnx", "tokenizer.json"]
    assert [path.name for path in target.parent.iterdir()] == ["engine"]
    assert target.stat().st_mode == target.parent.stat().st_mode  # not that of a private scratch folder
    request = ask(30, 30)
    assert open_engine(target).complete(request) == [llama.greedy(request.tokens, 30)]


def test_int8_is_smaller_and_generates(llama: Any, open_engine: Any, ask: Any, tmp_path: Path) -> None:
    run(llama.folder, tmp_path / "fp32")
    run(llama.folder, tmp_path / "int8", "--weights", "int8")
    sizes = [(tmp_path / name / "model.onnx").stat().st_size for name in ("int8", "fp32")]
    assert sizes[0] < 0.6 * sizes[1]
    assert len(open_engine(tmp_path / "int8").complete(ask(30, 30))[0]) == 30


def test_what_exists_is_not_overwritten(llama: Any, tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match=f"{tmp_path} exists: remove it, or name another folder") as caught:
        run(llama.folder, tmp_path)
    assert caught.value.exit_code == 4


def test_a_folder_that_is_no_llama_leaves_nothing_behind(llama: Any, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_text(json.dumps({**llama.config, "architectures": ["Qwen2ForCausalLM"]}))
    with pytest.raises(RepositoryError, match="architecture Qwen2ForCausalLM"):
        run(source, tmp_path / "engine")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_model_onnx_of_somebody_else_s_is_refused(llama: Any, tmp_path: Path, write_onnx: Any) -> None:
    write_onnx("model.onnx")
    shutil.copy(llama.folder / "config.json", tmp_path)
    with pytest.raises(EngineError, match="not written by `tritonsmith export`"):
        load_engine(tmp_path, Options())


def test_a_config_that_is_not_the_model_s_is_refused(llama: Any, tmp_path: Path) -> None:
    run(llama.folder, tmp_path / "engine")
    config = {**llama.config, "num_hidden_layers": 1}
    (tmp_path / "engine" / "config.json").write_text(json.dumps(config))
    with pytest.raises(EngineError, match=r"its tensors are not those of the config\.json beside it"):
        load_engine(tmp_path / "engine", Options())


def test_more_tokens_than_it_was_exported_for_are_refused(llama: Any, tmp_path: Path) -> None:
    run(llama.folder, tmp_path / "engine")
    (tmp_path / "engine" / "config.json").write_text(json.dumps({**llama.config, "max_position_embeddings": 512}))
    with pytest.raises(EngineError, match="max_seq_len 512; it was exported for 256 tokens"):
        load_engine(tmp_path / "engine", Options())
