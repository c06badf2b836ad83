"""What the demo's model is asked in training: the questions of its text in many words, and about other things.

demo_text.txt holds answers with their questions; demo_questions.txt further ones, `question -> question of the text`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
TEXT = FOLDER / "demo_text.txt"
FURTHER = FOLDER / "demo_questions.txt"
STRANGE = "Can you cook?"  # the entry whose answer is that the model does not know

# {a}: a term with its article as in "What is an ensemble?", {x}: without.
ABOUT_TERM = (
    "What's {a}?",
    "what is {x}",
    "Explain {a}.",
    "Explain {x}.",
    "Can you explain {a}?",
    "Please explain {a} to me.",
    "Tell me about {a}.",
    "Describe {a}.",
    "What does {x} mean?",
    "How does {a} work?",
    "What is {a} for?",
    "Why do I need {a}?",
    "Define {x}.",
    "Do you know what {a} is?",
    "I want to know what {a} is.",
    "What is {a} and why does it matter?",
    "What exactly is {a}?",
    "And what is {a}?",
    "{x}?",
    "{x}?",
)
ABOUT_TERMS = ("What are {x}s?", "Explain {x}s.", "Can you explain {x}s?", "How do {x}s work?")
HOW_TO = ("How can I {x}?", "How to {x}?", "I want to {x}.", "Show me how to {x}.", "How do you {x}?")
AROUND = ("Please tell me: {q}", "Hey, {q}", "{q} Please be brief.", "{q} Thanks!", "I have a question. {q}", "{q}\n")


@dataclass(frozen=True)
class Entry:
    """One answer and the questions that it answers, the plainest first."""

    questions: tuple[str, ...]
    answer: str


def read_entries(text: str) -> list[Entry]:
    """Return the entries of the text: blocks of lines `Q: ...` that end with one `A: ...`."""
    entries = []
    for block in text.strip().split("\n\n"):
        *questions, answer = block.splitlines()
        if not questions or not all(line.startswith("Q: ") for line in questions) or not answer.startswith("A: "):
            raise ValueError(f"not questions and one answer:\n{block}")
        entries.append(Entry(tuple(line[3:] for line in questions), answer[3:]))
    return entries


def read_further(text: str, entries: Sequence[Entry]) -> dict[str, list[str]]:
    """Return further questions by the answer that they get."""
    answers = {question: entry.answer for entry in entries for question in entry.questions}
    found: dict[str, list[str]] = {}
    for line in text.strip().splitlines():
        question, _, known = line.partition(" -> ")
        if known not in answers:
            raise ValueError(f"'{line}' leads to no question of {TEXT.name}")
        found.setdefault(answers[known], []).append(question)
    return found


class Asker:
    """Asks: a question with the answer that is wanted, ever in other words."""

    def __init__(self, entries: Sequence[Entry], further: dict[str, list[str]], dice: random.Random) -> None:
        self.entries = entries
        self.further = further
        self.dice = dice
        self.told = [entry for entry in entries if not entry.answer.startswith(entry.questions)]
        self.strange = next(entry for entry in entries if STRANGE in entry.questions)
        texts = [text for entry in entries if entry is not self.strange for text in (entry.answer, *entry.questions)]
        known_words = set(re.findall(r"\w+", " ".join([*texts, *ABOUT_TERM]).lower()))
        strange = " ".join([*self.strange.questions, *further[self.strange.answer]])
        self.strange_words = sorted(set(re.findall(r"\w{3,}", strange.lower())) - known_words)

    def ask(self) -> tuple[str, str]:
        """Return a question and its answer; one of eight is about something the text does not know."""
        if self.dice.random() < 1 / 8:
            return self._strange_question(), self.strange.answer
        entry = self.dice.choice(self.entries)
        if self.dice.random() < 0.4:
            return self.dice.choice(entry.questions), entry.answer
        return self._rephrase(entry), entry.answer

    def tell(self) -> str:
        """Return an answer that is known without its question; none that would go on from its question's own words."""
        return self.dice.choice(self.told).answer

    def _rephrase(self, entry: Entry) -> str:
        question = self.dice.choice(entry.questions + tuple(self.further.get(entry.answer, ())))
        if (what := re.fullmatch(r"What (?:is|are) ((?:the|an|a)?) ?([^ ]+(?: [^ ]+){0,4})\?", question)) is not None:
            forms = ABOUT_TERM + (ABOUT_TERMS if what[1] in ("a", "an") else ())
            question = self.dice.choice((question, question, question, *forms)).format(
                a=f"{what[1]} {what[2]}".strip(), x=what[2]
            )
        elif (how := re.fullmatch(r"How do I (.+)\?", question)) is not None:
            question = self.dice.choice((question, *HOW_TO)).format(x=how[1])
        return self._misspell(question)

    def _misspell(self, question: str) -> str:
        """Return the question as people type it: no capitals, no question mark, words around it."""
        if self.dice.random() < 0.15:
            question = self.dice.choice(AROUND).format(q=question)
        if self.dice.random() < 0.25:
            question = question.lower()
        if self.dice.random() < 0.2:
            question = question.rstrip("?!.")
        if self.dice.random() < 0.15:
            question = question.replace("-", " ").replace("_", " ")
        return question

    def _strange_question(self) -> str:
        words = self.dice.sample(self.strange_words, self.dice.randint(1, 3))
        kind = self.dice.random()
        if kind < 0.5:
            question = self.dice.choice([*self.strange.questions, *self.further[self.strange.answer]])
        elif kind < 0.8:
            thing = " ".join(words)
            question = self.dice.choice(("What is {a}?", *ABOUT_TERM)).format(a=f"the {thing}", x=thing)
        else:
            letters = "".join(self.dice.choices("aabcdeefghiijklmnoopqrstuuvwxyz", k=self.dice.randint(5, 10)))
            question = self.dice.choice(("What is {a}?", *ABOUT_TERM)).format(a=letters, x=letters)
        return self._misspell(question)
