"""Prompts in, text out: the llmapi model on the CPU engine and the demo's model, without a server."""

import random
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest

from tritonsmith.backends.python_based.tensorrtllm.llm.cpu import Options, load_engine
from tritonsmith.backends.python_based.tensorrtllm.llm.request import QueueFullError, Request, RequestError, Sampling
from tritonsmith.ensembles.text_generation.blueprint import BLUEPRINT
from tritonsmith.ensembles.text_generation.completion import Completer, StopBefore
from tritonsmith.ensembles.text_generation.llmapi_config import Configuration, read_configuration
from tritonsmith.ensembles.text_generation.prompt import PromptError, read_prompt
from tritonsmith.ensembles.text_generation.tokenizer_folder import read_tokenizer

DEMO = BLUEPRINT.folder / "demo"
QUESTION = "What is a model repository?"
OUTPUTS = {
    "text_output",
    "finish_reason",
    "stop_reason",
    "cumulative_logprob",
    "kv_cache_reused_block",
    "kv_cache_hit_rate",
}


class TritonError(Exception):
    INTERNAL, INVALID_ARG, UNAVAILABLE, CANCELLED = range(4)

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Tensor:
    def __init__(self, name: str, array: np.ndarray[Any, Any]) -> None:
        self._name, self._array = name, array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> np.ndarray[Any, Any]:
        return self._array


class Response:
    def __init__(self, tensors: list[Tensor], error: TritonError | None = None) -> None:
        self.tensors = {tensor.name(): tensor.as_numpy() for tensor in tensors}
        self.error = error


class Triton:
    """What is used of triton_python_backend_utils."""

    TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1
    TritonError, Tensor, InferenceResponse = TritonError, Tensor, Response


class Asked:
    """A request, and its responses."""

    def __init__(self, name: str = "", **tensors: Any) -> None:
        self.name, self.is_gone = name, False
        self.responses: SimpleQueue[tuple[Response, int]] = SimpleQueue()
        self._tensors = [Tensor(key, _array(value)) for key, value in tensors.items()]

    def inputs(self) -> list[Tensor]:
        return self._tensors

    def request_id(self) -> str:
        return self.name

    def get_response_sender(self) -> Any:
        return self

    def is_cancelled(self) -> bool:
        return self.is_gone

    def send(self, response: Response, flags: int = 0) -> None:
        self.responses.put((response, flags))

    def all(self) -> list[Response]:
        found, flags = [], 0
        while not flags:
            response, flags = self.responses.get(timeout=20)
            found.append(response)
        return found

    def text(self) -> str:
        return b"".join(response.tensors["text_output"][0] for response in self.all()).decode()


def _array(value: Any) -> np.ndarray[Any, Any]:
    kinds = {bool: np.bool_, int: np.int32, float: np.float32}
    if isinstance(value, (str, list)):
        items = [value] if isinstance(value, str) else value
        return np.array([item.encode() for item in items], np.object_)
    return np.array([value], kinds[type(value)])


@pytest.fixture(scope="module")
def completer() -> Iterator[Completer]:
    found = Configuration(
        model=DEMO,
        arguments={},
        tokenizer=read_tokenizer(DEMO),
        skip_special_tokens=True,
        is_decoupled=True,
        cancellation_check_period_ms=10,
        inputs=frozenset(),
        outputs=frozenset(OUTPUTS),
    )
    engine = load_engine(DEMO, Options(max_batch_size=4))
    made = Completer(engine, found, Triton, Request, Sampling, (RequestError, QueueFullError))
    made.start()
    yield made
    made.close()


def ask(completer: Completer, name: str = "", **tensors: Any) -> Asked:
    asked = Asked(name, **{"text_input": QUESTION, "sampling_param_max_tokens": 40, **tensors})
    completer.accept([asked])
    return asked


def test_what_is_streamed_is_what_is_answered_at_once(completer: Completer) -> None:
    whole = ask(completer).text()
    streamed = ask(completer, streaming=True)
    pieces = streamed.all()
    assert len(pieces) > 5
    assert b"".join(piece.tensors["text_output"][0] for piece in pieces).decode() == whole
    assert "model repository" in whole


def test_without_a_wish_an_answer_has_32_tokens(completer: Completer) -> None:
    asked = Asked(text_input=QUESTION, streaming=True)
    completer.accept([asked])
    assert len(asked.all()) <= 32


@pytest.mark.parametrize("streams", [True, False])
def test_a_stop_word_ends_the_text_before_it(completer: Completer, streams: bool) -> None:
    whole = ask(completer).text()
    asked = ask(completer, streaming=streams, sampling_param_stop=["nowhere", "folder"], return_stop_reason=True)
    responses = asked.all()
    text = b"".join(response.tensors["text_output"][0] for response in responses).decode()
    assert text == whole.partition("folder")[0]
    assert responses[-1].tensors["stop_reason"][0] == b"folder"


def test_the_prompt_is_returned_to_who_asks_for_it(completer: Completer) -> None:
    assert ask(completer, sampling_param_exclude_input_from_output=False).text().startswith(QUESTION)
    assert not ask(completer, sampling_param_exclude_input_from_output=True).text().startswith(QUESTION)


def test_measures_have_the_types_that_are_declared(completer: Completer) -> None:
    [response] = ask(
        completer, sampling_param_return_perf_metrics=True, return_cumulative_logprob=True, return_finish_reason=True
    ).all()
    tensors = response.tensors
    assert tensors["kv_cache_reused_block"].dtype == np.int32
    assert tensors["kv_cache_hit_rate"].dtype == np.float32
    assert tensors["cumulative_logprob"].dtype == np.float32
    assert tensors["finish_reason"][0] in (b"stop", b"length")
    assert "arrival_time_ns" not in tensors  # not an output of this configuration


def test_a_request_is_stopped_by_its_id(completer: Completer) -> None:
    asked = ask(completer, "mine", streaming=True, sampling_param_max_tokens=200, text_input="Tell me")
    first, _ = asked.responses.get(timeout=20)
    assert first.error is None
    stop = ask(completer, "mine", stop=True)
    [answer] = stop.all()
    assert answer.error is not None
    assert answer.error.code == TritonError.CANCELLED
    asked.all()
    assert completer._answers == {}


def test_a_client_that_is_gone_holds_no_slot(completer: Completer) -> None:
    asked = ask(completer, streaming=True, sampling_param_max_tokens=200, text_input="Tell me")
    asked.is_gone = True
    asked.all()
    assert completer._answers == {}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"text_input": ["a", "b"]}, "text_input has 2 elements; a request is one prompt"),
        ({"text_input": "word " * 5000}, "tokens; this model takes 1 to"),
        ({"sampling_param_max_tokens": 0}, "sampling_param_max_tokens is 0; it must be 1 or more"),
        ({"sampling_param_temperature": -1.0}, "sampling_param_temperature is -1; it must be 0 or more"),
        ({"sampling_param_top_p": 1.5}, "sampling_param_top_p is 1.5; it must be 0 to 1"),
        ({"sampling_param_best_of": 2}, "sampling_param_best_of: several candidates cannot be had"),
        ({"lora_name": "x"}, "lora_name: LoRA cannot be had"),
        ({"image_url": "http://x"}, "image_url: images cannot be had"),
        ({"stop": True}, "stop needs the id of the request"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(completer: Completer, tensors: dict[str, Any], message: str) -> None:
    [response] = ask(completer, **tensors).all()
    assert response.error is not None
    assert message in str(response.error)
    assert response.error.code == TritonError.INVALID_ARG


def test_a_temperature_of_0_takes_the_likeliest(completer: Completer) -> None:
    likeliest = ask(completer, sampling_param_temperature=0.0, sampling_param_top_k=50).text()
    assert likeliest == ask(completer).text()


def test_streaming_needs_a_decoupled_model() -> None:
    with pytest.raises(PromptError, match="streaming needs a decoupled model"):
        read_prompt({"text_input": _array("x"), "streaming": _array(True)}, is_decoupled=False)


def test_text_that_is_no_utf_8_is_refused() -> None:
    with pytest.raises(PromptError, match="text_input is not UTF-8 text"):
        read_prompt({"text_input": np.array([b"\xff"], np.object_)}, is_decoupled=True)


def test_a_text_ends_before_the_first_word_that_is_complete_however_it_is_cut() -> None:
    dice = random.Random(5)
    for _ in range(400):
        text = "".join(dice.choices("ab ", k=dice.randint(0, 30)))
        words = ["".join(dice.choices("ab ", k=dice.randint(1, 4))) for _ in range(dice.randint(0, 3))]
        ends = [(text.find(word) + len(word), text.find(word)) for word in words if word in text]
        expected = text[: min(ends)[1]] if ends else text
        stop = StopBefore(words)
        cuts = sorted(dice.choices(range(len(text) + 1), k=3))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        got = "".join(stop.push(piece) for piece in pieces[:-1])
        got += stop.push(pieces[-1], is_last=True)
        assert got == expected, (text, words, pieces)


CONFIG: dict[str, Any] = {"model_transaction_policy": {"decoupled": True}, "input": [], "output": []}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "1").mkdir()
    return tmp_path


def write(folder: Path, text: str) -> None:
    (folder / "1" / "model.yaml").write_text(text.replace("DEMO", str(DEMO)))


def test_a_configuration_is_read(folder: Path) -> None:
    write(
        folder, "{model: DEMO, max_batch_size: 3, kv_cache_config: {max_tokens: 64}, triton_config: {decoupled: true}}"
    )
    parameters = {"gpu_device_ids": {"string_value": "0,1;2,3"}}
    found = read_configuration({**CONFIG, "parameters": parameters}, str(folder), "1")
    assert (found.model, found.arguments["max_batch_size"]) == (DEMO, 3)
    assert found.settings()["max_tokens_in_cache"] == 64
    assert [found.gpus_of(f"chat_0_{instance}") for instance in (0, 1)] == ["0,1", "2,3"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{model: DEMO}", "decoupled is False in model.yaml's triton_config and True in config.pbtxt's"),
        ("{model: DEMO, triton_config: {decoupled: true, max_batch_size: 4}}", "max_batch_size of triton_config"),
        ("[1]", "names no model"),
        ("{a: [", "cannot read"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(folder: Path, text: str, message: str) -> None:
    write(folder, text)
    with pytest.raises(ValueError, match=message):
        read_configuration(CONFIG, str(folder), "1")
