"""Beams, drafts, guides, and engines that guess ahead."""

from typing import Any

import pytest

from tests.generator.checks.rules.llm.models import bls, llm, post, pre, told
from tritonsmith.generator.repository.core import Model

LOOKAHEAD: dict[str, Any] = {"decoding_mode": "lookahead", "lookahead_window_size": "7", "lookahead_ngram_size": "7"}
SIZES: dict[str, Any] = {**LOOKAHEAD, "lookahead_verification_set_size": "7"}
AROUND = (pre(), post())
DRAFTED = bls(tensorrt_llm_draft_model_name="draft")
DRAFT = llm("draft", engine="llama-0.16.0-draft", gpu_device_ids="1")
ON: dict[str, Any] = {"enable_kv_cache_reuse": "true"}

BROKEN: list[tuple[str, tuple[Model, ...], dict[str, Any], str]] = [
    ("TS738", (llm(decoding_mode="top_k", max_beam_width="2"),), {}, "decoding_mode top_k has one beam"),
    ("TS738", (llm(decoding_mode="beam_search"),), {}, "decoding_mode is beam_search with max_beam_width 1"),
    (
        "TS739",
        (*AROUND, bls(accumulate_tokens="true"), llm(max_beam_width="2")),
        {},
        "tensorrt_llm has max_beam_width 2: such streams are refused",
    ),
    ("TS752", (llm(engine="llama-0.16.0", decoding_mode="medusa"),), {}, "decoding_mode is medusa, the engine was"),
    ("TS752", (llm(engine="llama-0.16.0-medusa", decoding_mode="top_k"),), {}, "the engine was built with medusa"),
    ("TS753", (llm(medusa_choices="0, 1"),), {}, "medusa_choices is '0, 1', which is no list of paths"),
    ("TS753", (llm(eagle_choices="{0}, {1, 0}"),), {}, "eagle_choices: the path {1, 0} extends none that is there"),
    (
        "TS753",
        (llm(engine="llama-0.16.0-medusa", changes={"build_config.max_draft_len": 1}, medusa_choices="{0}, {1}"),),
        {},
        "medusa_choices has 2 nodes, the engine was built with max_draft_len 1",
    ),
    ("TS754", (llm(**LOOKAHEAD),), {"release": "25.05"}, "is lookahead without lookahead_verification_set_size"),
    (
        "TS755",
        (llm(engine="llama-0.19.0-lookahead", changes={"build_config.max_draft_len": 82}, **SIZES),),
        {"release": "25.05"},
        "lookahead guesses 83 tokens, the engine was built with max_draft_len 82",
    ),
    ("TS756", (*AROUND, DRAFTED, llm(engine="llama-0.16.0"), DRAFT), {}, "it confirms draft's tokens, its engine was"),
    (
        "TS756",
        (
            *AROUND,
            DRAFTED,
            llm(engine="llama-0.16.0-target", **ON),
            llm("draft", engine="llama-0.16.0-draft", changes={"pretrained_config.vocab_size": 8}, gpu_device_ids="1"),
        ),
        {},
        "its vocabulary has 8 tokens",
    ),
    ("TS757", (llm(engine="llama-0.16.0-target"),), {}, "enable_kv_cache_reuse is off"),
    (
        "TS758",
        (*AROUND, DRAFTED, llm(), llm("draft", gpu_device_ids="1")),
        {"server": {"grpc_port": 9001}},
        "it asks localhost:8001 about its draft, the server's grpc_port is 9001",
    ),
    (
        "TS763",
        (llm(guided_decoding_backend="xgrammar"),),
        {"release": "25.05"},
        "is set without xgrammar_tokenizer_info",
    ),
    (
        "TS763",
        (llm(xgrammar_tokenizer_info_path="/x"),),
        {"release": "25.05"},
        "is set without guided_decoding_backend",
    ),
    (
        "TS764",
        (llm(guided_decoding_backend="outlines", xgrammar_tokenizer_info_path="/x"),),
        {"release": "25.05"},
        "guided_decoding_backend is 'outlines'",
    ),
    (
        "TS765",
        (llm(python=True, guided_decoding_backend="xgrammar"),),
        {"release": "25.05"},
        "guided_decoding_backend is set without tokenizer_dir",
    ),
]


@pytest.mark.parametrize(("code", "models", "given", "message"), BROKEN)
def test_what_is_wrong_is_told_once(code: str, models: tuple[Model, ...], given: dict[str, Any], message: str) -> None:
    said = told(*models, **given)
    assert set(said) == {code}
    assert [message in text for text in said[code]] == [True]


@pytest.mark.parametrize(
    ("models", "release"),
    [
        ((llm(decoding_mode="beam_search", max_beam_width="2"),), "24.12"),
        ((llm(engine="llama-0.16.0-medusa"),), "24.12"),  # the executor takes the engine's mode
        ((llm(engine="llama-0.16.0-medusa", decoding_mode="medusa", medusa_choices="{0}, {0, 0}, {1}"),), "24.12"),
        ((llm(engine="llama-0.19.0-lookahead", **SIZES),), "25.05"),
        ((llm(**{**LOOKAHEAD, "lookahead_ngram_size": None}, python=True),), "24.12"),
        ((*AROUND, bls(accumulate_tokens="true"), llm()), "24.12"),
        ((*AROUND, DRAFTED, llm(engine="llama-0.16.0-target", **ON), DRAFT), "24.12"),
        ((llm(guided_decoding_backend="xgrammar", xgrammar_tokenizer_info_path="/x"),), "25.05"),
        ((llm(python=True, guided_decoding_backend="xgrammar", tokenizer_dir="/t"),), "25.05"),
    ],
)
def test_nothing_is_said_of_what_fits(models: tuple[Model, ...], release: str) -> None:
    said = told(*models, release=release)
    said.pop("TS719", None)  # lookahead's sizes before 0.19
    assert said == {}
