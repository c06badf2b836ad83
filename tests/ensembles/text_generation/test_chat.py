from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tritonsmith.ensembles.text_generation.chat import read_chat_template, read_messages, render_chat
from tritonsmith.ensembles.text_generation.detokenise import Detokeniser
from tritonsmith.ensembles.text_generation.model_parameters import ClientError
from tritonsmith.ensembles.text_generation.tokenizer_folder import read_tokenizer

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "ensembles" / "text_generation" / "demo"
EXPECTED = json.loads((ROOT / "tests" / "data" / "text_generation" / "tokenizer_expected.json").read_text("utf-8"))
HELLO = [{"role": "user", "content": "hello"}]


def folder(path: Path, template: Any, **more: Any) -> Path:
    (path / "tokenizer_config.json").write_text(json.dumps({"chat_template": template, "bos_token": "<s>", **more}))
    return path


@pytest.mark.parametrize("case", EXPECTED["chats"])
def test_the_demo_s_chats_are_those_of_transformers(case: dict[str, Any]) -> None:
    text = render_chat(case["messages"], DEMO, case["add_generation_prompt"])
    assert text == case["text"]
    assert read_tokenizer(DEMO).codec.encode(text) == case["tokens"]


@pytest.mark.parametrize("case", EXPECTED["texts"])
def test_the_demo_s_ids_are_those_of_transformers(case: dict[str, Any]) -> None:
    codec = read_tokenizer(DEMO).codec
    assert codec.encode_prompt(case["text"]) == case["tokens"]
    assert codec.encode(case["text"]) == case["tokens_without_special"]
    assert Detokeniser(codec).push(case["tokens"]) == case["decoded"]


def test_blocks_leave_no_blank_lines_and_json_is_not_escaped_for_html(tmp_path: Path) -> None:
    template = "{{ bos_token }}\n  {% for m in messages %}\n{{ m | tojson }}\n  {% endfor %}\n"
    assert render_chat([{"role": "user", "content": "<é>"}], folder(tmp_path, template)) == (
        '<s>\n{"role": "user", "content": "<é>"}\n'
    )


def test_generation_blocks_and_loop_controls_are_understood(tmp_path: Path) -> None:
    template = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% break %}{% endfor %}"
    assert render_chat(HELLO * 2, folder(tmp_path, template)) == "hello"


def test_a_template_may_ask_for_the_day(tmp_path: Path) -> None:
    assert len(render_chat(HELLO, folder(tmp_path, "{{ strftime_now('%Y') }}"))) == 4


def test_a_template_of_several_is_the_default_one(tmp_path: Path) -> None:
    templates = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    assert render_chat(HELLO, folder(tmp_path, templates)) == "d"


def test_a_file_of_its_own_wins(tmp_path: Path) -> None:
    (folder(tmp_path, "config") / "chat_template.jinja").write_text("file")
    assert render_chat(HELLO, tmp_path) == "file"


def test_a_token_written_as_an_object_is_known_by_its_content(tmp_path: Path) -> None:
    assert render_chat(HELLO, folder(tmp_path, "{{ eos_token }}", eos_token={"content": "</s>"})) == "</s>"


def test_what_the_template_refuses_is_said_in_its_words() -> None:
    with pytest.raises(ClientError, match="refuses these messages: the role 'tool' is none of system, user, assistant"):
        render_chat([{"role": "tool", "content": "x"}], DEMO)


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.append(1) }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.__init__.__globals__ }}",
        "{% for m in messages %}{{ m.update(role='x') }}{% endfor %}",
    ],
)
def test_a_template_cannot_leave_its_sandbox(tmp_path: Path, template: str) -> None:
    with pytest.raises(ClientError, match="refuses these messages"):
        read_chat_template(folder(tmp_path, template + "{{ 1/0 }}")).render(HELLO)
    assert HELLO == [{"role": "user", "content": "hello"}]


def test_a_folder_without_a_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no chat template"):
        read_chat_template(folder(tmp_path, None))


def test_a_template_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no jinja2 template"):
        read_chat_template(folder(tmp_path, "{% for %}"))


@pytest.mark.parametrize("text", ["hello", "[hello]", "[1, 2]", "[]", '[{"content": "x"}]', " [ "])
def test_a_query_that_is_no_list_of_messages_is_the_user_s_word(text: str) -> None:
    assert read_messages(text) == [{"role": "user", "content": text}]


def test_a_query_can_be_a_list_of_messages() -> None:
    messages = [{"role": "system", "content": "be brief"}, *HELLO]
    assert read_messages(f" {json.dumps(messages)}") == messages
