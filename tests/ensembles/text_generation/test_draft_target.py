"""The text of a draft and its target is the target's alone, whatever the draft proposes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from tritonsmith.ensembles.text_generation.bls_tensors import Tensors
from tritonsmith.ensembles.text_generation.draft_target import Speculation, read_speculation, speculate
from tritonsmith.ensembles.text_generation.generation import Row
from tritonsmith.ensembles.text_generation.model_parameters import ClientError

END = 0
PROMPT = (7, 8, 9)
Next = Callable[[Sequence[int]], int]


def target(ids: Sequence[int]) -> int:
    """Return the one token that follows: greedy decoding of a made-up model."""
    return (ids[-1] * 31 + ids[-2] * 17 + len(ids) * 7) % 41


@dataclass
class GreedyEngine:
    """Answers as TensorRT-LLM does under greedy decoding: drafts are kept as far as they are its own choice."""

    next: Next
    repeats_prompt: bool = False
    asked: list[Tensors] = field(default_factory=list)

    def __call__(self, inputs: Tensors) -> dict[str, Any]:
        self.asked.append(inputs)
        ids = inputs["input_ids"][0].tolist()
        draft = inputs.get("draft_input_ids", np.empty([1, 0], np.int32))[0].tolist()
        new: list[int] = []
        while len(new) < inputs["request_output_len"][0, 0]:
            new.append(self.next([*ids, *new]))
            if new[-1] == END or (draft and draft[: len(new)] != new[: len(draft)]):
                break
        shown = [*ids, *new] if self.repeats_prompt else new
        logits = np.arange(len(new), dtype=np.float32).reshape(1, 1, -1, 1)
        return {
            "output_ids": np.array([[[*shown, -1]]], np.int32),
            "sequence_length": np.array([[len(shown)]], np.int32),
            "generation_logits": logits,
        }


def alone(limit: int, end: int = END) -> list[int]:
    ids: list[int] = []
    while len(ids) < limit and end not in ids:
        ids.append(target([*PROMPT, *ids]))
    return ids


def plan(limit: int, drafts: int, **more: Any) -> Speculation:
    row = Row(prompt=PROMPT, max_tokens=limit, end_id=END, stop_words=())
    values: dict[str, Any] = {"engine_inputs": {}, "uses_logits": False, "knows_exclusion": True} | more
    return Speculation(row=row, num_draft_tokens=drafts, **values)


DRAFTS: dict[str, Next] = {
    "always right": target,
    "always wrong": lambda ids: (target(ids) + 1) % 41,
    "wrong at times": lambda ids: target(ids) if len(ids) % 3 else 5,
    "ends at once": lambda _: END,
}


@pytest.mark.parametrize("drafts", [1, 2, 5, 100])
@pytest.mark.parametrize("limit", [1, 2, 7, 60])
@pytest.mark.parametrize("name", DRAFTS)
@pytest.mark.parametrize("knows_exclusion", [True, False])
def test_the_text_is_the_target_s_alone(name: str, drafts: int, limit: int, knows_exclusion: bool) -> None:
    engines = [GreedyEngine(one, repeats_prompt=not knows_exclusion) for one in (DRAFTS[name], target)]
    steps = list(speculate(plan(limit, drafts, knows_exclusion=knows_exclusion), *engines))
    assert [token for step in steps for token in step] == alone(limit)
    assert all(steps)


def test_a_good_draft_saves_steps_of_the_target() -> None:
    engine = GreedyEngine(target)
    text = [token for step in speculate(plan(12, 3), GreedyEngine(target), engine) for token in step]
    assert len(text) == 12
    assert len(engine.asked) == 3


def test_each_request_asks_for_new_tokens_alone() -> None:
    draft, engine = GreedyEngine(target), GreedyEngine(target)
    inputs = {"min_tokens": np.array([[6]], np.int32), "streaming": np.array([[True]])}
    list(speculate(plan(8, 3, engine_inputs=inputs), draft, engine))
    assert all(asked["exclude_input_in_output"].all() for asked in draft.asked + engine.asked)
    assert [asked["min_tokens"].item() for asked in engine.asked] == [6, 2]
    assert not any("streaming" in asked for asked in draft.asked + engine.asked)


def test_the_draft_s_logits_go_to_the_target_where_they_are_wanted() -> None:
    draft, engine = GreedyEngine(target), GreedyEngine(target)
    next(speculate(plan(8, 3, uses_logits=True), draft, engine))
    assert draft.asked[0]["return_generation_logits"].all()
    assert engine.asked[0]["draft_logits"].tolist() == [[[0.0], [1.0], [2.0]]]


def test_a_target_that_says_nothing_ends_the_text() -> None:
    def silent(_: Tensors) -> dict[str, Any]:
        return {"output_ids": np.empty([1, 1, 0], np.int32), "sequence_length": np.zeros([1, 1], np.int32)}

    assert list(speculate(plan(8, 3), GreedyEngine(target), silent)) == []


@pytest.mark.parametrize(
    ("inputs", "rows", "message"),
    [
        ({}, 2, "one row, one beam"),
        ({"beam_width": 2}, 1, "one row, one beam"),
        ({"num_return_sequences": 2}, 1, "one returned sequence"),
        ({"return_context_logits": True}, 1, "return_context_logits is not supported with num_draft_tokens"),
        ({"return_log_probs": True}, 1, "return_log_probs is not supported"),
    ],
)
def test_what_goes_with_one_sequence_alone_is_refused(inputs: dict[str, Any], rows: int, message: str) -> None:
    given = {name: np.array([[value]]) for name, value in (inputs | {"num_draft_tokens": 3}).items()}
    row = Row(prompt=PROMPT, max_tokens=8, end_id=END, stop_words=())
    with pytest.raises(ClientError, match=message):
        read_speculation(given, {}, [row] * rows, frozenset())
