"""Streamed answers, measured on a real server by the real perf_analyzer; times within wide bounds."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tritonsmith.ensembles.text_generation as text_generation
from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.perf.document import Sweep, read_sweep
from tritonsmith.perf.summary import StreamPoint, summarise

pytestmark = [pytest.mark.live, pytest.mark.slow]

DEMO = Path(str(text_generation.__file__)).parent / "demo"
DECOUPLED = "model_transaction_policy { decoupled: true }"
TEXT = f"""backend: "python" max_batch_size: 8 {DECOUPLED}
input {{ name: "text_input" data_type: TYPE_STRING dims: 1 }}
input {{ name: "max_tokens" data_type: TYPE_INT32 dims: 1 }}
input {{ name: "stream" data_type: TYPE_BOOL dims: 1 optional: true }}
output {{ name: "text_output" data_type: TYPE_STRING dims: 1 }}
"""
SCALAR = "dims: 1 reshape { shape: [] }"
IDS = f"""backend: "python" max_batch_size: 8 {DECOUPLED}
input {{ name: "input_ids" data_type: TYPE_INT32 dims: -1 allow_ragged_batch: true }}
input {{ name: "input_lengths" data_type: TYPE_INT32 {SCALAR} }}
input {{ name: "request_output_len" data_type: TYPE_INT32 {SCALAR} }}
input {{ name: "streaming" data_type: TYPE_BOOL {SCALAR} optional: true }}
output {{ name: "output_ids" data_type: TYPE_INT32 dims: [-1, -1] }}
output {{ name: "sequence_length" data_type: TYPE_INT32 dims: -1 }}
"""
# Waits 20 ms, then sends its answer in pieces 5 ms apart; the FINAL flag goes by itself, and at once.
HEAD = """import threading
import time
import numpy as np
import triton_python_backend_utils as pb


def number(request, name):
    return int(pb.get_input_tensor_by_name(request, name).as_numpy().ravel()[0])


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            pieces = self.pieces(request)
            threading.Thread(target=self.send, args=(request.get_response_sender(), pieces), daemon=True).start()

    def send(self, sender, pieces):
        time.sleep(0.02)
        for index, tensors in enumerate(pieces):
            time.sleep(0.005 if index else 0)
            sender.send(pb.InferenceResponse(tensors))
        sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
# The second word of a text is empty, as where half a character is held back. Refuses a request that does not stream.
TELLER = (
    HEAD
    + """
    def pieces(self, request):
        assert pb.get_input_tensor_by_name(request, "stream").as_numpy().all()
        return [self.word("" if index == 1 else "word ") for index in range(number(request, "max_tokens"))]

    def word(self, text):
        return [pb.Tensor("text_output", np.array([[text.encode()]], dtype=object))]
"""
)
# Two tokens to a response. Refuses a prompt whose length is not the one it is told.
COUNTER = (
    HEAD
    + """
    def pieces(self, request):
        ids = pb.get_input_tensor_by_name(request, "input_ids").as_numpy()
        assert ids.shape == (1, number(request, "input_lengths"))
        return [self.pair() for _ in range(number(request, "request_output_len") // 2)]

    def pair(self):
        ids, length = np.full((1, 1, 2), 7, np.int32), np.array([[2]], np.int32)
        return [pb.Tensor("output_ids", ids), pb.Tensor("sequence_length", length)]
"""
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("models")
    for name, config, code in (("teller", TEXT, TELLER), ("counter", IDS, COUNTER)):
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "config.pbtxt").write_text(config)
        (folder / name / "1" / "model.py").write_text(code)
    with embedded_server(folder) as running:
        yield running
        running.process.kill()  # how servers end is told by test_server.py


def sweep(server: Server, folder: Path, *words: str) -> tuple[Sweep, StreamPoint, str]:
    """Sweep at one load from the command line: the document, its point, and what was printed."""
    argv = [sys.executable, "-m", "tritonsmith.generator", "sweep", words[0], "--url", server.http_url]
    argv += ["--grpc-url", server.grpc_url, "--concurrency", "3", "--repeats", "3", "--window-ms", "250"]
    done = subprocess.run(
        [*argv, "-o", str(folder), *words[1:]], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode in (0, 7), done.stderr  # 7: this machine was too busy, which is said
    document = read_sweep(folder)
    [point] = summarise(document)
    assert point.streams
    return document, point.streams, done.stdout + done.stderr


def test_words_of_a_text_are_timed_and_counted(server: Server, tmp_path: Path) -> None:
    lengths = ["--prompt-tokens", "uniform:4:9", "--output-tokens", "uniform:1:8"]
    goals = ["--goal", "ttft_ms=1000", "--goal", "tpot_ms=500"]
    document, streams, printed = sweep(server, tmp_path, "teller", *lengths, *goals)
    assert streams.tokens_by == "responses"
    assert 20_000 < streams.times["ttft_p50_us"].value < 60_000
    assert 5_000 < streams.times["inter_token_p50_us"].value < 15_000
    assert 5_000 < streams.times["tpot_p50_us"].value < 15_000
    counts = {
        count for cell in document.cells if cell.measurement.streams for count in cell.measurement.streams.output_tokens
    }
    assert counts == set(range(1, 9))  # with those of a single word, and no FINAL flag among them
    assert streams.good_share == 1
    assert "goodput/s (TTFT 1000 ms, TPOT 500 ms)" in printed
    assert "256 prompts of uniform:4:9 words at random, answers of at most uniform:1:8 tokens" in printed
    assert "no tokenizer is known" in printed


def test_another_goal_is_judged_on_what_was_measured(server: Server, tmp_path: Path) -> None:
    first, streams, _ = sweep(server, tmp_path, "teller", "--output-tokens", "4", "--goal", "ttft_ms=1000")
    again, stricter, _ = sweep(server, tmp_path, "teller", "--output-tokens", "4", "--goal", "ttft_ms=10")
    assert again.cells == first.cells
    assert (streams.good_share, stricter.good_share) == (1, 0)


def test_tokens_are_counted_where_a_response_holds_several(server: Server, tmp_path: Path) -> None:
    words = ["--tokenizer", str(DEMO), "--prompt-tokens", "uniform:2:30", "--output-tokens", "8"]
    document, streams, printed = sweep(server, tmp_path, "counter", *words)
    assert streams.tokens_by == "sequence_length"
    assert streams.output_tokens.value == 8
    assert 2_500 < streams.times["inter_token_p50_us"].value < 8_000  # 5 ms for two
    assert "prompts of uniform:2:30 tokens at random" in printed
    [point] = summarise(document)
    assert streams.output_tokens_per_s.value == pytest.approx(8 * point.throughput_per_s.value, rel=1e-3)


def test_a_files_prompts_are_sent(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "Grüße", "max_tokens": 3}\n"Who?"\n', encoding="utf-8")
    document, streams, _ = sweep(server, tmp_path / "sweep", "teller", "--prompts", str(path), "--output-tokens", "5")
    assert document.plan.prompts == "2 prompts of prompts.jsonl, answers of at most 5 tokens"
    assert streams.output_tokens.value == 5
    assert len(json.loads((tmp_path / "sweep" / "input.json").read_text())["data"]) == 2


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("chat")
    for words in (["init", "text_generation"], ["build"]):
        subprocess.run([sys.executable, "-m", "tritonsmith.generator", *words], cwd=folder, check=True, timeout=120)
    with embedded_server(folder / "model_repository") as running:
        yield running
        running.process.kill()  # how servers end is told by test_server.py


@pytest.mark.parametrize(("model", "tokens_by"), [("chat", "responses"), ("tensorrt_llm", "sequence_length")])
def test_the_models_of_text_generation_answer_in_the_asked_lengths(
    pipeline: Server, tmp_path: Path, model: str, tokens_by: str
) -> None:
    words = ["--tokenizer", str(DEMO), "--prompt-tokens", "uniform:8:40", "--output-tokens", "uniform:3:20"]
    document, streams, printed = sweep(pipeline, tmp_path, model, *words, "--goal", "ttft_ms=5000")
    assert streams.tokens_by == tokens_by
    counts = {
        one for cell in document.cells if cell.measurement.streams for one in cell.measurement.streams.output_tokens
    }
    assert counts <= set(range(3, 21))  # neither fewer nor a FINAL flag more
    assert len(counts) > 9
    assert streams.times["ttft_p50_us"].value > streams.times["tpot_p50_us"].value > 0
    assert streams.good_share == 1
    assert "answers of uniform:3:20 tokens" in printed
