"""`serve --openai` as OpenAI's own client meets it, on a real server.

`chat` is the demo's pipeline. `slow` has a bigger model with random weights, which never ends by itself, takes one
request at a time and lets one wait: what is cut short, or finds no room, has time to show. `bare` is the same without
tensorrt_llm_bls, so that its ensemble answers. `whole` does not stream.
"""

from __future__ import annotations

import functools
import http.client
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml
from openai import OpenAI

from tritonsmith.ensembles.build import build_repository
from tritonsmith.perf.bench.random_llama import Dimensions, write_llama

pytestmark = pytest.mark.live

CLI = [sys.executable, "-m", "tritonsmith.generator"]
FREE_PORTS = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
DEMO = Path(__file__).parents[2] / "ensembles" / "text_generation" / "demo"
QUESTION = "What is a model repository?"
ANSWER = "A model repository is a folder that holds the models a server can load."
STEPS = ("preprocessing", "tensorrt_llm", "postprocessing", "tensorrt_llm_bls")
Answer = dict[str, Any]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("openai")
    engine = write_llama(folder / "slow", Dimensions(vocab=1024, positions=2048))
    shutil.copy(DEMO / "tokenizer.json", engine)
    (engine / "tokenizer_config.json").write_text("{}")  # no end token: it goes on for as long as it may
    quickly: dict[str, Any] = {"parameters": {"cancellation_check_period_ms": "20", "stats_check_period_ms": "20"}}
    quickly |= {"instances": {"tensorrt_llm_bls": 1}}
    one = {"max_batch_size": 1, "max_queue_size": 1, **quickly}
    pipelines = {
        "chat": {"use": "text_generation", "engine": str(DEMO), "with": {"max_batch_size": 8, **quickly}},
        "slow": pipeline("slow", engine, one),
        "bare": pipeline("bare", engine, one),
        "whole": pipeline("whole", DEMO, {"max_batch_size": 4, "streaming": False}),
    }
    (folder / "tritonsmith.yaml").write_text(yaml.safe_dump({"triton": "24.12", "pipelines": pipelines}))
    build_repository(folder / "tritonsmith.yaml", folder / "repository")
    shutil.rmtree(folder / "repository" / "bare_tensorrt_llm_bls")
    return folder / "repository"


def pipeline(name: str, engine: Path, settings: dict[str, Any]) -> dict[str, Any]:
    names = {role: f"{name}_{role}" for role in STEPS}
    return {"use": "text_generation", "engine": str(engine), "with": settings, "names": names}


@pytest.fixture(scope="module")
def serving(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answer]:
    """What `serve --openai --json` says, while it serves; at the end it leaves nothing that listens."""
    said = tmp_path_factory.mktemp("said") / "stderr"
    argv = [*CLI, "serve", str(repository), "--openai", "--openai-port", "0", "--json", *FREE_PORTS]
    with said.open("w") as stderr, subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=stderr, text=True) as process:
        try:
            yield {**read_answer(process), "process": process, "said": said}
        finally:
            process.kill()


def read_answer(process: subprocess.Popen[str]) -> Answer:
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line == "}\n":
            break
    answer: Answer = json.loads("".join(lines))
    return answer


@pytest.fixture(scope="module")
def client(serving: Answer) -> Iterator[OpenAI]:
    with OpenAI(base_url=serving["openai_url"], api_key="none", max_retries=0, timeout=60) as client:
        yield client


Ask = Callable[..., Any]


@pytest.fixture
def chat(client: OpenAI) -> Ask:
    messages = [{"role": "user", "content": QUESTION}]
    return functools.partial(client.chat.completions.create, model="chat", messages=messages, temperature=0)


@pytest.fixture
def complete(client: OpenAI) -> Ask:
    return functools.partial(client.completions.create, model="chat", prompt=QUESTION, temperature=0)


def test_every_text_pipeline_is_a_model(client: OpenAI, serving: Answer) -> None:
    assert [model.id for model in client.models.list()] == ["bare", "chat", "slow", "whole"]
    assert client.models.retrieve("slow_tensorrt_llm_bls").id == "slow_tensorrt_llm_bls"
    with urllib.request.urlopen(serving["openai_url"].removesuffix("/v1") + "/health", timeout=10) as answer:
        assert json.load(answer)["status"] == "ok"


def test_a_chat_is_answered_in_the_model_s_own_template(chat: Ask) -> None:
    answer = chat()
    assert answer.choices[0].message.content.startswith(ANSWER)
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    usage = answer.usage
    assert usage.prompt_tokens > 3
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_a_prompt_is_completed_up_to_its_length(complete: Ask) -> None:
    answer = complete(max_tokens=16)
    assert answer.choices[0].text == f" {ANSWER}"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 16
    assert complete().choices[0].text == f" {ANSWER}"  # 16 is OpenAI's own default


def test_an_answer_that_ends_in_its_last_token_ends_by_itself(chat: Ask) -> None:
    whole = chat()
    just = chat(max_tokens=whole.usage.completion_tokens)
    assert just.choices[0].finish_reason == "stop"
    assert just.choices[0].message == whole.choices[0].message
    assert chat(max_tokens=whole.usage.completion_tokens - 1).choices[0].finish_reason == "length"


@pytest.mark.parametrize("sampling", [{"temperature": 0}, {"temperature": 1.5, "seed": 7}])
def test_what_is_streamed_is_what_comes_at_once(chat: Ask, sampling: dict[str, Any]) -> None:
    whole = chat(max_tokens=60, **sampling)
    chunks = list(chat(max_tokens=60, stream=True, stream_options={"include_usage": True}, **sampling))
    *texts, last = [chunk for chunk in chunks if chunk.choices]
    assert texts[0].choices[0].delta.role == "assistant"
    assert len(texts) > 10
    assert "".join(chunk.choices[0].delta.content for chunk in texts) == whole.choices[0].message.content
    assert last.choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert {chunk.id for chunk in chunks} == {chunks[0].id}


def test_a_pipeline_that_does_not_stream_answers_at_once_and_its_stream_is_one_text(chat: Ask) -> None:
    ask = functools.partial(chat, model="whole")
    whole = ask(max_tokens=60)
    assert whole.choices[0].message.content.startswith(ANSWER)
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage.completion_tokens > 10
    chunks = list(ask(max_tokens=60, stream=True))
    assert [text for chunk in chunks if (text := chunk.choices[0].delta.content)] == [whole.choices[0].message.content]
    assert chunks[-1].choices[0].finish_reason == "stop"
    cut = ask(stop=["folder"], max_tokens=60).choices[0]
    assert (cut.message.content, cut.finish_reason) == (ANSWER.partition("folder")[0], "stop")
    assert ask(max_tokens=5).choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["whole", "-i", f"text_input={QUESTION}", "-i", "max_tokens=30"], "is a folder that holds"),
        (["postprocessing", "-i", "TOKENS_BATCH=[[5,6,7]]", "-i", "SEQUENCE_LENGTH=[3]"], "OUTPUT"),
    ],
)
def test_infer_shows_the_whole_text(serving: Answer, words: list[str], shown: str) -> None:
    argv = [*CLI, "infer", *words, "--url", serving["grpc_url"]]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout


def test_a_completion_is_streamed_too_without_usage_unless_asked(complete: Ask) -> None:
    chunks = list(complete(max_tokens=16, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == f" {ANSWER}"
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "length"
    assert all(chunk.usage is None for chunk in chunks)


def test_without_a_seed_answers_differ_and_with_one_they_do_not(complete: Ask) -> None:
    def answers(**fields: Any) -> set[str]:
        asked = functools.partial(complete, model="slow", max_tokens=16, temperature=1, **fields)
        return {asked().choices[0].text for _ in range(3)}

    assert len(answers(seed=5)) == 1
    assert len(answers()) == 3  # random weights: no token is likely


@pytest.mark.parametrize("stop", ["older that", ["nowhere", "lder"], "fo"])
@pytest.mark.parametrize("is_streaming", [False, True])
def test_a_stop_word_and_what_follows_is_left_out(complete: Ask, stop: Any, is_streaming: bool) -> None:
    words = [stop] if isinstance(stop, str) else stop
    kept = f" {ANSWER}"[: min(place for word in words if (place := f" {ANSWER}".find(word)) >= 0)]
    if is_streaming:
        chunks = list(complete(max_tokens=60, stop=stop, stream=True))
        assert "".join(chunk.choices[0].text for chunk in chunks) == kept
        assert chunks[-1].choices[0].finish_reason == "stop"
    else:
        answer = complete(max_tokens=60, stop=stop)
        assert (answer.choices[0].text, answer.choices[0].finish_reason) == (kept, "stop")
        assert answer.usage.completion_tokens < 12


@pytest.mark.parametrize(
    ("fields", "error", "status", "code"),
    [
        ({"model": "other"}, openai.NotFoundError, 404, "model_not_found"),
        ({"prompt": "word " * 2000}, openai.BadRequestError, 400, "context_length_exceeded"),
        ({"max_tokens": 2000}, openai.BadRequestError, 400, "context_length_exceeded"),
        ({"n": 2}, openai.BadRequestError, 400, "unsupported_parameter"),
        ({"logprobs": 1}, openai.BadRequestError, 400, "unsupported_parameter"),
        ({"extra_body": {"max_tokns": 5}}, openai.BadRequestError, 400, "unknown_parameter"),
        ({"temperature": -1}, openai.BadRequestError, 400, None),
        ({"prompt": "x" * (5 << 20)}, openai.APIStatusError, 413, "request_too_large"),
    ],
)
@pytest.mark.parametrize("is_streaming", [False, True])
def test_errors_have_openai_s_classes(
    complete: Ask,
    fields: dict[str, Any],
    error: type[openai.APIStatusError],
    status: int,
    code: str,
    is_streaming: bool,
) -> None:
    with pytest.raises(error) as raised:
        complete(stream=is_streaming, **fields)
    assert (raised.value.status_code, raised.value.code) == (status, code)
    assert isinstance(raised.value.body, dict)
    assert raised.value.body["message"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/completions", b"{", 400),
        ("POST", "/v1/completions", b"\xff", 400),
        ("POST", "/v1/completions", b"[" * 100_000, 400),
        ("GET", "/v1/completions", None, 405),
        ("POST", "/v1/embeddings", b"{}", 404),
    ],
)
def test_what_no_client_would_send_has_an_answer_too(
    serving: Answer, method: str, path: str, body: bytes | None, status: int
) -> None:
    request = urllib.request.Request(serving["openai_url"].removesuffix("/v1") + path, body, method=method)
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, timeout=10)
    with raised.value as answer:
        assert answer.code == status
        assert json.load(answer)["error"]["message"]


def test_eight_streams_run_side_by_side(chat: Ask) -> None:
    alone = chat(max_tokens=40).choices[0].message.content

    def text(_: int) -> str:
        return "".join(chunk.choices[0].delta.content or "" for chunk in chat(max_tokens=40, stream=True))

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(text, range(16))) == {alone}


def active(serving: Answer, name: str) -> int:
    """Return how many requests are inside a pipeline's engine."""
    with urllib.request.urlopen(f"http://{serving['metrics_url']}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    row = rf'^nv_trt_llm_request_metrics\{{model="{name}_tensorrt_llm",request_type="active",version="1"\}} (\d+)'
    found = re.search(row, text, re.MULTILINE)
    return int(found.group(1)) if found else 0


def wait_until_active(serving: Answer, name: str, count: int, limit_s: float) -> None:
    deadline_s = time.monotonic() + limit_s
    while (found := active(serving, name)) != count:
        assert time.monotonic() < deadline_s, f"{found} requests are active, not {count}"
        time.sleep(0.05)


@pytest.mark.parametrize("name", ["slow", "bare"])
@pytest.mark.parametrize("is_streaming", [False, True])
def test_a_client_that_goes_frees_the_engine(serving: Answer, name: str, is_streaming: bool) -> None:
    host = serving["openai_url"].split("/")[2]
    body = {"model": name, "prompt": QUESTION, "max_tokens": 1500, "temperature": 0, "stream": is_streaming}
    with closing(http.client.HTTPConnection(host, timeout=30)) as connection:
        connection.request("POST", "/v1/completions", json.dumps(body))
        if is_streaming:
            answer = connection.getresponse()
            assert answer.readline().startswith(b"data: ")
        wait_until_active(serving, name, 1, 10)
        if is_streaming:
            answer.close()
    wait_until_active(serving, name, 0, 2)


def test_a_stop_word_frees_the_engine(serving: Answer, client: OpenAI) -> None:
    first = client.completions.create(model="slow", prompt=QUESTION, max_tokens=5, temperature=0).choices[0].text
    stopped = client.completions.create(model="slow", prompt=QUESTION, max_tokens=1500, temperature=0, stop=first[1:3])
    assert stopped.choices[0].finish_reason == "stop"
    wait_until_active(serving, "slow", 0, 2)


def test_a_full_queue_is_a_rate_limit(serving: Answer, client: OpenAI) -> None:
    def ask(_: int) -> str:
        try:
            with client.completions.create(
                model="bare", prompt=QUESTION, max_tokens=500, temperature=0, stream=True
            ) as chunks:
                return f"{len(list(chunks))} chunks"
        except openai.RateLimitError as error:
            return str(error.code)

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(ask, range(6)))
    assert "rate_limit_exceeded" in answers
    assert any("chunks" in answer for answer in answers)
    wait_until_active(serving, "bare", 0, 5)


def test_nothing_is_said_of_prompts(serving: Answer, chat: Ask) -> None:
    chat(messages=[{"role": "user", "content": "xyzzy"}], max_tokens=3)
    assert "xyzzy" not in serving["said"].read_text()
    assert "Traceback" not in serving["said"].read_text()


def test_what_keeps_it_from_starting_is_told_before_the_server_starts(repository: Path, serving: Answer) -> None:
    port = serving["openai_url"].split(":")[2].removesuffix("/v1")
    status, said = serve(repository, "--openai", "--openai-port", port)
    assert (status, f"the openai port {port} is in use" in said) == (6, True)
    assert serve(repository, "--openai-port", "0")[0] == 2


def test_a_repository_without_text_is_refused(tmp_path: Path, write_model: Callable[..., Path]) -> None:
    write_model(tmp_path / "r", "m")
    status, said = serve(tmp_path / "r", "--openai", "--openai-port", "0")
    assert (status, "r has no text pipeline for --openai" in said) == (4, True)


def serve(repository: Path, *options: str) -> tuple[int, str]:
    argv = [*CLI, "serve", str(repository), *options, *FREE_PORTS]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def test_infer_streams_readable_text(serving: Answer) -> None:
    argv = [*CLI, "infer", "chat", "--url", serving["grpc_url"], "-i", f"text_input={QUESTION}", "-i", "max_tokens=16"]
    shown = subprocess.run([*argv, "-i", "stream=true"], capture_output=True, text=True, timeout=60, check=True)
    assert shown.stdout == f" {ANSWER}\n"
    lines = subprocess.run(
        [*argv, "-i", "stream=true", "--json"], capture_output=True, text=True, timeout=60, check=True
    )
    pieces = [json.loads(line)["outputs"][0]["data"][0] for line in lines.stdout.splitlines()]
    assert "".join(pieces) == f" {ANSWER}"
    assert len(pieces) == 16


def test_ctrl_c_ends_the_front_end_with_the_server(serving: Answer, chat: Ask) -> None:
    """Stands last: it ends what the others use. A stream in flight is finished first."""
    chunks = chat(max_tokens=60, stream=True)
    next(chunks)
    serving["process"].send_signal(signal.SIGINT)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks).startswith(ANSWER)
    assert serving["process"].wait(60) == 130
    with pytest.raises(openai.APIConnectionError):
        chat()
