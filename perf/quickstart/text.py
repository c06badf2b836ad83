"""Second half: a language model behind five models, answering token by token."""

from __future__ import annotations

import http.client
import json
import shlex
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from tritonsmith.backends.client.base import Client, InferRequest, Tensor, connect
from tritonsmith.backends.server.embedded import embedded_server
from tritonsmith.ensembles.text_generation.questions import FOLDER, TEXT, Entry, read_entries
from tritonsmith.generator import console
from tritonsmith.generator.errors import AnswerIsNo
from tritonsmith.perf.document import Sweep, SweepPlan
from tritonsmith.perf.folder import sweep_folder
from tritonsmith.perf.measure.input_data import INPUT_NAME
from tritonsmith.perf.measure.lengths import parse_lengths
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.prompting import PromptWishes, write_prompts
from tritonsmith.perf.quickstart.steps import Steps, build, shown
from tritonsmith.perf.report import table_text, write_report
from tritonsmith.perf.sweep import run_sweep
from tritonsmith.perf.target import Target, embedded_target

SPEC = FOLDER / "spec.yaml"
ENSEMBLE, BLS = "chat", "tensorrt_llm_bls"
QUESTIONS = 20
MAX_TOKENS = 128
PARTED = "|"  # how the pieces of a stream are shown
PROMPT_TOKENS, OUTPUT_TOKENS = "uniform:8:64", "uniform:8:32"
WISHES = PromptWishes(
    prompt_tokens=parse_lengths(PROMPT_TOKENS, "--prompt-tokens"),
    output_tokens=parse_lengths(OUTPUT_TOKENS, "--output-tokens"),
)
CONCURRENCIES = (1, 4, 8)
REPEATS = 3


def generate_text(steps: Steps, output: Path) -> str:
    """Take every step with the language model, and return how well it answers, the table, and the report's path.

    Raises: AnswerIsNo where the answers are not those of its text.
    """
    repository = build(steps, SPEC, output)
    entries = read_entries(TEXT.read_text(encoding="utf-8"))[:QUESTIONS]
    steps.begin("serve", f"tritonsmith serve {repository}")
    with embedded_server(repository) as server:
        console.say(f"ready: gRPC {server.grpc_url}, HTTP {server.http_url}")
        question = entries[0].questions[0]
        inputs = f"-i text_input={shlex.quote(question)} -i max_tokens={MAX_TOKENS} -i stream=true"
        steps.begin("infer", f"tritonsmith infer {ENSEMBLE} {inputs}")
        with connect(server.grpc_url) as client:
            console.say(question + PARTED.join(ask(client, ENSEMBLE, question)))
            judge(client, entries)
        for door in ("generate", "generate_stream"):
            body = json.dumps(body_of(question, is_streamed=door == "generate_stream"))
            steps.begin(door, f"curl {server.http_url}/v2/models/{BLS}/{door} -d {shlex.quote(body)}")
            console.say(PARTED.join(generate(server.http_url, door, body)))
        steps.begin("sweep", shlex.join(sweep_command(output)))
        sweep = measure(embedded_target(server), output)
    page = write_report(sweep, output / "report.html")
    steps.begin("report", f"tritonsmith report {output / 'sweep'}")
    judged = f"{len(entries)} of {len(entries)} questions answered to the letter, streamed through the BLS model"
    return f"{judged}\n\n{table_text(sweep)}\n\nreport: {page.resolve()}"


def ask(client: Client, model: str, question: str) -> Iterator[str]:
    """Yield the answer to a question piece by piece."""
    inputs = [
        Tensor("text_input", "BYTES", np.array([[question.encode()]], dtype=np.object_)),
        Tensor("max_tokens", "INT32", np.array([[MAX_TOKENS]], dtype=np.int32)),
        Tensor("stream", "BOOL", np.array([[True]])),
    ]
    for response in client.stream([InferRequest(model, inputs, outputs=["text_output"])]):
        if "text_output" in response.outputs:  # the last one may be a flag alone
            yield response.outputs["text_output"].array.item().decode()


def generate(url: str, door: str, body: str) -> Iterator[str]:
    """Yield the answer to a request through one of the HTTP endpoints for text: whole, or as server-sent events.

    Raises: AnswerIsNo where there is none.
    """
    connection = http.client.HTTPConnection(url, timeout=60)
    with closing(connection):
        connection.request("POST", f"/v2/models/{BLS}/{door}", body)
        answer = connection.getresponse()
        lines = answer.read().decode().splitlines()
    if answer.status != 200:
        raise AnswerIsNo(f"/{door} answered {answer.status}: {lines}", hint="this is a bug in tritonsmith")
    for line in filter(None, lines):
        yield json.loads(line.removeprefix("data: "))["text_output"]


def body_of(question: str, *, is_streamed: bool) -> dict[str, object]:
    """Return what /generate and /generate_stream are sent."""
    body = {"text_input": question, "max_tokens": MAX_TOKENS, "stream": is_streamed}
    return body if is_streamed else {**body, "exclude_input_in_output": True}


def judge(client: Client, entries: list[Entry]) -> None:
    """Ask the questions of the model's text.

    Raises: AnswerIsNo where one is not answered as the text does.
    """
    answers = {entry: "".join(ask(client, BLS, entry.questions[0])).strip() for entry in entries}
    wrong = [entry.questions[0] for entry, answer in answers.items() if answer != entry.answer]
    if wrong:
        raise AnswerIsNo(
            f"{len(wrong)} of {len(entries)} answers are not those of {TEXT.name}: {wrong[:3]}",
            hint="the served models differ from ensembles/text_generation: build again",
        )


def sweep_command(output: Path) -> list[str]:
    """Return the command that measures the same: typed afterwards, it finds every cell measured."""
    argv = ["tritonsmith", "sweep", BLS, "--repository", shown(output / "model_repository")]
    argv += ["--prompt-tokens", PROMPT_TOKENS, "--output-tokens", OUTPUT_TOKENS]
    argv += ["--concurrency", ",".join(map(str, CONCURRENCIES)), "--repeats", str(REPEATS)]
    return [*argv, "--output", str(output / "sweep")]


def measure(target: Target, output: Path) -> Sweep:
    """Measure the BLS model over levels of concurrency, with prompts and answers of many lengths."""
    with sweep_folder(output / "sweep") as folder:
        input_data, prompts = write_prompts(WISHES, BLS, target, folder / INPUT_NAME)
        loads = tuple(Load("concurrency", value) for value in CONCURRENCIES)
        plan = SweepPlan(model=BLS, loads=loads, repeats=REPEATS, input_data=input_data, prompts=prompts)
        with console.progress("sweep", plan.cells) as bar:
            return run_sweep(plan, target, folder, bar)
