"""What an arena was asked and what came of it, line by line on the disk: asked the same again, it is the answer."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tritonsmith.generator import console
from tritonsmith.perf.files import write_by_rename, writing

JOURNAL_NAME = "journal.jsonl"
SCHEMA = "tritonsmith.arena/1"
Question = Mapping[str, Any]


class Journal:
    """A file of one JSON line for each answer: {"question", "answer", "spent_s"}, after a head line of whose it is.

    Questions come in the same order from a search that is given the same answers; from the first that differs on,
    what was written is dropped. A last line that a kill tore is dropped too.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.path = folder / JOURNAL_NAME
        self.spent_s = 0.0  # when the last answer that was given out was written
        self._head = json.dumps({"schema": SCHEMA, "identity": identity})
        self._kept = self._read()
        self._given = 0

    @property
    def is_replaying(self) -> bool:
        """Return whether there are answers that were not yet given out."""
        return self._given < len(self._kept)

    @property
    def answers(self) -> int:
        """Return how many answers are written."""
        return len(self._kept)

    def is_next(self, question: Question) -> bool:
        """Return whether this is what was asked next, before."""
        return self.is_replaying and json.loads(self._kept[self._given])["question"] == question

    def answer(self, question: Question) -> Mapping[str, Any] | None:
        """Return what came of the question before; None where it is asked for the first time."""
        if not self.is_replaying:
            return None
        line = json.loads(self._kept[self._given])
        if line["question"] != json.loads(json.dumps(question)):
            console.say(f"note: {self.path}: asked otherwise than before; measured anew from {self._given + 1} on")
            self._rewrite(self._kept[: self._given])
            return None
        self._given += 1
        self.spent_s = float(line["spent_s"])
        answer: Mapping[str, Any] = line["answer"]
        return answer

    def add(self, question: Question, answer: Mapping[str, Any], spent_s: float) -> None:
        """Write an answer; it is on the disk when this returns."""
        spent_s = round(spent_s, 4)  # who reads it later shall decide alike
        line = json.dumps({"question": question, "answer": answer, "spent_s": spent_s})
        with writing(self.path), self.path.open("ab") as file:
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._kept.append(line)
        self._given = len(self._kept)
        self.spent_s = spent_s

    def _read(self) -> list[str]:
        try:
            head, *lines = self.path.read_text(encoding="utf-8").split("\n")
        except OSError:
            self._rewrite([])
            return []
        if head != self._head:
            console.say(f"note: {self.path} is of other configurations, files, inputs or another machine: begun anew")
            self._rewrite([])
            return []
        whole = lines[:-1] if _is_whole(lines[:-1]) else []
        if not whole and lines[:-1]:
            console.say(f"note: {self.path} cannot be read: begun anew")
        if lines[-1] or not whole:  # torn, or nothing that counts
            self._rewrite(whole)
        return whole

    def _rewrite(self, lines: list[str]) -> None:
        write_by_rename(self.path, "".join(f"{line}\n" for line in [self._head, *lines]).encode())
        self._kept = lines


def identity_digest(facts: Mapping[str, Any]) -> str:
    """Return a digest of what answers depend on."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def _is_whole(lines: list[str]) -> bool:
    try:
        return all({"question", "answer", "spent_s"} <= json.loads(line).keys() for line in lines)
    except (ValueError, AttributeError):
        return False
