"""Answers in OpenAI's form: whole, or in chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tritonsmith.backends.openai.completion import Usage

Json = dict[str, Any]


@dataclass(frozen=True)
class Form:
    """Writes the parts of one answer; `id` and `created` are the same in all of them."""

    kind: Literal["chat", "completion"]
    id: str
    created: int  # seconds since 1970
    model: str
    needs_usage: bool = False  # in the stream

    def whole(self, text: str, finish: str, usage: Usage) -> Json:
        """Return an answer that is not streamed."""
        if self.kind == "chat":
            content: Json = {"message": {"role": "assistant", "content": text, "refusal": None}}
        else:
            content = {"text": text}
        name = "chat.completion" if self.kind == "chat" else "text_completion"
        return {**self._head(name), "choices": [_choice(content, finish)], "usage": usage_json(usage)}

    def opening(self) -> list[Json]:
        """Return the chunks before the text: a chat's say who speaks."""
        return [self._chunk({"delta": {"role": "assistant", "content": ""}})] if self.kind == "chat" else []

    def text(self, text: str) -> Json:
        """Return a chunk of text."""
        return self._chunk({"delta": {"content": text}} if self.kind == "chat" else {"text": text})

    def closing(self, finish: str, usage: Usage) -> list[Json]:
        """Return the last chunks: why it ended, and where it is wanted what it took."""
        chunks = [self._chunk({"delta": {}} if self.kind == "chat" else {"text": ""}, finish)]
        if self.needs_usage:
            chunks.append({**self._head(self._chunks), "choices": [], "usage": usage_json(usage)})
        return chunks

    @property
    def _chunks(self) -> str:
        return "chat.completion.chunk" if self.kind == "chat" else "text_completion"

    def _chunk(self, content: Json, finish: str | None = None) -> Json:
        usage = {"usage": None} if self.needs_usage else {}
        return {**self._head(self._chunks), "choices": [_choice(content, finish)], **usage}

    def _head(self, name: str) -> Json:
        return {"id": self.id, "object": name, "created": self.created, "model": self.model}


def _choice(content: Json, finish: str | None) -> Json:
    return {"index": 0, **content, "logprobs": None, "finish_reason": finish}


def usage_json(usage: Usage) -> Json:
    """Return the tokens that an answer took."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def models_json(names: list[str], created: int) -> Json:
    """Return the list of /v1/models."""
    return {"object": "list", "data": [model_json(name, created) for name in names]}


def model_json(name: str, created: int) -> Json:
    """Return a model of /v1/models."""
    return {"id": name, "object": "model", "created": created, "owned_by": "tritonsmith"}
