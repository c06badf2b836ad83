"""Messages of a conversation -> the prompt that a model was trained on, by its own chat template. Runs inside Triton.

Templates come with the model and are a stranger's code: they run in jinja2's sandbox, as in `transformers`
(Source: transformers, utils/chat_template_utils.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

from .model_parameters import ClientError
from .tokenizer_folder import read_json, read_special_tokens

Message = Mapping[str, Any]


@dataclass(frozen=True)
class ChatTemplate:
    """A compiled chat template and the special tokens it may name."""

    path: Path
    template: jinja2.Template
    special_tokens: Mapping[str, str]

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> str:
        """Return the prompt for messages of {"role", "content"}.

        Raises: ClientError where the template refuses them.
        """
        try:
            return self.template.render(
                messages=list(messages),
                tools=None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self.special_tokens,
            )
        except (jinja2.TemplateError, TypeError, ValueError, KeyError, ArithmeticError) as problem:
            raise ClientError(f"the chat template of '{self.path}' refuses these messages: {problem}") from problem


class _Generation(jinja2.ext.Extension):
    """{% generation %}: marks the assistant's words for training; here only what is inside counts."""

    tags = {"generation"}  # noqa: RUF012  (jinja2's own way)

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        """Return the block's content."""
        next(parser.stream)
        return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))


def read_chat_template(folder: Path) -> ChatTemplate:
    """Return the chat template of a tokenizer's folder: chat_template.jinja, else tokenizer_config.json's.

    Raises: ValueError where there is none, or it is no template.
    """
    config = read_json(folder / "tokenizer_config.json")
    source = _source(folder, config)
    if source is None:
        raise ValueError(f"'{folder}' has no chat template: no chat_template.jinja, none in tokenizer_config.json")
    try:
        template = _environment().from_string(source)
    except jinja2.TemplateError as problem:
        raise ValueError(f"the chat template of '{folder}' is no jinja2 template: {problem}") from problem
    return ChatTemplate(folder, template, read_special_tokens(folder, config))


def render_chat(messages: Sequence[Message], folder: Path, add_generation_prompt: bool = True) -> str:
    """Return the prompt for messages of {"role", "content"} by the chat template of a tokenizer's folder.

    Raises: ValueError where there is no template; ClientError where it refuses the messages.
    """
    return _remembered(Path(folder)).render(messages, add_generation_prompt=add_generation_prompt)


_remembered = lru_cache(maxsize=16)(read_chat_template)


def read_messages(text: str) -> list[Message]:
    """Return the messages that a query holds: a JSON list of {"role", "content"}, else one message of the user's."""
    if text.lstrip().startswith("["):
        try:
            messages = json.loads(text)
        except ValueError:
            messages = None
        if isinstance(messages, list) and messages and all(isinstance(one, dict) and "role" in one for one in messages):
            return messages
    return [{"role": "user", "content": text}]


def _source(folder: Path, config: Mapping[str, Any]) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    found = config.get("chat_template") or read_json(folder / "chat_template.json").get("chat_template")
    if isinstance(found, list):  # several, by name
        found = {one.get("name"): one.get("template") for one in found}.get("default")
    return found if isinstance(found, str) else None


def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = _now
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Return JSON without the HTML escapes of jinja2's own filter."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)


def _now(pattern: str) -> str:
    return datetime.now().strftime(pattern)
