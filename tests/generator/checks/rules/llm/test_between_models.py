"""What the models around an LLM must say alike."""

from typing import Any

import pytest

from tests.generator.checks.rules.llm.models import bls, ensemble, found, llm, post, pre, python_model, told
from tritonsmith.generator.findings import Phase
from tritonsmith.generator.repository.core import Content, Model

JOINS_ALONE = {"1/model.py": Content(b"outputs = self.tokenizer.batch_decode(ids)")}
REMEMBERS = {"1/model.py": Content(b"from postprocessing import Stream")}
NO_TOKENIZER = {"1/tokenizer/config.json": Content(b"{}")}
TOKENIZER = {"1/tokenizer/tokenizer.json": Content(b"{}")}
TABLE16, TABLE32 = {"prompt_embedding_table": "TYPE_FP16"}, {"prompt_embedding_table": "TYPE_FP32"}
LOGITS16, LOGITS32 = {"context_logits": "TYPE_FP16"}, {"context_logits": "TYPE_FP32"}
AROUND = (pre(), post())
DRAFTED = bls(tensorrt_llm_draft_model_name="draft")

BROKEN: list[tuple[str, tuple[Model, ...], dict[str, Any], str]] = [
    (
        "TS703",
        (llm("a"), llm("b")),
        {},
        "a and b share GPU 0, and their kv_cache_free_gpu_mem_fraction add up to 1.8 (0.9 + 0.9)",
    ),
    ("TS704", (*AROUND, bls(decoupled=False), llm()), {}, "decoupled is false here and true in tensorrt_llm"),
    (
        "TS704",
        (
            python_model("dis", context_model_name="a", generation_model_name="b"),
            llm("a"),
            llm("b", gpu_device_ids="1", decoupled=False),
        ),
        {},
        "decoupled is false here and true in a",
    ),
    (
        "TS707",
        (*AROUND, bls(tensorrt_llm_model_name="tensorrt_lm"), llm()),
        {},
        "names 'tensorrt_lm', which is not in the repository. Did you mean 'tensorrt_llm'?",
    ),
    (
        "TS720",
        (pre(), post(batch=8), bls(batch=8), llm(batch=8)),
        {},
        "max_batch_size is 8 here and 4 in preprocessing",
    ),
    (
        "TS721",
        (*AROUND, bls(outputs=LOGITS16), llm(outputs=LOGITS32)),
        {},
        "context_logits is TYPE_FP16 here and TYPE_FP32 in tensorrt_llm",
    ),
    (
        "TS722",
        (*AROUND, bls(inputs=TABLE16), llm(types=TABLE32)),
        {},
        "prompt_embedding_table is TYPE_FP16 here and TYPE_FP32 in tensorrt_llm",
    ),
    ("TS723", (bls(), llm()), {}, "it calls preprocessing and postprocessing, not in the repository under that name"),
    ("TS723", (*AROUND, bls(tensorrt_llm_model_name=""), llm("b")), {}, "it calls tensorrt_llm, not in the repository"),
    (
        "TS724",
        (pre(tokenizer_dir="/t/a"), post(tokenizer_dir="/t/b")),
        {},
        "tokenizer_dir is '/t/b', and '/t/a' in pre",
    ),
    ("TS725", (pre(tokenizer_dir="tokenizer", files=NO_TOKENIZER),), {}, "which holds no tokenizer"),
    (
        "TS725",
        (pre(tokenizer_dir="/models/preprocessing/1/t"),),
        {},
        "preprocessing/1/t of this repository, which is not",
    ),
    (
        "TS726",
        (*AROUND, DRAFTED, llm(gpu_device_ids="0"), llm("draft", gpu_device_ids="1")),
        {"release": "25.09"},
        "exclude_input_in_output is not set, and tensorrt_llm_bls must know it of its draft",
    ),
    (
        "TS726",
        (*AROUND, DRAFTED, llm(), llm("draft", gpu_device_ids="1", exclude_input_in_output="false")),
        {"release": "25.09"},
        "exclude_input_in_output is 'false'",
    ),
    (
        "TS727",
        (ensemble("tensorrt_llm", "postprocessing"), llm(), post(files=JOINS_ALONE)),
        {},
        "postprocessing turns each chunk of a stream into text alone",
    ),
    ("TS728", (*AROUND, bls(count=1, batch=4), llm()), {}, "one instance answers one request after the other"),
    (
        "TS729",
        (ensemble("tensorrt_llm", "postprocessing"), llm(), post(count=2)),
        {},
        "2 instances answer in the order in which they finish",
    ),
]


@pytest.mark.parametrize(("code", "models", "given", "message"), BROKEN)
def test_what_is_wrong_is_told_once(code: str, models: tuple[Model, ...], given: dict[str, Any], message: str) -> None:
    said = told(*models, **given)
    assert set(said) == {code}
    assert [message in text for text in said[code]] == [True]


@pytest.mark.parametrize(
    "models",
    [
        (*AROUND, bls(batch=4), llm()),
        (python_model("alone"),),
        (python_model("alone", tokenizer_dir="gpt2"), llm()),  # a name on the hub
        (*AROUND, bls(tensorrt_llm_model_name="${tensorrt_llm_model_name}"), llm()),
        (*AROUND, bls(outputs=LOGITS16, inputs=TABLE16), llm(outputs=LOGITS16, types=TABLE16)),
        (bls(preprocessing_model_name="pre", tensorrt_llm_model_name="x"), llm("x"), python_model("pre", batch=4)),
        (pre(tokenizer_dir="/t"), post(tokenizer_dir="/t/")),
        (pre(tokenizer_dir="tokenizer", files=TOKENIZER), post(tokenizer_dir="tokenizer", files=TOKENIZER)),
        (llm("a", gpu_device_ids="0"), llm("b", gpu_device_ids="1")),
        (llm("a", kv_cache_free_gpu_mem_fraction="0.45"), llm("b", kv_cache_free_gpu_mem_fraction="0.45")),
        (llm("a", max_tokens_in_paged_kv_cache="100"), llm("b")),
        (*AROUND, bls(), ensemble("tensorrt_llm", "postprocessing"), llm()),
        (ensemble("tensorrt_llm", "postprocessing"), llm(), post(files=REMEMBERS)),
        (ensemble("tensorrt_llm", "postprocessing"), llm(decoupled=False), post(files=JOINS_ALONE, count=2)),
    ],
)
def test_nothing_is_said_of_what_is_right(models: tuple[Model, ...]) -> None:
    assert told(*models) == {}


def test_a_wrong_name_is_found_by_requests_not_by_the_load() -> None:
    (finding,) = found(*AROUND, bls(tensorrt_llm_model_name="tensorrt_lm"), llm())
    assert finding.phase is Phase.REQUEST
