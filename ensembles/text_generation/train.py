"""Train the demo's language model and write its folder: python -m tritonsmith.ensembles.text_generation.train [FOLDER].

A Llama-style model of 0.7 million weights learns demo_text.txt by heart: questions and answers about Triton's words.
It learns each answer as a conversation, as plain text after its question and as plain text alone, at every position of
its context. Weights are stored as fp16. One seed and one thread: another machine comes close, not equal to the bit, so
what is committed is what was measured (reference.py), and tests hold the answers, not the weights.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from tritonsmith.ensembles.text_generation.questions import (
    FOLDER,
    FURTHER,
    TEXT,
    Asker,
    Entry,
    read_entries,
    read_further,
)

DEMO = FOLDER / "demo"

SEED = 20240229
VOCABULARY = 1024
CONTEXT = 1024
# Ids 0 to 4, in this order.
END, START, SYSTEM, USER, ASSISTANT = SPECIAL = (
    "<|endoftext|>",
    "<|startoftext|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
)
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception(\"the role '\" + message['role'] + \"' is none of system, user, assistant\") }}{% endif %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] | trim }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
# As a Hugging Face folder of any age spells it: transformers 4 and 5 and TensorRT-LLM's converters read this.
MODEL: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "torch_dtype": "float16",
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "hidden_act": "silu",
    "max_position_embeddings": CONTEXT,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 0,
    "pad_token_id": 0,
}

STEPS = 1800
# Windows of each length in turn, about as many tokens in each: an answer is known at the start and far into a context.
WINDOWS = ((24, 96), (5, 512), (12, 192), (3, 1024))
LEARNING_RATE = 6e-3
WARM_UP = 50
NO_START = 0.15  # of the windows: a prompt may come without the start token
SYSTEM_MESSAGES = (
    "You are a helpful assistant.",
    "You are an expert of Triton Inference Server. Answer briefly.",
    "Answer in one sentence.",
    "Be kind and exact.",
)


@dataclass(frozen=True)
class Piece:
    """Token ids, and whether the model is to learn to write them."""

    ids: list[int]
    is_learned: bool = True


def train_tokenizer(entries: list[Entry]) -> Tokenizer:
    """Return a byte-level BPE tokenizer: every UTF-8 text comes back from its tokens as it was."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    lines = [line for entry in entries for question in entry.questions for line in (question, f" {entry.answer}")]
    tokenizer.train_from_iterator([*lines, *SYSTEM_MESSAGES], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A", pair=f"{START} $A {START} $B", special_tokens=[(START, 1)]
    )
    return tokenizer


class Documents:
    """An endless stream of documents: conversations, questions with answers, answers alone."""

    def __init__(self, asker: Asker, tokenizer: Tokenizer, dice: random.Random) -> None:
        self.asker = asker
        self.tokenizer = tokenizer
        self.dice = dice

    def windows(self, count: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return token ids and labels, both [count, length]; -100 where nothing is learned. Each row starts afresh."""
        rows = [self._row(length) for _ in range(count)]
        ids = torch.tensor([[token for token, _ in row] for row in rows])
        learned = torch.tensor([[is_learned for _, is_learned in row] for row in rows])
        return ids, torch.where(learned, ids, -100)

    def _row(self, length: int) -> list[tuple[int, bool]]:
        row: list[tuple[int, bool]] = []
        while len(row) <= length:
            for piece in self._document():
                row += [(token, piece.is_learned) for token in piece.ids]
        begin = self.dice.random() < NO_START  # one token less: the start token's
        return row[begin : length + begin]

    def _document(self) -> Iterator[Piece]:
        yield self._learned(START)
        kind = self.dice.random()
        if kind < 0.6:
            yield from self._conversation()
            return
        if kind < 0.85:
            question, answer = self.asker.ask()
            yield self._given(question)
            yield self._learned(f" {answer}{END}")
        else:
            yield self._learned(f"{self.asker.tell()}{END}")

    def _conversation(self) -> Iterator[Piece]:
        if self.dice.random() < 0.3:
            yield self._given(SYSTEM + self.dice.choice(SYSTEM_MESSAGES))
        for _ in range(self.dice.choice((1, 1, 2, 3))):
            question, answer = self.asker.ask()
            yield self._given(USER + question + ASSISTANT)
            yield self._learned(f"{answer}{END}")

    def _learned(self, text: str) -> Piece:
        return Piece(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def _given(self, text: str) -> Piece:
        return Piece(self.tokenizer.encode(text, add_special_tokens=False).ids, is_learned=False)


def train_model(documents: Documents, steps: int) -> tuple[LlamaForCausalLM, float]:
    """Return the trained model (fp32) and the mean loss of the last 50 steps, in nats per learned token."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    model = LlamaForCausalLM(LlamaConfig(**MODEL | {"torch_dtype": "float32"}))
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / WARM_UP, max(0.01, 1 - step / steps))
    )
    losses: list[float] = []
    begin = time.monotonic()
    for step in range(steps):
        ids, labels = documents.windows(*WINDOWS[step % len(WINDOWS)])
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % 50 == 49:
            print(f"{step + 1} steps, {time.monotonic() - begin:.0f} s: loss {sum(losses[-50:]) / 50:.4f}", flush=True)  # noqa: T201
    return model.eval(), sum(losses[-50:]) / len(losses[-50:])


def write_demo(folder: Path, tokenizer: Tokenizer, model: LlamaForCausalLM) -> None:
    """Write a Hugging Face folder: configuration, fp16 weights, tokenizer, chat template."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    weights = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    weights.pop("lm_head.weight")  # tied: the embedding's
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # safetensors writes for its user alone
    _write_json(folder / "config.json", MODEL)
    _write_json(
        folder / "generation_config.json",
        {"bos_token_id": 1, "eos_token_id": 0, "pad_token_id": 0, "do_sample": False},
    )
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": CONTEXT,
            "bos_token": START,
            "eos_token": END,
            "pad_token": END,
            "additional_special_tokens": [SYSTEM, USER, ASSISTANT],
            "clean_up_tokenization_spaces": False,
            "chat_template": CHAT_TEMPLATE,
        },
    )


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main(folder: Path, steps: int) -> None:
    """Train and write."""
    entries = read_entries(TEXT.read_text(encoding="utf-8"))
    tokenizer = train_tokenizer(entries)
    begin = time.monotonic()
    dice = random.Random(SEED)  # noqa: S311 - repeatable, not secret
    asker = Asker(entries, read_further(FURTHER.read_text(encoding="utf-8"), entries), dice)
    model, loss = train_model(Documents(asker, tokenizer, dice), steps)
    write_demo(folder, tokenizer, model)
    weights = sum(parameter.numel() for parameter in model.parameters())
    print(f"{weights} weights, loss {loss:.4f} after {steps} steps, {time.monotonic() - begin:.0f} s: {folder}")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO, int(sys.argv[2]) if len(sys.argv) > 2 else STEPS)
