from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tritonsmith.backends.python_based.tensorrtllm.llm.engines import has_tensorrt_llm, open_engine
from tritonsmith.backends.python_based.tensorrtllm.llm.wire.parameters import Settings, SettingsError
from tritonsmith.generator.process import run

HUGGING_FACE = {"architectures": ["LlamaForCausalLM"], "vocab_size": 100, "max_position_embeddings": 64}
ENGINE = {
    "pretrained_config": {"vocab_size": 100, "mapping": {"tp_size": 2, "pp_size": 3}},
    "build_config": {"max_seq_len": 64, "max_input_len": 32},
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    def write(config: Any) -> Path:
        (tmp_path / "config.json").write_text(json.dumps(config))
        return tmp_path

    return write


def settings(**more: Any) -> Settings:
    return Settings("engine", 4, is_decoupled=True, **more)


def test_the_llm_api_answers_where_it_is_installed(write: Callable[[Any], Path], install: Any) -> None:
    install()
    assert has_tensorrt_llm()
    engine: Any = open_engine(write(HUGGING_FACE), settings(max_queue_size=3))
    assert (engine.limits.max_seq_len, engine.limits.vocab_size, engine.limits.max_queue_size) == (64, 100, 3)
    arguments = engine._llm.arguments
    assert arguments["skip_tokenizer_init"]
    assert (arguments["max_batch_size"], arguments["max_seq_len"], arguments["tensor_parallel_size"]) == (4, 64, 1)


def test_parameters_become_the_apis(write: Callable[[Any], Path], install: Any, monkeypatch: Any) -> None:
    install()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    asked = settings(
        gpu_device_ids=(1, 3),
        is_cache_reused=False,
        is_context_chunked=True,
        max_tokens_in_cache=640,
        free_gpu_memory_fraction=0.5,
        host_cache_bytes=10,
        attention_window=(32, 16),
        scheduler_policy="max_utilization",
    )
    engine: Any = open_engine(write(HUGGING_FACE), asked)
    arguments = engine._llm.arguments
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1,3"
    assert arguments["tensor_parallel_size"] == 2
    assert arguments["enable_chunked_prefill"]
    assert arguments["scheduler_config"].capacity_scheduler_policy == "MAX_UTILIZATION"
    cache = arguments["kv_cache_config"].given
    assert (cache["enable_block_reuse"], cache["max_tokens"], cache["max_attention_window"]) == (False, 640, [32, 16])
    assert (cache["free_gpu_memory_fraction"], cache["host_cache_size"]) == (0.5, 10)


@pytest.mark.parametrize(("version", "has_path", "name"), [("1.2.1", True, "EngineLLM"), ("0.20.0", False, "LLM")])
def test_an_engine_is_loaded_by_the_class_that_its_release_has_for_it(
    write: Callable[[Any], Path], install: Any, version: str, has_path: bool, name: str
) -> None:
    install(version, has_engine_path=has_path)
    engine: Any = open_engine(write(ENGINE), settings())
    assert type(engine._llm).__name__ == name
    assert (engine.limits.max_seq_len, engine.limits.max_input_len) == (64, 32)
    assert [engine._llm.arguments[f"{kind}_parallel_size"] for kind in ("tensor", "pipeline")] == [2, 3]


def test_a_release_that_serves_no_engines_says_so_with_the_way_out(write: Callable[[Any], Path], install: Any) -> None:
    install("1.3.0", has_engine_path=False)
    with pytest.raises(SettingsError, match=r"TensorRT-LLM 1\.3\.0 no longer serves: use a release up to 26\.07"):
        open_engine(write(ENGINE), settings())


@pytest.mark.parametrize(("config", "words"), [({"a": 1}, "neither an engine's nor"), (None, "has no config.json")])
def test_a_folder_that_holds_neither_is_refused(
    write: Callable[[Any], Path], tmp_path: Path, install: Any, config: Any, words: str
) -> None:
    install()
    folder = write(config) if config else tmp_path
    with pytest.raises(SettingsError, match=words):
        open_engine(folder, settings())


def test_an_engine_of_tensorrt_llm_is_refused_where_there_is_none(write: Callable[[Any], Path]) -> None:
    folder = write(ENGINE)
    (folder / "rank0.engine").touch()
    assert not has_tensorrt_llm()
    with pytest.raises(SettingsError, match=r"holds a TensorRT-LLM engine.*serve --container"):
        open_engine(folder, settings())


@pytest.mark.parametrize("imported", ["llm.llmapi", "llm.wire.service", "llm.engines"])
def test_what_serves_on_a_gpu_does_not_import_onnx_runtime(imported: str) -> None:
    backend = Path(__file__).parents[5] / "backends" / "python_based" / "tensorrtllm"
    code = f"import sys; sys.path.insert(0, {str(backend)!r}); import {imported}; exit('onnxruntime' in sys.modules)"
    assert run([sys.executable, "-I", "-c", code], timeout_s=60, is_shown=False).returncode == 0
