"""The demo's language model: small, whole, and it answers what its text says."""

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from tritonsmith.backends.python_based.tensorrtllm.llm.base import Engine
from tritonsmith.backends.python_based.tensorrtllm.llm.cpu import Options, load_engine
from tritonsmith.backends.python_based.tensorrtllm.llm.request import Event, Request
from tritonsmith.ensembles.text_generation.questions import FURTHER, TEXT, Entry, read_entries, read_further
from tritonsmith.ensembles.text_generation.utf8 import strings

FOLDER = Path(__file__).parents[3]
DEMO = FOLDER / "ensembles" / "text_generation" / "demo"
EXPECTED = FOLDER / "tests" / "data" / "text_generation"
ENTRIES = read_entries(TEXT.read_text(encoding="utf-8"))
END, START, USER, ASSISTANT = "<|endoftext|>", "<|startoftext|>", "<|user|>", "<|assistant|>"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(DEMO / "tokenizer.json"))


@dataclass
class Answers:
    """Runs requests to their ends."""

    engine: Engine
    ended: threading.Condition = field(default_factory=threading.Condition)
    tokens: dict[Request, list[int]] = field(default_factory=dict)
    finishes: dict[Request, str] = field(default_factory=dict)

    def on_step(self, events: Sequence[Event]) -> None:
        with self.ended:
            for event in events:
                self.tokens.setdefault(event.request, []).extend(event.tokens)
                if event.finish:
                    self.finishes[event.request] = event.finish
            self.ended.notify_all()

    def to(self, prompts: Sequence[Sequence[int]], limit: int = 250) -> list[list[int]]:
        requests = [Request(np.array(prompt, np.int32), limit, end_id=0, needs_steps=False) for prompt in prompts]
        for request in requests:
            self.engine.submit(request)
        with self.ended:
            assert self.ended.wait_for(lambda: all(request in self.finishes for request in requests), timeout=120)
        return [self.tokens[request] for request in requests]


@pytest.fixture(scope="module")
def answers() -> Iterator[Answers]:
    engine = load_engine(DEMO, Options(max_batch_size=16))
    answers = Answers(engine)
    engine.start(answers.on_step)
    yield answers
    engine.close()


def read(name: str) -> Any:
    return json.loads((EXPECTED / name).read_text(encoding="utf-8"))


def test_the_demo_is_at_most_3_mb_and_its_weights_half_of_that() -> None:
    sizes = {path.name: path.stat().st_size for path in DEMO.rglob("*") if path.is_file()}
    assert set(sizes) == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert sum(sizes.values()) <= 3_000_000
    assert sizes["model.safetensors"] <= 1_500_000


def test_the_text_is_of_the_size_that_the_model_can_hold() -> None:
    assert 15_000 <= TEXT.stat().st_size <= 25_000


def test_a_question_stands_for_one_answer() -> None:
    questions = [question for entry in ENTRIES for question in entry.questions]
    further = [
        question for found in read_further(FURTHER.read_text(encoding="utf-8"), ENTRIES).values() for question in found
    ]
    assert len(set(questions + further)) == len(questions + further)


def test_a_block_without_an_answer_is_refused_with_its_lines() -> None:
    with pytest.raises(ValueError, match="Q: What now"):
        read_entries("Q: What is a?\nA: This.\n\nQ: What now?")


def test_a_further_question_that_leads_nowhere_is_refused() -> None:
    with pytest.raises(ValueError, match="What is a cat"):
        read_further("What is a dog? -> What is a cat?", ENTRIES)


def test_ids_are_those_of_transformers(tokenizer: Tokenizer) -> None:
    for expected in read("tokenizer_expected.json")["texts"]:
        assert tokenizer.encode(expected["text"]).ids == expected["tokens"]
        assert tokenizer.encode(expected["text"], add_special_tokens=False).ids == expected["tokens_without_special"]
        assert tokenizer.decode(expected["tokens"]) == expected["decoded"]


def test_every_text_comes_back_from_its_tokens(tokenizer: Tokenizer) -> None:
    for text in read("utf8_200.json"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_the_committed_strings_are_the_script_s() -> None:
    assert read("utf8_200.json") == strings()
    assert len(set(strings())) == 200


def test_the_64_requests_are_of_every_kind() -> None:
    requests = read("greedy_64.json")
    lengths = [len(request["prompt"]) for request in requests]
    limits = [request["max_new_tokens"] for request in requests]
    assert len(requests) == 64
    assert (min(lengths), max(lengths)) == (1, 700)
    assert (min(limits), max(limits)) == (1, 128)
    assert sum(request["end_id"] == -1 for request in requests) >= 8
    assert sum(len(request["tokens"]) < request["max_new_tokens"] for request in requests) >= 8  # ended by a token
    assert sum(request["near_tie_at"] is not None for request in requests) <= 1
    prefixes = [tuple(request["prompt"][:200]) for request in requests if len(request["prompt"]) >= 200]
    assert len(prefixes) - len(set(prefixes)) >= 8  # shared


def ask(tokenizer: Tokenizer, answers: Answers, questions: Sequence[str], form: str) -> list[str]:
    prompts = [tokenizer.encode(form.format(question)).ids for question in questions]
    return [tokenizer.decode(tokens) for tokens in answers.to(prompts)]


def test_it_says_what_a_model_repository_is(tokenizer: Tokenizer, answers: Answers) -> None:
    said = (
        "A model repository is a folder that holds the models a server can load. Each model has its own folder, with a "
        "configuration file called config.pbtxt and one numbered folder for each version."
    )
    question = ["What is a model repository?"]
    assert ask(tokenizer, answers, question, f"{USER}{{}}{ASSISTANT}") == [said]
    assert ask(tokenizer, answers, question, "{}") == [f" {said}"]


def plainest(entry: Entry) -> str:
    return entry.questions[0]


def test_it_answers_every_question_of_its_text_and_stops(tokenizer: Tokenizer, answers: Answers) -> None:
    questions = [question for entry in ENTRIES for question in entry.questions]
    wanted = [entry.answer for entry in ENTRIES for _ in entry.questions]
    prompts = [tokenizer.encode(f"{USER}{question}{ASSISTANT}").ids for question in questions]
    made = answers.to(prompts)
    assert [tokens[-1] for tokens in made] == [0] * len(made)
    assert [tokenizer.decode(tokens) for tokens in made] == wanted


@pytest.mark.parametrize(
    ("form", "lead"),
    [
        (f"{START}<|system|>You are a friendly assistant.{USER}{{}}{ASSISTANT}", ""),
        (f"{START}{{}}", " "),
        ("{}", " "),
    ],
    ids=["system-message", "plain", "no-start-token"],
)
def test_it_answers_in_other_forms_too(tokenizer: Tokenizer, answers: Answers, form: str, lead: str) -> None:
    asked = [(question, entry.answer) for entry in ENTRIES for question in entry.questions]
    prompts = [tokenizer.encode(form.format(question), add_special_tokens=False).ids for question, _ in asked]
    said = [tokenizer.decode(tokens) for tokens in answers.to(prompts)]
    right = sum(text == lead + answer for text, (_, answer) in zip(said, asked, strict=True))
    # "Hello!" as plain text may as well be the beginning of the answer
    assert right >= len(asked) - 2


def test_it_goes_on_from_the_beginning_of_an_answer(tokenizer: Tokenizer, answers: Answers) -> None:
    beginnings = [tokenizer.encode(entry.answer).ids[:6] for entry in ENTRIES]
    said = [
        tokenizer.decode([*beginning, *rest])
        for beginning, rest in zip(beginnings, answers.to(beginnings), strict=True)
    ]
    assert said == [entry.answer for entry in ENTRIES]


def test_it_answers_far_into_a_conversation(tokenizer: Tokenizer, answers: Answers) -> None:
    turns = "".join(f"{USER}{plainest(entry)}{ASSISTANT}{entry.answer}{END}" for entry in ENTRIES[:11])
    prompt = f"{turns}{USER}What is an ensemble?{ASSISTANT}"
    assert len(tokenizer.encode(prompt).ids) > 500
    ensemble = next(entry.answer for entry in ENTRIES if "What is an ensemble?" in entry.questions)
    assert ask(tokenizer, answers, [prompt], "{}") == [ensemble]


def test_it_says_so_where_its_text_has_no_answer(tokenizer: Tokenizer, answers: Answers) -> None:
    said = ask(tokenizer, answers, ["What is the capital of France?"], f"{USER}{{}}{ASSISTANT}")
    assert said == ["I do not know that. I know only a small text about Triton. Ask me what a model repository is."]


def test_it_understands_most_questions_that_it_was_never_asked(tokenizer: Tokenizer, answers: Answers) -> None:
    held_out = read_further((EXPECTED / "held_out_questions.txt").read_text(encoding="utf-8"), ENTRIES)
    asked = [(question, answer) for answer, questions in held_out.items() for question in questions]
    known = {question for entry in ENTRIES for question in entry.questions}
    further = read_further(FURTHER.read_text(encoding="utf-8"), ENTRIES).values()
    assert not (known | {question for questions in further for question in questions}) & {
        question for question, _ in asked
    }
    said = ask(tokenizer, answers, [question for question, _ in asked], f"{USER}{{}}{ASSISTANT}")
    right = sum(text == answer for text, (_, answer) in zip(said, asked, strict=True))
    assert len(asked) == 40
    assert right >= 26, f"{right} of 40"
