"""Write what the demo must answer: python -m tritonsmith.ensembles.text_generation.expected FOLDER.

greedy_64.json, tokenizer_expected.json and utf8_200.json, as Hugging Face's transformers has them: weights widened to
fp32, one request at a time, greedy. FOLDER is tests/data/text_generation of a checkout.
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from tritonsmith.ensembles.text_generation.questions import TEXT, read_entries
from tritonsmith.ensembles.text_generation.train import DEMO, SEED, SPECIAL, VOCABULARY
from tritonsmith.ensembles.text_generation.utf8 import strings

NEAR_TIE = 1e-4  # two best logits that are nearer than that may change places in another order of summation
REQUESTS = 64
LONGEST_PROMPT = 700
LONGEST_ANSWER = 128
NO_END = -1

SYSTEM = {"role": "system", "content": "You are a helpful assistant."}


@dataclass(frozen=True)
class Expected:
    """A request and its answer; `near_tie_at` is the first generated token whose two best logits nearly tie."""

    prompt: list[int]
    max_new_tokens: int
    end_id: int  # NO_END: none
    tokens: list[int]  # the end token included
    near_tie_at: int | None


class Requests:
    """Prompts of every kind that the engine has to tell apart, in a fixed order of chance."""

    def __init__(self, tokenizer: Any, dice: random.Random) -> None:
        self.tokenizer = tokenizer
        self.dice = dice
        entries = read_entries(TEXT.read_text(encoding="utf-8"))
        self.questions = [question for entry in entries for question in entry.questions]
        self.text = self._ids("\n".join(entry.answer for entry in entries))

    def prompts(self) -> list[list[int]]:
        """Return 64 prompts of 1 to 700 tokens, shuffled."""
        prompts = [self._question(turns=1) for _ in range(12)]
        prompts += [self._question(turns=self.dice.randint(2, 6)) for _ in range(6)]
        prompts += [self._plain() for _ in range(6)]
        prompts += self._sharing(200, 6) + self._sharing(480, 4)
        prompts += [self._cut(self.dice.randint(2, 300)) for _ in range(8)]
        prompts += [self._random(self.dice.randint(1, 350)) for _ in range(8)]
        # lengths around the KV cache's blocks (32 tokens) and a step's budget, and the ends of the range
        prompts += [self._cut(length) for length in (31, 32, 33, 64, 128, 256, 512, 513, LONGEST_PROMPT)]
        prompts += [self._random(length) for length in (1, 1, 32, 64, LONGEST_PROMPT)]
        self.dice.shuffle(prompts)
        return prompts

    def limit(self) -> int:
        """Return max_new_tokens of a request."""
        return self.dice.choice((1, 2, LONGEST_ANSWER, *(self.dice.randint(1, LONGEST_ANSWER) for _ in range(6))))

    def end_id(self) -> int:
        """Return the end token of a request: most often the model's, else none or the full stop."""
        return self.dice.choice((0, 0, 0, NO_END, NO_END, int(self._ids(".")[0])))

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def _question(self, turns: int) -> list[int]:
        asked = self.dice.sample(self.questions, turns)
        messages = [SYSTEM] if self.dice.random() < 0.3 else []
        for question in asked[:-1]:
            messages += [{"role": "user", "content": question}, {"role": "assistant", "content": "It depends."}]
        messages.append({"role": "user", "content": asked[-1]})
        return chat_ids(self.tokenizer, messages)

    def _plain(self) -> list[int]:
        return list(self.tokenizer(self.dice.choice(self.questions)).input_ids)

    def _cut(self, length: int) -> list[int]:
        begin = self.dice.randrange(len(self.text) - length)
        return self.text[begin : begin + length]

    def _random(self, length: int) -> list[int]:
        return [self.dice.randrange(VOCABULARY) for _ in range(length)]

    def _sharing(self, length: int, count: int) -> list[list[int]]:
        """Return prompts that begin alike: two of them equal, one nothing but the beginning."""
        prefix = self._cut(length)
        tails = [self._question(turns=1) for _ in range(count - 2)]
        return [prefix, *(prefix + tail for tail in tails), prefix + tails[0]]


def chat_ids(tokenizer: Any, messages: list[dict[str, str]]) -> list[int]:
    """Return the token ids of a conversation that the assistant is to go on with."""
    return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"])


def answer(model: Any, prompt: list[int], max_new_tokens: int, end_id: int) -> Expected:
    """Return what `generate` makes of one request."""
    config = GenerationConfig(
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=None if end_id == NO_END else end_id,
        pad_token_id=0,
        output_logits=True,
        return_dict_in_generate=True,
    )
    model.generation_config = config  # else its own end token fills in for None
    ids = torch.tensor([prompt])
    made = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
    tokens = made.sequences[0, len(prompt) :].tolist()
    best = torch.stack(made.logits)[:, 0].topk(2).values  # [tokens, 2]
    margins = (best[:, 0] - best[:, 1]).tolist()
    ties = [step for step, margin in enumerate(margins) if margin < NEAR_TIE]
    if end_id == NO_END and len(tokens) != max_new_tokens:
        raise AssertionError(f"{len(tokens)} of {max_new_tokens} tokens although nothing may end the answer")
    return Expected(prompt, max_new_tokens, end_id, tokens, ties[0] if ties else None)


def greedy(model: Any, tokenizer: Any) -> list[Expected]:
    """Return the 64 requests with their answers."""
    requests = Requests(tokenizer, random.Random(SEED))  # noqa: S311 - repeatable, not secret
    found = [answer(model, prompt, requests.limit(), requests.end_id()) for prompt in requests.prompts()]
    ties = sum(request.near_tie_at is not None for request in found)
    if len(found) != REQUESTS or ties > 1:
        raise AssertionError(f"{len(found)} requests, {ties} with a near tie; 64 with at most one are wanted")
    return found


CONVERSATIONS: tuple[tuple[list[dict[str, str]], bool], ...] = (
    ([{"role": "user", "content": "What is a model repository?"}], True),
    ([{"role": "user", "content": "What is a model repository?"}], False),
    ([SYSTEM, {"role": "user", "content": "Hello!"}], True),
    ([{"role": "user", "content": "  spaces at both ends  \n"}], True),
    ([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}], False),
    (
        [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": " Hello! "},
            {"role": "user", "content": "What is BLS?"},
        ],
        True,
    ),
    ([SYSTEM, {"role": "user", "content": "模型仓库是什么？ 👩‍💻"}], True),
    ([{"role": "user", "content": "line one\n\nline  two\t."}], True),
    ([{"role": "user", "content": ""}], True),
    ([{"role": "user", "content": "<|endoftext|> and <|user|> in a text"}], True),
)


def tokenizer_expected(tokenizer: Any) -> dict[str, Any]:
    """Return rendered conversations and the token ids of 50 strings, with and without special tokens."""
    chats = [
        {
            "messages": messages,
            "add_generation_prompt": is_open,
            "text": tokenizer.apply_chat_template(messages, add_generation_prompt=is_open, tokenize=False),
            "tokens": list(
                tokenizer.apply_chat_template(messages, add_generation_prompt=is_open, return_dict=True)["input_ids"]
            ),
        }
        for messages, is_open in CONVERSATIONS
    ]
    texts = [*strings()[::5], *SPECIAL, "", "What is a model repository?", "model repository", " a", "a"]
    encoded = [
        {
            "text": text,
            "tokens": list(tokenizer(text).input_ids),
            "tokens_without_special": list(tokenizer(text, add_special_tokens=False).input_ids),
            "decoded": tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True),
        }
        for text in texts
    ]
    return {"chats": chats, "texts": encoded}


def main(folder: Path) -> None:
    """Write the three files."""
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    model = AutoModelForCausalLM.from_pretrained(DEMO, dtype=torch.float32).eval()
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "greedy_64.json", [asdict(request) for request in greedy(model, tokenizer)])
    _write(folder / "tokenizer_expected.json", tokenizer_expected(tokenizer))
    _write(folder / "utf8_200.json", strings())


def _write(path: Path, value: list[Any] | dict[str, Any]) -> None:
    """Write JSON with one line per entry; characters as escapes, so that no editor normalises them."""
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {_lines(entries)}" for key, entries in value.items()]
        path.write_text("{" + ",\n".join(parts) + "}\n", encoding="ascii")
    else:
        path.write_text(_lines(value) + "\n", encoding="ascii")


def _lines(entries: list[Any]) -> str:
    return "[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
