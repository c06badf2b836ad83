"""The model between context and generation, against two models that hold it to the contract."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tritonsmith.ensembles.text_generation.disaggregated import (
    ModelError,
    RefusedError,
    Request,
    Setup,
    Tensors,
    read_setup,
    serve,
)

SETUP = Setup("context", "generation", frozenset({"input_ids", "stop"}), is_decoupled=True)
CONFIG: dict[str, Any] = {
    "max_batch_size": 4,
    "model_transaction_policy": {"decoupled": True},
    "input": [{"name": "input_ids"}],
    "parameters": {
        "context_model_name": {"string_value": "reader"},
        "generation_model_name": {"string_value": "writer"},
    },
}


class Models:
    """A reader that leaves a cache behind, and a writer that goes on from a cache that is there."""

    def __init__(self, *, answer: int = 3, forgets: bool = False) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.caches: dict[int, list[int]] = {}
        self.stopped: list[str] = []
        self.answer, self.forgets = answer, forgets

    def ask(
        self, model: str, inputs: Tensors, outputs: tuple[str, ...], request_id: str, kind: str
    ) -> Iterator[Tensors]:
        self.asked.append((model, request_id, kind))
        if "stop" in inputs:
            self.stopped.append(model)
            return
        if model == "context":
            assert kind == "context_only"
            assert "context_phase_params" not in inputs
            key = len(self.caches) + 7
            self.caches[key] = inputs["input_ids"][0].tolist()
            output = {"output_ids": np.zeros((1, 1, 1), np.int32)}
            yield output if self.forgets else {**output, "context_phase_params": np.array([[key]], np.uint8)}
            yield {}  # nothing but the flag that it was the last
            return
        assert (model, kind) == ("generation", "generation_only")
        cache = self.caches.pop(int(inputs["context_phase_params"][0, 0]))
        assert cache == inputs["input_ids"][0].tolist()
        for step in range(self.answer):
            yield {"output_ids": np.array([[[sum(cache) + step]]], np.int32)}


def request(*, rows: int = 1, name: str = "", stop: bool = False, leaves_after: int = 99) -> Request:
    seen = iter(range(1000))
    inputs: Tensors = {"input_ids": np.full((rows, 3), 2, np.int32)}
    if stop:
        inputs["stop"] = np.ones((rows, 1), np.bool_)
    return Request(inputs, ("output_ids",), name, lambda: next(seen) >= leaves_after)


def test_the_second_model_goes_on_from_the_first_one_s_cache() -> None:
    models = Models()
    answers = [response["output_ids"].item() for response in serve(SETUP, request(name="a"), models.ask)]
    assert answers == [6, 7, 8]
    assert models.asked == [("context", "a", "context_only"), ("generation", "a", "generation_only")]
    assert models.caches == {}


def test_a_request_without_an_id_gets_one_to_be_stopped_by() -> None:
    models = Models()
    list(serve(SETUP, request(), models.ask))
    (_, first, _), (_, second, _) = models.asked
    assert first == second != ""


def test_a_client_that_is_gone_ends_the_generation() -> None:
    models = Models(answer=10)
    answers = list(serve(SETUP, request(leaves_after=2), models.ask))
    assert len(answers) == 2
    assert models.stopped == ["generation"]


def test_a_wish_to_stop_goes_to_both() -> None:
    models = Models()
    list(serve(SETUP, request(name="a", stop=True), models.ask))
    assert models.stopped == ["context", "generation"]


def test_a_wish_to_stop_names_a_request() -> None:
    with pytest.raises(RefusedError, match="stop needs the id"):
        list(serve(SETUP, request(stop=True), Models().ask))


def test_rows_are_handed_over_one_by_one() -> None:
    with pytest.raises(RefusedError, match="a request of 2 rows"):
        list(serve(SETUP, request(rows=2), Models().ask))


def test_a_reader_that_leaves_no_cache_is_named() -> None:
    with pytest.raises(ModelError, match="context: expected one response with context_phase_params, got a response wi"):
        list(serve(SETUP, request(), Models(forgets=True).ask))


def test_the_setup_is_the_configuration_s() -> None:
    assert read_setup(CONFIG) == Setup("reader", "writer", frozenset({"input_ids"}), is_decoupled=True)


@pytest.mark.parametrize("name", ["context_model_name", "generation_model_name"])
def test_a_setup_without_a_model_is_refused(name: str) -> None:
    parameters = {key: value for key, value in CONFIG["parameters"].items() if key != name}
    with pytest.raises(ValueError, match=f"parameter {name} is not set"):
        read_setup({**CONFIG, "parameters": parameters})
