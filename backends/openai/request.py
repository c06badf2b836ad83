"""The body of a request -> what is wanted of a pipeline. What would change the answer and cannot be had is refused.

Unknown fields are refused, as OpenAI does; those that ask nothing of a model (user, metadata ...) are ignored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tritonsmith.backends.openai.errors import invalid
from tritonsmith.generator.suggest import did_you_mean

Body = Mapping[str, Any]

MOST_STOPS = 4  # as OpenAI has it
LARGEST_WHOLE = 2**31 - 1  # INT32, the type of max_tokens
DEFAULT_COMPLETION_TOKENS = 16  # OpenAI's, of /v1/completions
ROLES = ("system", "developer", "user", "assistant")
# fields of both endpoints that are acted on
_TAKEN = frozenset(
    ["model", "stream", "stream_options", "max_tokens", "stop", "temperature", "top_p", "seed", "presence_penalty"]
) | {"frequency_penalty"}
_IGNORED = frozenset(
    ["user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"]
)
# fields that cannot be had, with the values that ask for nothing
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {"n": (1,), "logit_bias": ({},)}
_NEUTRAL_CHAT: Mapping[str, tuple[Any, ...]] = {
    **_NEUTRAL,
    "logprobs": (False,),
    "top_logprobs": (0,),
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "reasoning_effort": ("none",),
    "verbosity": ("medium",),
    "web_search_options": (),
}
_NEUTRAL_COMPLETION: Mapping[str, tuple[Any, ...]] = {
    **_NEUTRAL,
    "logprobs": (),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
}


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; OpenAI's defaults. None: a seed of our own, another one for each request."""

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature == 0.0 or self.top_p == 0.0


@dataclass(frozen=True)
class Asked:
    """A request that makes sense; of `messages` and `prompt` one is there. max_tokens None: the endpoint's default."""

    model: str
    messages: Sequence[Mapping[str, str]] = ()
    prompt: str = ""
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: Sampling = Sampling()
    is_streaming: bool = False
    needs_usage: bool = False  # in the stream


def read_model(body: Any) -> str:
    """Return the name of the model that is asked for.

    Raises: ApiError.
    """
    if not isinstance(body, dict):
        raise invalid("the body is no JSON object")
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise invalid("you must provide a model parameter", "model")
    return str(body["model"])


def read_chat(body: Body) -> Asked:
    """Return what a body of /v1/chat/completions asks for.

    Raises: ApiError naming the field.
    """
    _refuse_others(body, {"messages", "max_completion_tokens"}, _NEUTRAL_CHAT)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid("messages must be a list of at least one message", "messages")
    read = [_message(one, f"messages[{place}]") for place, one in enumerate(messages)]
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        raise invalid("give max_tokens or max_completion_tokens, not both", "max_tokens")
    wanted = _whole(body, "max_completion_tokens") or _whole(body, "max_tokens")
    return _asked(body, max_tokens=wanted, messages=read)


def read_completion(body: Body) -> Asked:
    """Return what a body of /v1/completions asks for.

    Raises: ApiError naming the field.
    """
    _refuse_others(body, {"prompt"}, _NEUTRAL_COMPLETION)
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if isinstance(prompt, list):
        raise invalid("prompt must be one text: several prompts, and token ids, cannot be had", "prompt")
    if not isinstance(prompt, str) or not prompt:
        raise invalid("prompt must be a text that is not empty", "prompt")
    _check_text(prompt, "prompt")
    return _asked(body, max_tokens=_whole(body, "max_tokens"), prompt=prompt)


def _asked(
    body: Body, *, max_tokens: int | None, messages: Sequence[Mapping[str, str]] = (), prompt: str = ""
) -> Asked:
    is_streaming = _flag(body, "stream", "stream")
    return Asked(
        model=read_model(body),
        messages=messages,
        prompt=prompt,
        max_tokens=max_tokens,
        stop=_stop(body.get("stop")),
        sampling=Sampling(
            temperature=_number(body, "temperature", 1.0, 0.0, 2.0),
            top_p=_number(body, "top_p", 1.0, 0.0, 1.0),
            seed=_seed(body.get("seed")),
            presence_penalty=_number(body, "presence_penalty", 0.0, -2.0, 2.0),
            frequency_penalty=_number(body, "frequency_penalty", 0.0, -2.0, 2.0),
        ),
        is_streaming=is_streaming,
        needs_usage=_needs_usage(body.get("stream_options"), is_streaming=is_streaming),
    )


def _refuse_others(body: Body, own: set[str], neutral: Mapping[str, tuple[Any, ...]]) -> None:
    known = _TAKEN | own
    for name, value in body.items():
        if name in known or name in _IGNORED or value is None:
            continue
        if name not in neutral:
            suggestion = did_you_mean(name, [*known, *neutral])
            raise invalid(f"unknown parameter '{name}'.{suggestion}", name, "unknown_parameter")
        if not any(value == one and type(value) is type(one) for one in neutral[name]):
            only = " or ".join(map(repr, neutral[name]))
            way_out = f"; only {only} is taken" if only else ""
            raise invalid(
                f"{name} cannot be had from this server{way_out}: leave it out", name, "unsupported_parameter"
            )


def _message(message: Any, place: str) -> Mapping[str, str]:
    if not isinstance(message, dict):
        raise invalid(f"{place} is no object", place)
    role = message.get("role")
    if role not in ROLES:
        raise invalid(f"{place}.role is {role!r}; it must be one of {', '.join(ROLES)}", f"{place}.role")
    for name in message.keys() - {"role", "content", "name", "refusal", "annotations"}:
        if message[name]:
            raise invalid(f"{place}.{name} cannot be had: messages are text", f"{place}.{name}")
    text = _content(message.get("content"), f"{place}.content", may_be_empty=role == "assistant")
    return {"role": "system" if role == "developer" else str(role), "content": text}


def _content(content: Any, place: str, *, may_be_empty: bool) -> str:
    """Return a message's text: a string, or the joined texts of its parts."""
    if content is None and may_be_empty:
        return ""
    if isinstance(content, list):
        for part in content:
            if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
                raise invalid(f"{place} may hold parts of the type 'text' only", place)
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise invalid(f"{place} must be a text", place)
    _check_text(content, place)
    return content


def _check_text(text: str, place: str) -> None:
    """Refuse half a surrogate pair, which JSON can write and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError as problem:
        raise invalid(f"{place} is no text: it holds half a character at {problem.start}", place) from None


def _stop(value: Any) -> tuple[str, ...]:
    words = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(words, list) or len(words) > MOST_STOPS or not all(isinstance(one, str) for one in words):
        raise invalid(f"stop must be a text or a list of at most {MOST_STOPS} texts", "stop")
    if not all(words):
        raise invalid("stop holds an empty text", "stop")
    return tuple(words)


def _seed(value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
        raise invalid(f"seed must be a whole number of 64 bits, not {_shown(value)}", "seed")
    return value


def _needs_usage(options: Any, *, is_streaming: bool) -> bool:
    if options is None:
        return False
    if not is_streaming:
        raise invalid("stream_options is for streams: set stream to true", "stream_options")
    # include_obfuscation pads chunks against listeners; a server of one's own has no need of it
    if not isinstance(options, dict) or options.keys() - {"include_usage", "include_obfuscation"}:
        raise invalid("stream_options may hold include_usage only", "stream_options")
    return _flag(options, "include_usage", "stream_options.include_usage")


def _flag(body: Body, name: str, place: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise invalid(f"{place} must be true or false, not {_shown(value)}", place)
    return bool(value)


def _whole(body: Body, name: str) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST_WHOLE:
        raise invalid(f"{name} must be a whole number from 1 up, not {_shown(value)}", name)
    return value


def _number(body: Body, name: str, default: float, least: float, most: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not least <= value <= most:
        raise invalid(f"{name} must be a number from {least:g} to {most:g}, not {_shown(value)}", name)
    return float(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
