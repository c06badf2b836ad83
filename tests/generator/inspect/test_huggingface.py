import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.export import export_engine
from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.inspect.engine_source import read_engine_source
from tritonsmith.generator.inspect.huggingface import HuggingFaceFacts, read_huggingface

WriteWeights = Callable[..., Path]
DEMO = Path(__file__).parents[3] / "ensembles" / "text_generation" / "demo"
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "torch_dtype": "bfloat16",
    "vocab_size": 512,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "eos_token_id": 2,
}


def read(folder: Path, **changes: Any) -> HuggingFaceFacts:
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    found = read_engine_source(folder)
    assert isinstance(found, HuggingFaceFacts)
    return found


@pytest.fixture
def folder(tmp_path: Path, write_weights: WriteWeights) -> Path:
    write_weights(tmp_path / "model.safetensors")
    return tmp_path


def test_shape_and_weights_are_read(folder: Path) -> None:
    found = read(folder)
    model = found.architecture
    assert (model.name, model.data_type) == ("LlamaForCausalLM", "bfloat16")
    assert (model.vocab_size, model.max_positions) == (512, 256)
    assert (model.heads, model.kv_heads, model.head_size) == (4, 2, 16)
    assert (found.weights.parameters, sorted(found.weights.data_types), found.end_ids) == (6, ["BF16"], (2,))
    assert found.findings == ()


def test_the_model_that_we_ship_is_read() -> None:
    found = read_engine_source(DEMO)
    assert isinstance(found, HuggingFaceFacts)
    assert found.findings == ()
    assert found.tokenizer.has_vocabulary
    assert found.weights.parameters > 100_000


def test_the_generation_config_says_where_answers_end(folder: Path) -> None:
    (folder / "generation_config.json").write_text('{"eos_token_id": [2, 7], "pad_token_id": 0}')
    assert (read(folder).end_ids, read(folder).pad_id) == ((2, 7), 0)


def test_the_tokenizer_is_found(folder: Path) -> None:
    assert not read(folder).tokenizer.has_vocabulary
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    tokenizer = read(folder).tokenizer
    assert tokenizer.files == ("tokenizer.json", "tokenizer_config.json")
    assert tokenizer.has_vocabulary
    assert tokenizer.has_chat_template


def test_how_it_is_quantised_is_read(folder: Path) -> None:
    assert read(folder, quantization_config={"quant_method": "awq"}).architecture.quantisation == "awq"
    written = {"quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}}
    (folder / "hf_quant_config.json").write_text(json.dumps(written))
    assert read(folder).architecture.kv_cache_quantisation == "FP8"


def test_the_language_model_of_one_that_sees_is_read(folder: Path) -> None:
    text = {key: CONFIG[key] for key in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")}
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlavaForX"], "text_config": text}))
    found = read_engine_source(folder)
    assert (found.architecture.name, found.architecture.vocab_size) == ("LlavaForX", 512)


def test_a_shard_of_the_index_that_is_missing_is_told(tmp_path: Path, write_weights: WriteWeights) -> None:
    write_weights(tmp_path / "a.safetensors")
    index = {"weight_map": {"x": "a.safetensors", "y": "b.safetensors", "z": "../c.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    outside, missing = read(tmp_path).findings
    assert outside.message == "the weights '../c.safetensors' lie outside the model's folder"
    assert missing.place.file.endswith("b.safetensors")


def test_a_folder_without_weights_is_told(tmp_path: Path) -> None:
    [finding] = read(tmp_path).findings
    assert finding.message == f"no safetensors file lies in {tmp_path}"


def test_odd_values_are_told(folder: Path) -> None:
    findings = read(folder, vocab_size="many", num_key_value_heads=-2, eos_token_id=[-1]).findings
    assert {finding.key for finding in findings} == {"vocab_size", "num_key_value_heads", "eos_token_id"}


def test_a_broken_file_beside_it_is_told(folder: Path) -> None:
    (folder / "generation_config.json").write_text("{")
    with pytest.raises(SpecError) as problem:
        read(folder)
    assert problem.value.where == f"{folder / 'generation_config.json'}:1"


def test_what_export_wrote_is_read(tmp_path: Path) -> None:
    export_engine(DEMO, tmp_path / "i8", "int8")
    found = read_engine_source(tmp_path / "i8")
    assert isinstance(found, HuggingFaceFacts)
    assert (found.findings, found.is_exported) == ((), True)
    assert found.architecture == read_huggingface(DEMO).architecture
    assert found.tokenizer.has_vocabulary
    assert not read_huggingface(DEMO).is_exported


@pytest.mark.parametrize(
    ("cut", "message"), [(False, "the graph was not written by `tritonsmith export`"), (True, "no ONNX model")]
)
def test_a_graph_of_another_kind_is_refused(
    cut: bool, message: str, tmp_path: Path, write_onnx: Callable[..., Path]
) -> None:
    path = write_onnx()
    path.write_bytes(path.read_bytes()[:20] if cut else path.read_bytes())
    assert any(message in finding.message for finding in read(tmp_path).findings)
