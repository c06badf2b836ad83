from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tritonsmith.ensembles.image_classification.labels import (
    Ranked,
    Ranking,
    ScoresError,
    rank,
    rank_batches,
    read_labels,
    read_ranking,
    softmax,
)

FRUIT = ("apple", "banana", "crème")


def config(**parameters: str) -> dict[str, Any]:
    return {"max_batch_size": 8, "parameters": {name: {"string_value": text} for name, text in parameters.items()}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "labels.txt").write_text("apple\nbanana\ncrème\n\n", encoding="utf-8")
    return tmp_path


def test_labels_are_lines(folder: Path) -> None:
    assert read_labels(folder / "labels.txt") == FRUIT


def test_a_ranking_is_read_from_parameters_and_the_model_s_folder(folder: Path) -> None:
    assert read_ranking(config(), folder) == Ranking(FRUIT, 1, "softmax")
    assert read_ranking(config(top_k="2", activation="none"), folder) == Ranking(FRUIT, 2, "none")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"top_k": "4"}, "top_k: 4 is more than the 3 labels"),
        ({"top_k": "0"}, "top_k: '0' is not a whole number"),
        ({"activation": "sigmoid"}, "activation: 'sigmoid' is not one of softmax, none"),
        ({"topk": "1"}, "unknown parameter 'topk'"),
        ({"labels": "names.txt"}, "names.txt' cannot be read"),
    ],
)
def test_wrong_parameters_are_named(folder: Path, parameters: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_ranking(config(**parameters), folder)


@pytest.mark.parametrize(("text", "message"), [("", "line 1 is blank"), ("a\n\nb\n", "line 2 is blank")])
def test_blank_labels_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "labels.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_labels(tmp_path / "labels.txt")


def test_softmax_survives_large_logits() -> None:
    assert np.allclose(softmax(np.array([[1000.0, 1000.0, -1000.0]], np.float32)), [[0.5, 0.5, 0]])


def test_the_best_labels_come_first() -> None:
    best = rank(np.array([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]], np.float32), Ranking(FRUIT, 2, "none"))
    assert [[label.decode() for label in row] for row in best.labels] == [["crème", "banana"], ["apple", "banana"]]
    assert np.allclose(best.scores, [[0.7, 0.2], [0.5, 0.3]])


def test_of_equal_scores_the_first_label_wins() -> None:
    best = rank(np.zeros((1, 3), np.float32), Ranking(FRUIT, 3, "softmax"))
    assert best.labels[0].tolist() == [label.encode() for label in FRUIT]


def test_requests_get_to_the_bit_what_each_would_get_alone() -> None:
    ranking = Ranking(tuple("abcdefghij"), 3, "softmax")
    batches = [np.random.RandomState(n).standard_normal((n, 10)).astype(np.float32) * 5 for n in (1, 3, 2, 16)]
    for one, answer in zip(batches, rank_batches(batches, ranking), strict=True):
        (alone,) = rank_batches([one], ranking)
        assert isinstance(answer, Ranked)
        assert isinstance(alone, Ranked)
        assert np.array_equal(answer.scores, alone.scores)
        assert np.array_equal(answer.labels, alone.labels)


def test_scores_that_do_not_fit_the_labels_fail_their_own_request_alone() -> None:
    ranking = Ranking(FRUIT, 1, "softmax")
    wide, fitting = rank_batches([np.zeros((2, 4), np.float32), np.array([[0, 9, 0]], np.float32)], ranking)
    assert isinstance(wide, ScoresError)
    assert str(wide) == "4 scores per image, but the labels file has 3 labels"
    assert isinstance(fitting, Ranked)
    assert fitting.labels.tolist() == [[b"banana"]]
