"""A classifier's scores -> the best labels with their scores. Runs inside Triton."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .parameters import choice, read_parameters, whole_number

PARAMETERS = ("labels", "top_k", "activation")


class ScoresError(ValueError):
    """Raised for scores that do not fit the labels; the message is for the client."""


@dataclass(frozen=True)
class Ranking:
    """How scores become an answer: the `top_k` best of `labels`, after softmax or as they are."""

    labels: tuple[str, ...]
    top_k: int
    activation: str  # softmax: scores are logits; none: they are taken as they are


@dataclass(frozen=True)
class Ranked:
    """The best labels of each image, best first; both [n, top_k]."""

    labels: NDArray[np.object_]  # UTF-8 bytes
    scores: NDArray[np.float32]


def read_ranking(config: Mapping[str, Any], folder: str | Path) -> Ranking:
    """Return the ranking that a model configuration's parameters and the labels file in the model's folder describe.

    Raises: ValueError, naming the parameter, where they make no sense.
    """
    texts = read_parameters(config, PARAMETERS)
    if int(config.get("max_batch_size", 0)) < 1:
        raise ValueError("max_batch_size must be 1 or more: scores have a batch axis")
    labels = read_labels(Path(folder) / texts.get("labels", "labels.txt"))
    top_k = whole_number(texts, "top_k", 1)
    if top_k > len(labels):
        raise ValueError(f"parameter top_k: {top_k} is more than the {len(labels)} labels there are")
    return Ranking(labels, top_k, choice(texts, "activation", "softmax", ("softmax", "none")))


def read_labels(path: Path) -> tuple[str, ...]:
    """Return the labels of a text file, one per line, in the order of the classifier's scores.

    Raises: ValueError where the file cannot be read, is empty or has a blank line between labels.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").rstrip().splitlines()]
    except (OSError, UnicodeDecodeError) as problem:
        raise ValueError(f"labels file '{path}' cannot be read: {problem}") from problem
    if not lines or "" in lines:
        line = lines.index("") + 1 if lines else 1
        raise ValueError(f"labels file '{path}': line {line} is blank; every line is one label")
    return tuple(lines)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities from logits, both [n, classes]; each row sums to 1."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def rank(scores: NDArray[np.float32], ranking: Ranking) -> Ranked:
    """Return the best labels for scores [n, classes]; of equal scores the one listed first wins."""
    values = softmax(scores) if ranking.activation == "softmax" else scores
    best = np.argsort(-values, axis=1, kind="stable")[:, : ranking.top_k]
    names = np.array([label.encode() for label in ranking.labels], dtype=np.object_)
    return Ranked(names[best], np.take_along_axis(values, best, axis=1))


def rank_batches(batches: Sequence[NDArray[Any]], ranking: Ranking) -> list[Ranked | ScoresError]:
    """Return each request's best labels, or why its scores do not fit; all requests share one numpy pass.

    `batches` holds one array of scores per request, [n, classes], n differing from request to request.
    """
    rows = [np.asarray(batch, np.float32).reshape(len(batch), -1) for batch in batches]
    classes = len(ranking.labels)
    fitting = [row for row in rows if row.shape[1] == classes]
    ranked = rank(np.concatenate(fitting), ranking) if fitting else None
    answers: list[Ranked | ScoresError] = []
    start = 0
    for row in rows:
        if ranked is None or row.shape[1] != classes:
            answers.append(ScoresError(f"{row.shape[1]} scores per image, but the labels file has {classes} labels"))
            continue
        stop = start + len(row)
        answers.append(Ranked(ranked.labels[start:stop], ranked.scores[start:stop]))
        start = stop
    return answers
