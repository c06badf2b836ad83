"""The backend `tensorrtllm` on a real server: what its clients and its operators rely on."""

from __future__ import annotations

import functools
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.perf.bench.llm_client import Stream, inputs_for, open_stream
from tritonsmith.perf.bench.llm_model import MODEL, write_llm_model
from tritonsmith.perf.bench.random_llama import Dimensions, write_llama

pytestmark = pytest.mark.live

CONTEXT = 4096
PLAIN, NARROW, BLS = "plain", "narrow", "bls"
PROMPT = [5, 6, 7, 8, 9]
# model -> parameters that cannot be served, and why
REFUSED = {
    "lost": ({"gpt_model_path": "/engines/none"}, "gpt_model_path: there is no folder /engines/none"),
    "static": ({"gpt_model_type": "V1"}, "parameter gpt_model_type = 'V1' must be one of"),
    "beams": ({"max_beam_width": "4"}, "parameter max_beam_width = '4': the CPU engine cannot do that"),
}
CALLER = """
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        for number, request in enumerate(requests):
            self.follow(request, f"bls-{number}")

    def follow(self, request, id_):
        sender, is_stopped = request.get_response_sender(), False
        for response in self.ask(id_, request.inputs()[0], 4000, streaming=True):
            if sender.is_cancelled() and not is_stopped:
                is_stopped = True
                list(self.ask(id_, request.inputs()[0], 1, stop=True))
            for tensor in response.output_tensors():
                sender.send(pb.InferenceResponse([tensor]))
        sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def ask(self, id_, ids, length, **flags):
        values = {"input_lengths": np.int32(ids.shape()[1]), "request_output_len": np.int32(length), **flags}
        inputs = [ids, *(pb.Tensor(name, np.array([[value]])) for name, value in values.items())]
        names = ["output_ids"]
        request = pb.InferenceRequest(
            model_name="tensorrt_llm", request_id=id_, inputs=inputs, requested_output_names=names
        )
        return request.exec(decoupled=True)
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(tmp_path_factory.mktemp("llama"), Dimensions(positions=CONTEXT))


@pytest.fixture(scope="module")
def server(engine: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    repository = tmp_path_factory.mktemp("llm") / "repository"
    write_llm_model(
        repository, engine, parameters={"cancellation_check_period_ms": "20", "stats_check_period_ms": "20"}
    )
    write_llm_model(
        repository,
        engine,
        name=PLAIN,
        release="24.12",
        is_decoupled=False,
        # where a container sees this repository
        parameters={"gpt_model_path": f"/models/{PLAIN}/1/engine", "exclude_input_in_output": "true"},
    )
    write_llm_model(repository, engine, name=NARROW, max_batch_size=1, max_queue_size=2, is_decoupled=False)
    (repository / BLS / "1").mkdir(parents=True)
    (repository / BLS / "1" / "model.py").write_text(CALLER)
    (repository / BLS / "config.pbtxt").write_text(
        'backend: "python" max_batch_size: 8 model_transaction_policy { decoupled: true }'
        'input { name: "input_ids" data_type: TYPE_INT32 dims: -1 }'
        'output { name: "output_ids" data_type: TYPE_INT32 dims: [-1, -1] }'
    )
    for name, (parameters, _) in REFUSED.items():
        write_llm_model(repository, engine, name=name, parameters=parameters)
    with embedded_server(repository, is_partial=True) as running:
        yield running
        running.process.kill()  # how servers end is told by test_server.py


@pytest.fixture
def stream(server: Server) -> Iterator[Stream]:
    with open_stream(server.grpc_url) as opened:
        yield opened


def infer(server: Server, tokens: Any, length: int, *, model: str = PLAIN, **more: Any) -> grpc.InferResult:
    with grpc.InferenceServerClient(server.grpc_url) as client:
        return client.infer(model, inputs_for(tokens, length, **more))


def gauge(server: Server, label: str, model: str = MODEL) -> float:
    """A metric of a model by one of its labels' values."""
    text = urllib.request.urlopen(f"http://{server.metrics_url}/metrics").read().decode()
    (line,) = [one for one in text.splitlines() if f'model="{model}"' in one and f'="{label}"' in one]
    return float(line.rpartition(" ")[2])


def until(condition: Callable[[], object], limit_s: float = 3.0) -> None:
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def is_idle(server: Server) -> bool:
    return gauge(server, "active") == 0 and gauge(server, "used") == 0


def test_a_stream_has_one_token_a_response_and_ends_on_the_last(server: Server, stream: Stream) -> None:
    stream.ask(PROMPT, 20, streaming=True)
    responses = list(stream.rest())
    assert [len(response.tokens) for response in responses] == [1] * 20
    assert [response.tensors["sequence_length"].tolist() for response in responses] == [[[1]]] * 20
    assert [response.is_final for response in responses] == [False] * 19 + [True]
    alone = infer(server, PROMPT, 20).as_numpy("output_ids")
    assert alone.shape == (1, 1, 20)
    assert [token for response in responses for token in response.tokens] == alone.ravel().tolist()


def test_without_streaming_one_response_holds_the_prompt_too_unless_excluded(server: Server, stream: Stream) -> None:
    stream.ask(PROMPT, 3)
    (response,) = stream.rest()
    assert response.tokens[:5] == PROMPT
    assert response.tensors["sequence_length"].tolist() == [[8]]
    stream.ask(PROMPT, 3, exclude_input_in_output=True)
    (excluded,) = stream.rest()
    assert excluded.tokens == response.tokens[5:]


def test_each_row_of_a_batch_is_answered_alone_with_its_index(server: Server, stream: Stream) -> None:
    rows = [[5, 6, 7], [8, 9, 10]]
    lengths = np.array([[2], [3]], np.int32)
    stream.ask(rows, 6, input_lengths=lengths, exclude_input_in_output=True)
    answers = {response.tensors["batch_index"].item(): response.tokens for response in stream.rest()}
    assert answers == {
        index: infer(server, row[: lengths[index, 0]], 6).as_numpy("output_ids").ravel().tolist()
        for index, row in enumerate(rows)
    }


def test_the_same_seed_gives_the_same_text_and_another_one_another(server: Server) -> None:
    drawn = [
        infer(server, PROMPT, 30, runtime_top_k=50, temperature=1.5, random_seed=np.full((1, 1), seed, np.uint64))
        for seed in (1, 1, 2)
    ]
    first, again, other = (result.as_numpy("output_ids").ravel().tolist() for result in drawn)
    assert first == again != other


def test_an_answer_ends_on_a_stop_word_and_on_the_end_token_and_avoids_bad_words(server: Server) -> None:
    free = infer(server, PROMPT, 12).as_numpy("output_ids").ravel().tolist()
    words = np.array([[[*free[3:5], 0], [2, -1, -1]]], np.int32)
    stopped = infer(server, PROMPT, 12, stop_words_list=words).as_numpy("output_ids").ravel().tolist()
    assert stopped == free[:5]
    ended = infer(server, PROMPT, 12, end_id=free[6]).as_numpy("output_ids").ravel().tolist()
    assert ended == free[: free.index(free[6]) + 1]
    bad = np.array([[[free[0]], [1]]], np.int32)
    assert free[0] not in infer(server, PROMPT, 12, bad_words_list=bad).as_numpy("output_ids")


def test_stop_by_id_ends_a_stream_and_frees_its_place(server: Server, stream: Stream) -> None:
    stream.ask(PROMPT, 4000, streaming=True, id_="long")
    stream.next()
    stream.ask(PROMPT, 1, stop=True, id_="long")
    ends = [response for _ in range(2) for response in list(stream.rest())[-1:]]
    assert [response.error for response in ends] == ["", ""]
    assert sorted(response.tokens for response in ends) == [[], []]
    until(lambda: is_idle(server))
    stream.ask(PROMPT, 1, stop=True)
    assert "request id" in next(stream.rest()).error


def test_a_client_that_goes_away_frees_its_places(server: Server) -> None:
    with open_stream(server.grpc_url) as leaving:
        for _ in range(3):
            leaving.ask([PROMPT, PROMPT], 4000, streaming=True)
        leaving.next()
        until(lambda: gauge(server, "active") == 6)
    until(lambda: is_idle(server))


def test_a_cancelled_call_frees_its_place(server: Server) -> None:
    with grpc.InferenceServerClient(server.grpc_url) as client:
        call = client.async_infer(PLAIN, inputs_for(PROMPT, 4000), callback=lambda result, error: None)
        until(lambda: gauge(server, "active", PLAIN) == 1)
        call.cancel()
        until(lambda: gauge(server, "active", PLAIN) == 0)


def test_a_client_of_a_model_that_calls_this_one_frees_its_place_too(server: Server) -> None:
    leaving = Stream(server.grpc_url)
    tensor = grpc.InferInput("input_ids", [1, 2], "INT32")
    tensor.set_data_from_numpy(np.array([[5, 6]], np.int32))
    leaving._client.async_stream_infer(BLS, [tensor])
    leaving.next()
    until(lambda: gauge(server, "active") == 1)
    leaving.close()
    until(lambda: is_idle(server))


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"beam_width": 4}, "beam_width: beam search cannot be had"),
        ({"return_context_logits": True}, "return_context_logits: logits cannot be had"),
        ({"lora_task_id": np.full((1, 1), 1, np.uint64)}, "lora_task_id: LoRA cannot be had"),
        ({"draft_input_ids": np.full((1, 3), 1, np.int32)}, "draft_input_ids: draft tokens cannot be had"),
        ({"embedding_bias": np.ones((1, 2048), np.float32)}, "embedding_bias: embedding bias cannot be had"),
        ({"guided_decoding_guide": np.array([["{}"]], object)}, "guided_decoding_guide: guided decoding"),
        ({"tokens": [5] * CONTEXT}, f"the prompt has {CONTEXT} tokens; this engine takes {CONTEXT - 1}"),
        ({"tokens": [5, 2048]}, "input_ids holds 2048; the vocabulary has 2048 tokens"),
        ({"length": 0}, "request_output_len is 0"),
        ({"temperature": -1.0}, "temperature -1 is negative"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(stream: Stream, request_: dict[str, Any], words: str) -> None:
    request: dict[str, Any] = {"tokens": PROMPT, "length": 3, **request_}
    stream.ask(**request)
    (response,) = stream.rest()
    assert words in response.error


def test_tensors_that_ask_for_nothing_are_taken(server: Server, stream: Stream) -> None:
    neutral: dict[str, Any] = {
        "beam_width": 1,
        "num_return_sequences": 1,
        "len_penalty": 1.0,
        "early_stopping": False,
        "return_context_logits": False,
        "return_generation_logits": False,
        "decoder_input_ids": np.zeros((1, 1), np.int32),
        "decoder_input_lengths": 1,
        "prompt_table_extra_ids": np.zeros((1, 5), np.uint64),
        "embedding_bias": np.zeros((1, 0), np.float32),
        "stop_words_list": np.zeros((1, 2, 0), np.int32),
    }
    stream.ask(PROMPT, 3, **neutral)
    (response,) = stream.rest()
    assert response.tokens == [*PROMPT, *infer(server, PROMPT, 3).as_numpy("output_ids").ravel().tolist()]


def test_streaming_from_a_model_that_is_not_decoupled_is_refused(server: Server) -> None:
    with pytest.raises(InferenceServerException, match="streaming needs a decoupled model"):
        infer(server, PROMPT, 3, streaming=True)


def test_requests_of_a_model_that_is_not_decoupled_are_batched_in_flight(server: Server) -> None:
    before = gauge(server, "iteration_counter", PLAIN)
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda n: infer(server, [n + 1, n + 2], 100), range(8)))
    assert {result.as_numpy("output_ids").shape for result in results} == {(1, 1, 100)}
    time.sleep(0.2)
    assert gauge(server, "iteration_counter", PLAIN) - before < 8 * 100


def test_a_full_queue_is_unavailable(server: Server) -> None:
    with open_stream(server.grpc_url) as running:
        running.ask(PROMPT, 4000, model=NARROW)
        until(lambda: gauge(server, "active", NARROW) == 1)
        for waiting in (1, 2):  # one by one: Triton's own queue has the same limit
            running.ask(PROMPT, 1, model=NARROW)
            until(functools.partial(lambda count: gauge(server, "waiting", NARROW) == count, waiting))
        with pytest.raises(InferenceServerException) as caught:
            infer(server, PROMPT, 1, model=NARROW)
        assert caught.value.message() == "the queue is full: 2 requests wait; max_queue_size is 2"
        assert caught.value.status() == "StatusCode.UNAVAILABLE"
    until(lambda: gauge(server, "active", NARROW) == 0)


def test_what_a_request_took_is_told_by_the_names_of_its_release(server: Server, stream: Stream) -> None:
    prompt = list(range(100, 200))
    stream.ask(prompt, 2, return_perf_metrics=True, return_num_input_tokens=True, return_num_output_tokens=True)
    list(stream.rest())
    stream.ask(prompt, 2, streaming=True, return_perf_metrics=True)
    first, last = stream.rest()
    assert "arrival_time_ns" not in first.tensors
    times = [
        last.tensors[f"{name}_time_ns"].item() for name in ("arrival", "first_scheduled", "first_token", "last_token")
    ]
    assert 0 < times[0] <= times[1] <= times[2] <= times[3]
    assert last.tensors["kv_cache_reused_blocks"].item() == 3  # of 100 tokens in blocks of 32
    old = infer(server, prompt, 2, return_kv_cache_reuse_stats=True)
    assert old.as_numpy("kv_cache_alloc_total_blocks").item() > 0


def test_log_probabilities_come_with_their_sum(server: Server) -> None:
    result = infer(server, PROMPT, 4, return_log_probs=True)
    each, total = result.as_numpy("output_log_probs"), result.as_numpy("cum_log_probs")
    assert each.shape == (1, 1, 4)
    assert (each < 0).all()
    assert total.tolist() == [[pytest.approx(float(each.sum()), rel=1e-5)]]


def test_metrics_count_requests_tokens_and_blocks(server: Server, stream: Stream) -> None:
    until(lambda: is_idle(server))
    before = gauge(server, "iteration_counter")
    stream.ask(PROMPT, 2000, streaming=True)
    stream.next()
    until(lambda: gauge(server, "active") == 1 and gauge(server, "generation_requests") == 1)
    assert gauge(server, "used") > 0
    assert gauge(server, "iteration_counter") > before
    assert gauge(server, "tokens_per") == 32
    list(stream.rest())
    text = urllib.request.urlopen(f"http://{server.metrics_url}/metrics").read().decode()
    for name in ("nv_llm_input_token_len_bucket", "nv_llm_output_token_len_bucket"):
        assert f'{name}{{model="{MODEL}"' in text


def test_a_model_that_cannot_be_served_says_why(server: Server) -> None:
    assert server.failed.keys() == REFUSED.keys()
    for name, (_, words) in REFUSED.items():
        assert words in server.failed[name]
        assert "Traceback" not in server.failed[name]
