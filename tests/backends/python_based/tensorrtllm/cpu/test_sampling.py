"""Sampling by its definition: a slow, plain version says what may come out, and how often."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.sampling import check_sampling, choose, draw
from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.sequence import Sequence
from tritonsmith.backends.python_based.tensorrtllm.llm.request import Request, RequestError, Sampling

Array = npt.NDArray[Any]
DRAWS = 2000


def sequence_of(*tokens: int, vocab: int = 8, prompt: int = 1, **settings: Any) -> Sequence:
    """A sequence whose first `prompt` tokens are its prompt."""
    request = Request(np.array(tokens[:prompt], np.int32), 100, **settings)
    sequence = Sequence(request, 0, vocab)
    for token in tokens[prompt:]:
        sequence.append(token)
    return sequence


def drawn_shares(logits: Array, top_k: int, top_p: float) -> Array:
    """How often each token comes out over evenly spaced random numbers."""
    uniform = (np.arange(DRAWS) + 0.5) / DRAWS
    rows = np.broadcast_to(logits.astype(np.float32), (DRAWS, len(logits)))
    tokens = draw(rows, np.full(DRAWS, top_k), np.full(DRAWS, top_p), uniform)
    return np.bincount(tokens, minlength=len(logits)) / DRAWS


def wanted_shares(logits: Array, top_k: int, top_p: float) -> Array:
    """Top-k, then top-p among what is left, then shares that add up to 1; token by token."""
    order = sorted(range(len(logits)), key=lambda token: (-logits[token], token))[: top_k or None]
    weights = {token: float(np.exp(logits[token] - logits.max())) for token in order}
    total, reached, kept = sum(weights.values()), 0.0, []
    for token in order:
        if top_p > 0 and reached >= top_p * total:
            break
        kept.append(token)
        reached += weights[token]
    shares = np.zeros(len(logits))
    for token in kept:
        shares[token] = weights[token] / reached
    return shares


@pytest.mark.parametrize("top_p", [0.0, 0.05, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("top_k", [0, 1, 2, 5, 50])
def test_tokens_come_as_often_as_their_probability_after_top_k_and_top_p(top_k: int, top_p: float) -> None:
    logits = np.random.default_rng(0).standard_normal(20) * 2
    assert np.abs(drawn_shares(logits, top_k, top_p) - wanted_shares(logits, top_k, top_p)).max() <= 1.01 / DRAWS


def test_a_flat_nucleus_wider_than_the_sorted_candidates_is_drawn_whole() -> None:
    shares = drawn_shares(np.zeros(3000), 0, 0.9)
    assert (shares[2700:] == 0).all()
    assert (shares[:2700] > 0).sum() > 1900


def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    random = np.random.default_rng(1)
    logits = random.standard_normal((40, 1500)).astype(np.float32)
    top_k, top_p = random.integers(0, 30, 40), random.choice([0.0, 0.3, 0.999], 40)
    uniform = random.random(40)
    together = draw(logits, top_k, top_p, uniform)
    alone = [int(draw(logits[i : i + 1], top_k[i : i + 1], top_p[i : i + 1], uniform[i : i + 1])[0]) for i in range(40)]
    assert together.tolist() == alone


def test_penalties_follow_temperature_and_count_the_prompt() -> None:
    logits = np.array([[2.0, -2.0, 2.0, 1.0]], np.float32)
    sampling = Sampling(0.5, 1, 0, repetition_penalty=2.0, presence_penalty=0.25, frequency_penalty=0.5)
    sequence = sequence_of(0, 1, 1, 3, vocab=4, prompt=2, sampling=sampling)
    assert sequence.chooser is not None
    sequence.chooser.adjust(logits[0], sequence)
    # 2 / 0.5 / 2 - 0.25 - 0.5; -2 / 0.5 * 2 - 0.25 - 2 * 0.5; untouched but for temperature; 1 / 0.5 / 2 - 0.25 - 0.5
    assert logits[0].tolist() == [1.25, -9.25, 4.0, 0.25]


def test_occurrences_are_counted_on_from_step_to_step() -> None:
    sequence = sequence_of(0, vocab=3, sampling=Sampling(frequency_penalty=1.0))
    assert sequence.chooser is not None
    for expected in (-1.0, -2.0, -3.0):
        row = np.zeros(3, np.float32)
        sequence.chooser.adjust(row, sequence)
        assert row.tolist() == [expected, 0, 0]
        sequence.append(0)


def test_the_end_is_not_chosen_before_min_tokens() -> None:
    sequence = sequence_of(5, vocab=3, end_id=2, min_tokens=2)
    row = np.array([[0.0, 1.0, 2.0]], np.float32)
    chosen = []
    for _ in range(3):
        tokens, _ = choose(row.copy(), [sequence])
        chosen += tokens
        sequence.append(tokens[0])
    assert chosen == [1, 1, 2]


@pytest.mark.parametrize(
    ("history", "word", "expected"),
    [((1, 2), (3,), 2), ((1, 2), (1, 2, 3), 2), ((2, 1), (1, 2, 3), 3), ((2,), (1, 2, 3), 3), ((1, 2), (2, 3), 2)],
)
def test_a_bad_word_is_never_completed_even_if_the_prompt_began_it(
    history: tuple[int, ...], word: tuple[int, ...], expected: int
) -> None:
    sequence = sequence_of(*history, vocab=4, bad_words=(word,))
    tokens, _ = choose(np.array([[0.0, 1.0, 2.0, 3.0]], np.float32), [sequence])
    assert tokens == [expected]


def test_rules_that_leave_no_token_are_told_from_a_choice() -> None:
    sequences = [sequence_of(0, vocab=2, bad_words=((0,), (1,)), sampling=Sampling(top_k=k)) for k in (0, 2)]
    tokens, _ = choose(np.zeros((2, 2), np.float32), sequences)
    assert tokens == [-1, -1]


def test_log_probabilities_are_those_of_the_whole_vocabulary() -> None:
    logits = np.log(np.array([[0.1, 0.2, 0.7]], np.float32))
    greedy = sequence_of(0, vocab=3, needs_log_probs=True)
    tokens, log_probs = choose(logits.copy(), [greedy])
    assert (tokens, round(float(np.exp(log_probs[0])), 6)) == ([2], 0.7)
    hot = sequence_of(0, vocab=3, needs_log_probs=True, sampling=Sampling(0.5, top_k=2, seed=3))
    tokens, log_probs = choose(logits.copy(), [hot])
    shares = np.array([0.01, 0.04, 0.49]) / 0.54
    assert float(np.exp(log_probs[0])) == pytest.approx(shares[tokens[0]], rel=1e-5)


def test_temperature_zero_is_greedy() -> None:
    sequence = sequence_of(0, vocab=3, sampling=Sampling(0.0, top_k=3, top_p=0.9), needs_log_probs=True)
    for _ in range(20):
        assert choose(np.array([[0.0, 1.0, 1.1]], np.float32), [sequence])[0] == [2]


def test_a_plain_greedy_request_needs_no_rules() -> None:
    assert sequence_of(0).chooser is None
    assert sequence_of(0, sampling=Sampling(top_k=1, temperature=0.3)).chooser is None
    assert sequence_of(0, sampling=Sampling(top_k=2)).chooser is not None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampling": Sampling(temperature=-1.0)}, "temperature -1"),
        ({"sampling": Sampling(temperature=float("nan"))}, "temperature nan"),
        ({"sampling": Sampling(top_k=-1)}, "top_k -1"),
        ({"sampling": Sampling(top_p=1.5)}, "top_p 1.5: a number up to 1"),
        ({"sampling": Sampling(repetition_penalty=0.0)}, "repetition_penalty 0"),
        ({"sampling": Sampling(presence_penalty=float("inf"))}, "presence_penalty inf"),
        ({"sampling": Sampling(seed=-1)}, "seed -1"),
        ({"sampling": Sampling(seed=1 << 64)}, "seed 18446744073709551616"),
        ({"stop_words": ((),)}, r"stop word \[\]"),
        ({"bad_words": ((1, 8),)}, r"bad word \[1, 8\]: tokens from 0 to 7"),
    ],
)
def test_settings_without_sense_are_refused_with_their_value(settings: dict[str, Any], message: str) -> None:
    request = Request(np.array([1], np.int32), 1)
    with pytest.raises(RequestError, match=message):
        check_sampling(replace(request, **settings), 8)
