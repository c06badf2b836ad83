"""Small Llamas with random weights, what they compute by plain numpy, and requests run to their end."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tritonsmith.backends.python_based.tensorrtllm.llm.base import Engine
from tritonsmith.backends.python_based.tensorrtllm.llm.cpu import Options, load_engine
from tritonsmith.backends.python_based.tensorrtllm.llm.request import Event, Request

Array = npt.NDArray[Any]
STORED = {"F32": "<f4", "F16": "<f2"}


def as_bytes(array: Array, dtype: str) -> bytes:
    if dtype == "BF16":  # the upper half of an fp32, rounded down
        return (array.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return array.astype(STORED[dtype]).tobytes()


def write_safetensors(path: Path, tensors: Mapping[str, Array], dtype: str = "F32") -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, array in tensors.items():
        piece = as_bytes(array, dtype)
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(piece)]}
        data += piece
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def random_tensors(config: Mapping[str, Any], seed: int) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    hidden, vocab, inner = config["hidden_size"], config["vocab_size"], config["intermediate_size"]
    size = config.get("head_dim") or hidden // config["num_attention_heads"]
    wide, narrow = size * config["num_attention_heads"], size * config["num_key_value_heads"]

    def weights(*shape: int) -> Array:
        return random.standard_normal(shape).astype(np.float32) * np.float32(0.15)

    tensors = {"model.embed_tokens.weight": weights(vocab, hidden) * 3, "model.norm.weight": 1 + weights(hidden)}
    if not config["tie_word_embeddings"]:
        tensors["lm_head.weight"] = weights(vocab, hidden)
    for layer in range(config["num_hidden_layers"]):
        shapes = {
            "self_attn.q_proj": (wide, hidden),
            "self_attn.k_proj": (narrow, hidden),
            "self_attn.v_proj": (narrow, hidden),
            "self_attn.o_proj": (hidden, wide),
            "mlp.gate_proj": (inner, hidden),
            "mlp.up_proj": (inner, hidden),
            "mlp.down_proj": (hidden, inner),
        }
        tensors |= {f"model.layers.{layer}.{name}.weight": weights(*shape) for name, shape in shapes.items()}
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{layer}.{name}.weight"] = 1 + weights(hidden)
    return tensors


@dataclass(frozen=True)
class Llama:
    """A folder with a small Llama, and what it is to compute."""

    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, Array]

    def logits(self, tokens: Sequence[int] | Array) -> Array:
        """The logits after each token, [tokens, vocab], by numpy in float64: every step as transformers spells it."""
        heads, kv_heads = self.config["num_attention_heads"], self.config["num_key_value_heads"]
        size = self.config.get("head_dim") or self.config["hidden_size"] // heads
        count = len(tokens)
        x = self._weight("model.embed_tokens")[np.asarray(tokens)]
        angles = np.outer(np.arange(count), self.frequencies(size))
        cosines, sines = (np.tile(f(angles), 2)[:, None, :] for f in (np.cos, np.sin))
        hidden_future = np.triu(np.full((count, count), -np.inf), 1)
        for layer in range(self.config["num_hidden_layers"]):
            place = f"model.layers.{layer}"
            normed = self._norm(x, f"{place}.input_layernorm")
            q, k, v = (
                (normed @ self._weight(f"{place}.self_attn.{part}_proj").T).reshape(count, -1, size) for part in "qkv"
            )
            q, k = (y * cosines + rotated(y) * sines for y in (q, k))
            k, v = (np.repeat(y, heads // kv_heads, axis=1) for y in (k, v))
            scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(size) + hidden_future
            shares = np.exp(scores - scores.max(axis=2, keepdims=True))
            shares /= shares.sum(axis=2, keepdims=True)
            mixed = np.einsum("hqk,khd->qhd", shares, v).reshape(count, -1)
            x = x + mixed @ self._weight(f"{place}.self_attn.o_proj").T
            normed = self._norm(x, f"{place}.post_attention_layernorm")
            gate = normed @ self._weight(f"{place}.mlp.gate_proj").T
            up = normed @ self._weight(f"{place}.mlp.up_proj").T
            x = x + (gate / (1 + np.exp(-gate)) * up) @ self._weight(f"{place}.mlp.down_proj").T
        head = "model.embed_tokens" if self.config["tie_word_embeddings"] else "lm_head"
        return np.asarray(self._norm(x, "model.norm") @ self._weight(head).T)

    def greedy(self, prompt: Sequence[int] | Array, count: int) -> list[int]:
        """The next `count` tokens; no two best logits are so close that rounding might swap them."""
        tokens = list(map(int, prompt))
        for _ in range(count):
            last = self.logits(tokens)[-1]
            best, second = np.sort(last)[[-1, -2]]
            assert best - second > 1e-4, "take another seed: fp32 may choose otherwise here"
            tokens.append(int(last.argmax()))
        return tokens[len(prompt) :]

    def frequencies(self, size: int) -> Array:
        return np.asarray(self.config.get("rope_theta", 10000.0) ** -(np.arange(0, size, 2) / size))

    def _weight(self, name: str) -> Array:
        return self.tensors[f"{name}.weight"].astype(np.float64)

    def _norm(self, x: Array, name: str) -> Array:
        scale = np.sqrt((x**2).mean(axis=1, keepdims=True) + self.config["rms_norm_eps"])
        return np.asarray(x / scale * self._weight(name))


def rotated(x: Array) -> Array:
    half = x.shape[-1] // 2
    return np.concatenate([-x[..., half:], x[..., :half]], axis=-1)


WriteLlama = Callable[..., Llama]


@pytest.fixture(scope="session")
def write_llama(tmp_path_factory: pytest.TempPathFactory) -> WriteLlama:
    """Return a function that writes a Hugging Face folder; settings go into config.json."""

    def write(*, seed: int = 0, dtype: str = "F32", **settings: Any) -> Llama:
        config = {
            "architectures": ["LlamaForCausalLM"],
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "vocab_size": 160,
            "max_position_embeddings": 256,
            "rms_norm_eps": 1e-5,
            "tie_word_embeddings": False,
            **settings,
        }
        folder = tmp_path_factory.mktemp("llama")
        tensors = random_tensors(config, seed)
        (folder / "config.json").write_text(json.dumps(config))
        write_safetensors(folder / "model.safetensors", tensors, dtype)
        if dtype == "F16":
            tensors = {name: array.astype(np.float16).astype(np.float32) for name, array in tensors.items()}
        if dtype == "BF16":
            tensors = {n: (a.view(np.uint32) >> 16 << 16).view(np.float32) for n, a in tensors.items()}
        return Llama(folder, config, tensors)

    return write


@pytest.fixture(scope="session")
def llama(write_llama: WriteLlama) -> Llama:
    """A small Llama."""
    return write_llama()


@dataclass
class Answers:
    """What an engine told, by request."""

    events: dict[Request, list[Event]] = field(default_factory=dict)
    steps: list[list[Event]] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)

    def on_step(self, events: Sequence[Event]) -> None:
        with self._news:
            self.steps.append(list(events))
            for event in events:
                self.events.setdefault(event.request, []).append(event)
            self._news.notify_all()

    def wait(self, *requests: Request, limit_s: float = 60) -> None:
        """Wait until these requests have ended."""
        with self._news:
            assert self._news.wait_for(lambda: all(map(self.has_ended, requests)), limit_s), "no end in time"

    def wait_for_token(self, request: Request, limit_s: float = 60) -> None:
        """Wait until a request has its first token."""
        with self._news:
            assert self._news.wait_for(lambda: bool(self.events.get(request)), limit_s), "no token in time"

    def has_ended(self, request: Request) -> bool:
        return bool(request in self.events and self.events[request][-1].finish)

    def tokens(self, request: Request) -> list[int]:
        return [token for event in self.events[request] for token in event.tokens]

    def log_probs(self, request: Request) -> list[float]:
        return [value for event in self.events[request] for value in event.log_probs]

    def last(self, request: Request) -> Event:
        return self.events[request][-1]


@dataclass(frozen=True)
class Running:
    """An engine that runs, and what it tells."""

    engine: Engine
    answers: Answers

    def complete(self, *requests: Request) -> list[list[int]]:
        """Submit requests, wait for their ends, and return their tokens."""
        for request in requests:
            self.engine.submit(request)
        self.answers.wait(*requests)
        return [self.answers.tokens(request) for request in requests]


Open = Callable[..., Running]


@pytest.fixture
def open_engine(llama: Llama) -> Iterator[Open]:
    """Return a function that starts an engine; options are its own, and `folder` another model."""
    opened: list[Engine] = []

    def start(folder: Path = llama.folder, **options: Any) -> Running:
        engine = load_engine(folder, Options(**options))
        opened.append(engine)
        answers = Answers()
        engine.start(answers.on_step)
        return Running(engine, answers)

    yield start
    for engine in opened:
        engine.close()


@pytest.fixture(scope="session")
def ask() -> Callable[..., Request]:
    """Return a function that makes a request: a prompt (or its length: random tokens) and how many are wanted."""

    def make(prompt: int | Sequence[int], count: int, *, seed: int = 0, **settings: Any) -> Request:
        random = np.random.default_rng([seed, 7])
        tokens = random.integers(0, 160, prompt) if isinstance(prompt, int) else np.array(prompt)
        return Request(tokens.astype(np.int32), count, **settings)

    return make
