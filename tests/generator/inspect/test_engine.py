import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.inspect.engine import EngineFacts, Speculation, read_engine
from tritonsmith.generator.inspect.engine_source import read_engine_source

WriteEngine = Callable[..., Path]
ENGINES = Path(__file__).parents[2] / "data" / "engines"


def facts(write_engine: WriteEngine, name: str) -> EngineFacts:
    found = read_engine(write_engine(name))
    assert found.findings == ()
    return found


def test_limits_types_and_shape_are_read(write_engine: WriteEngine) -> None:
    found = facts(write_engine, "llama-0.16.0-beam4")
    assert found.version == "0.16.0"
    assert (found.limits.max_batch_size, found.limits.max_beam_width) == (16, 4)
    assert (found.limits.max_input_len, found.limits.max_seq_len, found.limits.max_num_tokens) == (2048, 4096, 8192)
    model = found.architecture
    assert (model.name, model.data_type, model.logits_type) == ("LlamaForCausalLM", "bfloat16", "float16")
    assert (model.vocab_size, model.layers, model.heads, model.kv_heads, model.head_size) == (128256, 32, 32, 8, 128)
    assert (found.ranks, found.built_on) == ((0,), "H100-SXM")


def test_how_it_is_spread_is_read(write_engine: WriteEngine) -> None:
    spread = facts(write_engine, "mixtral-0.19.0-ep4").spread
    assert (spread.world_size, spread.tensor, spread.pipeline, spread.moe_expert) == (4, 4, 1, 4)


@pytest.mark.parametrize(
    ("name", "mode", "length"),
    [
        ("llama-0.16.0", Speculation.NONE, 0),
        ("llama-0.16.0-target", Speculation.DRAFT_TOKENS_EXTERNAL, 10),
        ("llama-0.16.0-medusa", Speculation.MEDUSA, 63),
        ("llama-0.19.0-lookahead", Speculation.LOOKAHEAD_DECODING, 83),
        ("llama-0.19.0-eagle", Speculation.EAGLE, 63),
    ],
)
def test_the_speculative_mode_is_read(write_engine: WriteEngine, name: str, mode: Speculation, length: int) -> None:
    found = facts(write_engine, name)
    assert (found.options.speculation, found.limits.max_draft_len) == (mode, length)


def test_what_it_can_do_is_read(write_engine: WriteEngine) -> None:
    options = facts(write_engine, "llama-0.16.0-lora").options
    assert (options.has_lora, options.max_lora_rank, options.lora_modules[0]) == (True, 16, "attn_q")
    assert (options.has_paged_context_fmha, options.tokens_per_block, options.kv_cache) == (True, 64, "PAGED")


def test_what_it_cannot_do_is_read(write_engine: WriteEngine) -> None:
    options = facts(write_engine, "gpt-0.16.0-static").options
    assert (options.kv_cache, options.is_input_packed, options.has_attention_plugin) == ("CONTINUOUS", False, False)
    assert not (options.has_lora or options.streams_weights or options.gathers_context_logits)


def test_an_old_engine_says_only_whether_its_cache_is_paged(write_engine: WriteEngine) -> None:
    paged = "build_config.plugin_config.paged_kv_cache"
    assert read_engine(write_engine("llama-0.12.0")).options.kv_cache == "PAGED"
    assert read_engine(write_engine("llama-0.12.0", {paged: False}, folder="b")).options.kv_cache == "CONTINUOUS"


@pytest.mark.parametrize("name", sorted(path.stem for path in ENGINES.glob("*.json")))
def test_every_engine_here_is_read_without_a_finding(write_engine: WriteEngine, name: str) -> None:
    assert isinstance(read_engine_source(write_engine(name)), EngineFacts)


def test_an_encoder_and_a_decoder_are_one_engine(write_engine: WriteEngine, tmp_path: Path) -> None:
    write_engine("t5-0.16.0-encoder", folder="encoder")
    write_engine("t5-0.16.0-decoder", folder="decoder")
    found = read_engine_source(tmp_path)
    assert isinstance(found, EngineFacts)
    assert found.encoder is not None
    assert (found.architecture.name, found.encoder.architecture.name) == ("DecoderModel", "EncoderModel")
    assert found.findings == ()


def test_an_encoder_and_a_decoder_that_do_not_fit_are_told(write_engine: WriteEngine, tmp_path: Path) -> None:
    write_engine("t5-0.16.0-encoder", folder="encoder")
    write_engine("t5-0.16.0-decoder", {"build_config.max_encoder_input_len": 256}, folder="decoder")
    [finding] = read_engine(tmp_path).findings
    assert finding.message == "the decoder was built for encoder inputs of 256 tokens, the encoder for 512"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("build_config.max_batch_size", -3, "expected a whole number from 1, got -3"),
        ("build_config.max_batch_size", True, "expected a whole number from 1, got true"),
        ("build_config.max_batch_size", None, "the key is missing"),
        ("build_config.max_input_len", "2048", 'expected a whole number from 1, got "2048"'),
        ("build_config.max_num_tokens", 1.5, "expected a whole number from 1, got 1.5"),
        ("build_config.gather_context_logits", "yes", 'expected true or false, got "yes"'),
        ("build_config.kv_cache_type", "RAGGED", 'expected PAGED, CONTINUOUS or DISABLED, got "RAGGED"'),
        (
            "build_config.speculative_decoding_mode",
            3,
            "expected one of 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, got 3",
        ),
        ("build_config.plugin_config", [], "expected an object, got []"),
        ("build_config.lora_config.lora_target_modules", [1], "expected a list of texts, got [1]"),
        ("pretrained_config.logits_dtype", "int8", 'expected one of float32, float16, got "int8"'),
        ("pretrained_config.vocab_size", 0, "expected a whole number from 1, got 0"),
        ("pretrained_config.num_attention_heads", 0, "expected a whole number from 1, got 0"),
        ("pretrained_config.mapping.tp_size", 0, "expected a whole number from 1, got 0"),
        ("version", None, "the key is missing"),
    ],
)
def test_an_odd_value_is_told_with_its_key(write_engine: WriteEngine, key: str, value: Any, message: str) -> None:
    folder = write_engine("llama-0.16.0", {key: value})
    finding = read_engine(folder).findings[0]
    assert (finding.key, finding.message) == (key, message)
    assert finding.place.file == str(folder / "config.json")


def test_ranks_that_do_not_multiply_to_the_world_are_told(write_engine: WriteEngine) -> None:
    folder = write_engine("llama-0.19.0-tp4", {"pretrained_config.mapping.pp_size": 2})
    [finding] = read_engine(folder).findings
    assert finding.message == "world_size is 4, but tp_size 4 x pp_size 2 x cp_size 1 are 8"


@pytest.mark.parametrize(
    ("ranks", "message"),
    [
        (3, "world_size is 4, but rank3.engine is not there"),
        (2, "world_size is 4, but rank2.engine, rank3.engine are not there"),
        (5, "world_size is 4, but there is rank4.engine: files of two engines are mixed"),
    ],
)
def test_missing_and_surplus_ranks_are_told(write_engine: WriteEngine, ranks: int, message: str) -> None:
    [finding] = read_engine(write_engine("llama-0.19.0-tp4", ranks=ranks)).findings
    assert finding.message == message


def test_a_rank_that_is_a_folder_does_not_count(write_engine: WriteEngine) -> None:
    folder = write_engine("llama-0.16.0", ranks=0)
    (folder / "rank0.engine").mkdir()
    assert "rank0.engine is not there" in read_engine(folder).findings[0].message


def test_the_layout_before_0_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"builder_config": {}, "plugin_config": {}}))
    with pytest.raises(SpecError, match=r"layout from before TensorRT-LLM 0\.8") as problem:
        read_engine_source(tmp_path)
    assert problem.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "config.json is no JSON: Expecting value"),
        (b"{", "config.json is no JSON: Expecting property name"),
        (b"[1]", "config.json holds no JSON object"),
        (b"\xff\xfe{}", "config.json is no JSON"),
        (b"[" * 200_000, "config.json is no JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "config.json is no JSON"),
        (b"{}", "config.json is neither an engine's"),
        (b'{"build_config": {}}', "config.json is not that of an engine"),
        (b'{"build_config": 3, "pretrained_config": 4}', "config.json is not that of an engine"),
    ],
)
def test_a_config_that_is_none_is_told(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "config.json").write_bytes(text)
    with pytest.raises(SpecError) as problem:
        read_engine_source(tmp_path)
    assert problem.value.message.startswith(message)
    assert "config.json" in problem.value.where


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(SpecError, match="no regular file"):
        read_engine_source(tmp_path)


def test_a_folder_without_config_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no config\.json is there") as problem:
        read_engine_source(tmp_path)
    assert "rank0.engine" in problem.value.hint
