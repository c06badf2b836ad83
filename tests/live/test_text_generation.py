"""Text generation on a real server: the demo's answers through every door, exact streaming through tensorrt_llm_bls.

Two engines stand behind the pipelines: the demo's own, and, where exactness is the question, one that repeats its
prompt token by token: so each of 200 strings is an answer.
"""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc
import yaml
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.export import export_engine
from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.ensembles.build import build_repository
from tritonsmith.generator.repository.pbtxt import parse_config, render_config

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "ensembles" / "text_generation" / "demo"
STRINGS: list[str] = json.loads((ROOT / "tests" / "data" / "text_generation" / "utf8_200.json").read_text("utf-8"))
QUESTION = "What is a model repository?"
ANSWER = " A model repository is a folder that holds the models a server can load."
BLS, ECHO, ECHO_BLS, WHOLE_BLS = "tensorrt_llm_bls", "echo", "echo_tensorrt_llm_bls", "whole_tensorrt_llm_bls"
STEPS = ("preprocessing", "tensorrt_llm", "postprocessing", "tensorrt_llm_bls")

REPEATING = '''
import time

import numpy as np
import triton_python_backend_utils as pb

FINAL = pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    """Says its prompt again. With a seed: a made-up greedy model, whose draft is wrong at every third place."""

    def initialize(self, args):
        self.is_draft = "draft" in args["model_name"]

    def execute(self, requests):
        for request in requests:
            inputs = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            self.answer(inputs, request.get_response_sender())

    def answer(self, inputs, sender):
        ids = inputs["input_ids"][0, : inputs["input_lengths"].ravel()[0]].tolist()
        end, limit = int(inputs["end_id"].ravel()[0]), int(inputs["request_output_len"].ravel()[0])
        new = self.guesses(ids, limit, end, inputs) if "random_seed" in inputs else [*ids[1:], end][:limit]
        if "streaming" in inputs and inputs["streaming"].all():
            for place, one in enumerate(new):
                sender.send(response([one]), flags=FINAL if place == len(new) - 1 else 0)
            return
        is_excluded = "exclude_input_in_output" in inputs and inputs["exclude_input_in_output"].all()
        sender.send(response(new if is_excluded else ids + new), flags=FINAL)

    def guesses(self, ids, limit, end, inputs):
        draft, new = inputs.get("draft_input_ids", np.empty([1, 0]))[0].tolist(), []
        while len(new) < limit and new[-1:] != [end] and draft[: len(new)] == new[: len(draft)]:
            seen = ids + new
            new.append((seen[-1] * 31 + seen[-2] * 17 + len(seen) * 7 + (self.is_draft and len(seen) % 3 == 0)) % 256)
        return new


def response(ids):
    tensors = [pb.Tensor("output_ids", np.array([[ids]], np.int32))]
    return pb.InferenceResponse([*tensors, pb.Tensor("sequence_length", np.array([[len(ids)]], np.int32))])
'''


def pipeline(prefix: str, **settings: Any) -> dict[str, Any]:
    roles = (*STEPS, "tensorrt_llm_draft") if "draft" in settings else STEPS
    names = {role: f"{prefix}{role}" for role in roles}
    instances = {"instances": {"tensorrt_llm_bls": 3 if settings.get("streaming", True) else 1}}
    with_ = {"max_batch_size": 8, **instances, **settings}
    return {"use": "text_generation", "engine": {"from": str(DEMO), "place": "copy"}, "with": with_, "names": names}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("text")
    quickly = {"cancellation_check_period_ms": "20", "stats_check_period_ms": "20"}
    pipelines = {
        "chat": pipeline("", parameters=quickly),
        "whole": pipeline("whole_", streaming=False, apply_chat_template=True, parameters=quickly),
        ECHO: pipeline("echo_", draft={"engine": {"from": str(DEMO), "place": "copy"}}),
    }
    (folder / "tritonsmith.yaml").write_text(yaml.safe_dump({"triton": "24.12", "pipelines": pipelines}))
    build_repository(folder / "tritonsmith.yaml", folder / "repository")
    for name in ("echo_tensorrt_llm", "echo_tensorrt_llm_draft"):
        answer_by_script(folder / "repository" / name)
    with embedded_server(folder / "repository") as server:
        yield server
        server.process.kill()  # how servers end is told by test_server.py


def answer_by_script(model: Path) -> None:
    """Put the repeating engine behind a model's tensors."""
    path = model / "config.pbtxt"
    config: Any = parse_config(path.read_text(), str(path))
    config.backend = "python"
    config.parameters.clear()
    path.write_text(render_config(config))
    (model / "1" / "model.py").write_text(REPEATING)


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[grpc.InferenceServerClient]:
    with grpc.InferenceServerClient(server.grpc_url) as client:
        yield client


@dataclass(frozen=True)
class Piece:
    """One response: its text, beam after beam; an error instead where there was one."""

    text: str
    is_last: bool
    row: int = 0
    error: str = ""


def tensors(*texts: str, limit: int = 1000, **more: Any) -> list[grpc.InferInput]:
    """Return a request's inputs; `more` are given to every row."""
    rows = len(texts)
    arrays = {
        "text_input": np.array([[text.encode()] for text in texts], dtype=np.object_),
        "max_tokens": np.full([rows, 1], limit, np.int32),
    }
    for name, value in more.items():
        kind: Any = {str: np.object_, int: np.int32, float: np.float32, bool: np.bool_}[type(value)]
        arrays[name] = np.array([[value.encode() if isinstance(value, str) else value]] * rows, dtype=kind)
    if "random_seed" in arrays:
        arrays["random_seed"] = arrays["random_seed"].astype(np.uint64)
    return [as_input(name, array) for name, array in arrays.items()]


def as_input(name: str, array: Any) -> grpc.InferInput:
    tensor = grpc.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array)
    return tensor


@contextmanager
def open_stream(
    url: str, *, is_cancelling: bool = False
) -> Iterator[tuple[grpc.InferenceServerClient, SimpleQueue[Any]]]:
    responses: SimpleQueue[Any] = SimpleQueue()
    with grpc.InferenceServerClient(url) as client:
        client.start_stream(lambda result, error: responses.put((result, error)))
        try:
            yield client, responses
        finally:
            client.stop_stream(cancel_requests=is_cancelling)


def ask(server: Server, model: str, inputs: Sequence[grpc.InferInput], *, request_id: str = "") -> list[Piece]:
    """Send one request over a stream and return its responses."""
    with open_stream(server.grpc_url) as (client, responses):
        client.async_stream_infer(model, inputs, request_id=request_id, enable_empty_final_response=True)
        return list(until_last(responses))


def until_last(responses: SimpleQueue[Any]) -> Iterator[Piece]:
    while True:
        piece = read(*responses.get(timeout=20))
        yield piece
        if piece.is_last or piece.error:
            return


def read(result: Any, error: Any) -> Piece:
    if error:
        return Piece("", is_last=True, error=str(error))
    is_last = result.get_response().parameters["triton_final_response"].bool_param
    text, row = result.as_numpy("text_output"), result.as_numpy("batch_index")
    said = "" if text is None else b"".join(text.ravel()).decode()
    return Piece(said, is_last, 0 if row is None else int(row.ravel()[0]))


def text_of(pieces: Sequence[Piece]) -> str:
    assert not any(piece.error for piece in pieces), pieces
    return "".join(piece.text for piece in pieces)


@pytest.mark.parametrize("model", ["chat", BLS])
def test_the_demo_s_answer_is_streamed_token_by_token(server: Server, model: str) -> None:
    pieces = ask(server, model, tensors(QUESTION, limit=60, stream=True), request_id=model)
    assert text_of(pieces).startswith(ANSWER)
    assert len(pieces) > 15
    assert pieces[-1].is_last


@pytest.mark.parametrize("model", ["chat", BLS])
def test_without_streaming_the_same_text_comes_at_once(server: Server, model: str) -> None:
    streamed = ask(server, model, tensors(QUESTION, limit=60, stream=True), request_id=f"same {model}")
    (whole,) = ask(server, model, tensors(QUESTION, limit=60, exclude_input_in_output=True))
    assert whole.text == text_of(streamed)
    (with_prompt,) = ask(server, model, tensors(QUESTION, limit=60))
    assert with_prompt.text == QUESTION + whole.text


@pytest.mark.parametrize("model", ["chat", BLS])
def test_generate_answers_in_one_document(server: Server, model: str) -> None:
    answer = post(server, f"{model}/generate", {"text_input": QUESTION, "max_tokens": 60, "stream": False})
    assert json.loads(answer)["text_output"].startswith(QUESTION + ANSWER)


@pytest.mark.parametrize("model", ["chat", BLS])
def test_generate_stream_sends_an_event_per_token(server: Server, model: str) -> None:
    events = post(server, f"{model}/generate_stream", {"text_input": QUESTION, "max_tokens": 60, "stream": True})
    pieces = [json.loads(line[6:])["text_output"] for line in events.splitlines() if line.startswith("data: ")]
    assert len(pieces) > 15
    assert "".join(pieces).startswith(ANSWER)


def post(server: Server, path: str, body: dict[str, Any]) -> str:
    data = json.dumps(body).encode()
    with urllib.request.urlopen(f"http://{server.http_url}/v2/models/{path}", data, timeout=60) as answer:
        return str(answer.read().decode())


def test_streamed_text_is_the_whole_text_for_200_strings(server: Server) -> None:
    with open_stream(server.grpc_url) as (client, responses):
        for text in STRINGS:
            client.async_stream_infer(ECHO_BLS, tensors(text, stream=True), enable_empty_final_response=True)
            streamed = list(until_last(responses))
            assert text_of(streamed) == text
            client.async_stream_infer(
                ECHO_BLS, tensors(text, exclude_input_in_output=True), enable_empty_final_response=True
            )
            assert text_of(list(until_last(responses))) == text


def test_the_ensemble_is_as_exact_where_a_request_has_an_id(server: Server) -> None:
    with open_stream(server.grpc_url) as (client, responses):
        for place, text in enumerate(STRINGS):
            client.async_stream_infer(
                ECHO, tensors(text, stream=True), request_id=f"string {place}", enable_empty_final_response=True
            )
            assert text_of(list(until_last(responses))) == text


def test_without_an_id_the_ensemble_says_whole_characters_alone(server: Server) -> None:
    for text in ("so 😀 it", "日本語 text"):
        said = text_of(ask(server, ECHO, tensors(text, stream=True)))
        assert "\ufffd" not in said
        assert re.sub(r"[^\x00-\x7f]", "", said) == re.sub(r"[^\x00-\x7f]", "", text)


def test_streams_side_by_side_do_not_mix(server: Server) -> None:
    texts = STRINGS[:64]
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda text: ask(server, ECHO_BLS, tensors(text, stream=True)), texts))
    assert [text_of(answer) for answer in answers] == texts


def test_rows_of_one_request_are_streamed_side_by_side(server: Server) -> None:
    pieces = ask(server, BLS, tensors(QUESTION, "What is an ensemble?", limit=30, stream=True))
    alone = [
        text_of(ask(server, BLS, tensors(one, limit=30, stream=True))) for one in (QUESTION, "What is an ensemble?")
    ]
    assert [text_of([piece for piece in pieces if piece.row == row]) for row in (0, 1)] == alone


@pytest.mark.parametrize("is_streaming", [True, False])
@pytest.mark.parametrize("word", ["folder", "hol", "a folder that h"])
def test_a_stop_word_ends_the_text_behind_it(server: Server, word: str, is_streaming: bool) -> None:
    inputs = tensors(QUESTION, limit=60, stream=is_streaming, exclude_input_in_output=True, stop_words=word)
    assert text_of(ask(server, BLS, inputs)) == ANSWER[: ANSWER.index(word) + len(word)]


def test_a_stop_word_reaches_the_engine_through_the_ensemble(server: Server) -> None:
    inputs = tensors(QUESTION, limit=60, stream=True, stop_words="repository")
    assert text_of(ask(server, "chat", inputs, request_id="stop")) == " A model repository"


def test_a_bad_word_is_never_said(server: Server) -> None:
    for model in ("chat", BLS):
        said = text_of(
            ask(server, model, tensors(QUESTION, limit=40, stream=True, bad_words="repository"), request_id="b")
        )
        assert said
        assert "repository" not in said


@pytest.mark.parametrize("drafts", [1, 4, 50])
@pytest.mark.parametrize("is_streaming", [True, False])
def test_a_draft_and_its_target_say_what_the_target_says_alone(
    server: Server,
    drafts: int,
    is_streaming: bool,
) -> None:
    request = {"limit": 60, "random_seed": 1, "stream": is_streaming}
    alone = text_of(ask(server, ECHO_BLS, tensors("go on", **request)))
    pieces = ask(server, ECHO_BLS, tensors("go on", **request, num_draft_tokens=drafts))
    assert text_of(pieces) == alone
    assert len(alone) > 20
    assert not is_streaming or len(pieces) > 1


@pytest.mark.parametrize(
    ("model", "request_", "message"),
    [
        (BLS, {"limit": 0}, "max_tokens is 0; it must be 1 or more"),
        (BLS, {"text": "word " * 1100}, r"preprocessing: the prompt has \d+ tokens.* at most 1024 tokens"),
        ("chat", {"text": "word " * 1100}, r"the prompt has \d+ tokens.* at most 1024 tokens"),
        (BLS, {"beam_width": 2}, "tensorrt_llm: .*beam_width"),
        (BLS, {"num_draft_tokens": 2}, "tensorrt_llm_draft_model_name is not set"),
        (BLS, {"image_url_input": "http://x"}, "input 'image_url_input' is not supported"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(
    server: Server, model: str, request_: dict[str, Any], message: str
) -> None:
    given = {"limit": 8} | request_
    (piece,) = ask(server, model, tensors(given.pop("text", QUESTION), **given))
    assert re.search(message, piece.error)


def test_only_the_outputs_that_are_asked_for_are_sent(client: grpc.InferenceServerClient, server: Server) -> None:
    with open_stream(server.grpc_url) as (stream, responses):
        wanted = [grpc.InferRequestedOutput(name) for name in ("text_output", "cum_log_probs")]
        inputs = tensors(QUESTION, limit=8, return_log_probs=True)
        stream.async_stream_infer(BLS, inputs, outputs=wanted)
        result, error = responses.get(timeout=30)
    assert error is None
    assert sorted(output.name for output in result.get_response().outputs) == ["cum_log_probs", "text_output"]
    assert result.as_numpy("cum_log_probs").item() < 0


def test_a_pipeline_that_does_not_stream_answers_many_at_once(
    server: Server, client: grpc.InferenceServerClient
) -> None:
    """Plain infer, one instance of tensorrt_llm_bls: execute must not wait for an answer before it takes a request."""

    def answer(_: int) -> str:
        inputs = tensors(QUESTION, limit=60, exclude_input_in_output=True, min_length=60)
        return str(client.infer(WHOLE_BLS, inputs, client_timeout=60).as_numpy("text_output").item().decode())

    start = time.monotonic()
    first = answer(0)
    one_s = time.monotonic() - start
    start = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(answer, range(8))) == {first}
    assert time.monotonic() - start < 6 * one_s
    assert first.startswith(ANSWER.lstrip())


def test_an_error_reaches_a_client_that_does_not_stream(client: grpc.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="max_tokens is 0"):
        client.infer(WHOLE_BLS, tensors(QUESTION, limit=0))


LONG = {"limit": 900, "min_length": 900}  # seconds of work


def active(server: Server, model: str = "tensorrt_llm") -> int:
    with urllib.request.urlopen(f"http://{server.metrics_url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    line = rf'nv_trt_llm_request_metrics\{{[^}}]*model="{model}",[^}}]*request_type="active"[^}}]*\}} (\d+)'
    (count,) = re.findall(line, text)
    return int(count)


def seconds_until_idle(server: Server, model: str = "tensorrt_llm") -> float:
    start = time.monotonic()
    while active(server, model):
        assert time.monotonic() - start < 30, "the engine still works"
        time.sleep(0.02)
    return time.monotonic() - start


def wait_for_active(server: Server, count: int, model: str = "tensorrt_llm") -> None:
    start = time.monotonic()
    while active(server, model) != count:
        assert time.monotonic() - start < 10, f"{active(server, model)} of {count} requests have reached the engine"
        time.sleep(0.01)


def test_a_cancelled_stream_frees_the_engine(server: Server) -> None:
    with open_stream(server.grpc_url, is_cancelling=True) as (client, responses):
        for _ in range(3):
            client.async_stream_infer(BLS, tensors(QUESTION, stream=True, **LONG))
        wait_for_active(server, 3)
        assert not read(*responses.get(timeout=30)).error
    assert seconds_until_idle(server) < 1.0


def test_a_disconnected_client_frees_the_engine(server: Server) -> None:
    connection = http.client.HTTPConnection(server.http_url, timeout=30)
    body = json.dumps({"text_input": QUESTION, "max_tokens": 900, "min_length": 900, "stream": True})
    connection.request("POST", f"/v2/models/{BLS}/generate_stream", body)
    assert connection.getresponse().read(20)
    wait_for_active(server, 1)
    connection.close()
    assert seconds_until_idle(server) < 1.0


def test_a_cancelled_request_frees_the_engine_where_nothing_is_streamed(
    server: Server, client: grpc.InferenceServerClient
) -> None:
    calls = [client.async_infer(WHOLE_BLS, tensors(QUESTION, **LONG), lambda **_: None) for _ in range(3)]
    wait_for_active(server, 3, "whole_tensorrt_llm")
    for call in calls:
        call.cancel()
    assert seconds_until_idle(server, "whole_tensorrt_llm") < 1.0


def test_a_stop_word_in_the_text_frees_the_engine(server: Server) -> None:
    pieces = ask(server, BLS, tensors(QUESTION, stream=True, stop_words="folder that h", **LONG))
    assert text_of(pieces).endswith("folder that h")
    assert seconds_until_idle(server) < 1.0


def test_what_export_writes_is_served(tmp_path: Path) -> None:
    export_engine(DEMO, tmp_path / "i8", "int8")
    pipelines = {"chat": {"use": "text_generation", "engine": {"from": "i8"}, "with": {"max_batch_size": 2}}}
    (tmp_path / "tritonsmith.yaml").write_text(yaml.safe_dump({"triton": "24.12", "pipelines": pipelines}))
    build_repository(tmp_path / "tritonsmith.yaml", tmp_path / "repository")
    with embedded_server(tmp_path / "repository") as server:
        answer = post(server, "chat/generate", {"text_input": QUESTION, "max_tokens": 60, "stream": False})
    assert json.loads(answer)["text_output"].startswith(QUESTION + ANSWER)
