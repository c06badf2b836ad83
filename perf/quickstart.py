"""`make quickstart`: the whole path on the digits demo, each step as a user would take it with the command line.

build -> check -> serve on a real tritonserver -> infer held-out digits -> sweep with perf_analyzer -> report.
Everything goes below build/quickstart; a second run keeps what was measured and is quick.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tritonsmith.backends.check import as_text as findings_text
from tritonsmith.backends.check import check_path
from tritonsmith.backends.client.base import Client, InferRequest, Tensor, connect
from tritonsmith.backends.server.embedded import embedded_server
from tritonsmith.ensembles.build import build_repository
from tritonsmith.ensembles.image_classification.reference import (
    FOLDER,
    Classification,
    HeldOutImage,
    classify,
    read_held_out,
)
from tritonsmith.generator import cli, console
from tritonsmith.generator.errors import AnswerIsNo
from tritonsmith.perf.document import Sweep, SweepPlan
from tritonsmith.perf.folder import sweep_folder
from tritonsmith.perf.measure.given_inputs import write_given_inputs
from tritonsmith.perf.measure.input_data import INPUT_NAME
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.report import table_text, write_report
from tritonsmith.perf.sweep import run_sweep
from tritonsmith.perf.target import Target as SweepTarget
from tritonsmith.perf.target import embedded_target

OUTPUT = Path("build") / "quickstart"
IMAGES = FOLDER / "demo" / "images"
MODEL = "digits"
BATCH = 16
CONCURRENCIES = (1, 2, 4, 8, 16, 32)
REPEATS = 5
WANTED_ACCURACY = 0.96


def quickstart(output: Path = OUTPUT) -> None:
    """Take every step, and end with the accuracy, the table of loads, and the report's path.

    Raises: AnswerIsNo where the served ensemble disagrees with the same steps in one process, or is not accurate.
    """
    repository = output / "model_repository"
    _heading(1, "build", f"tritonsmith build {_shown(FOLDER / 'spec.yaml')} --output {repository}")
    console.say(build_repository(FOLDER / "spec.yaml", repository).summary())
    _heading(2, "check", f"tritonsmith check {repository}")
    _check(repository)
    _heading(3, "serve", f"tritonsmith serve {repository}")
    with embedded_server(repository) as server:
        console.say(f"ready: gRPC {server.grpc_url}, HTTP {server.http_url}")
        images = read_held_out()
        _heading(4, "infer", f"tritonsmith infer {MODEL} --input image=@digit.png, for {len(images)} held-out digits")
        with connect(server.grpc_url) as client:
            accuracy = judge(images, classify_served(client, images))
        _heading(5, "sweep", shlex.join(sweep_command(output)))
        sweep = measure(embedded_target(server), output)
    page = write_report(sweep, output / "report.html")
    _heading(6, "report", f"tritonsmith report {output / 'sweep'}")
    console.result(f"\naccuracy on {len(images)} held-out digits: {accuracy:.4f}, as in one process, image by image\n")
    console.result(table_text(sweep))
    console.result(f"\nreport: {page.resolve()}")


def classify_served(client: Client, images: Sequence[HeldOutImage]) -> list[Classification]:
    """Send the images to the ensemble in batches and return what it says of each."""
    answers: list[Classification] = []
    for start in range(0, len(images), BATCH):
        batch = np.array([[image.data] for image in images[start : start + BATCH]], dtype=np.object_)
        response = client.infer(InferRequest(MODEL, [Tensor("image", "BYTES", batch)]))
        labels, scores = (response.outputs[name].array for name in ("label", "score"))
        rows = zip(labels.tolist(), scores.tolist(), strict=True)
        answers += [Classification(tuple(map(bytes.decode, row)), tuple(values)) for row, values in rows]
    return answers


def judge(images: Sequence[HeldOutImage], served: Sequence[Classification]) -> float:
    """Return the share of images that the ensemble labels right.

    Raises: AnswerIsNo where it differs from the same three steps in one process, or is right too seldom.
    """
    expected = classify([image.data for image in images])
    differing = [image.name for image, one, other in zip(images, served, expected, strict=True) if not same(one, other)]
    if differing:
        raise AnswerIsNo(
            f"{len(differing)} of {len(images)} images are classified otherwise than in one process: {differing[:5]}",
            hint="the served models differ from ensembles/image_classification: build again",
        )
    right = sum(answer.labels[0] == image.label for image, answer in zip(images, served, strict=True))
    accuracy = right / len(images)
    if accuracy < WANTED_ACCURACY:
        raise AnswerIsNo(f"accuracy {accuracy:.4f} is below {WANTED_ACCURACY}", hint="train again: train.py")
    return accuracy


def same(served: Classification, expected: object) -> bool:
    """Whether two answers have equal labels, and equal scores but for the order in which a batch is summed up."""
    return (
        isinstance(expected, Classification)
        and served.labels == expected.labels
        and np.allclose(served.scores, expected.scores, rtol=1e-5, atol=1e-6)
    )


def sweep_command(output: Path) -> list[str]:
    """Return the command that measures the same: typed afterwards, it finds every cell measured."""
    argv = ["tritonsmith", "sweep", MODEL, "--repository", str(output / "model_repository")]
    argv += ["--input", f"image=@{_shown(IMAGES)}", "--concurrency", ",".join(map(str, CONCURRENCIES))]
    return [*argv, "--output", str(output / "sweep")]


def measure(target: SweepTarget, output: Path) -> Sweep:
    """Measure the ensemble over levels of concurrency with real images."""
    with sweep_folder(output / "sweep") as folder:
        plan = SweepPlan(
            model=MODEL,
            loads=tuple(Load("concurrency", value) for value in CONCURRENCIES),
            repeats=REPEATS,
            input_data=write_given_inputs([f"image=@{IMAGES}"], MODEL, target.http_url, folder / INPUT_NAME),
        )
        with console.progress("sweep", plan.cells) as bar:
            return run_sweep(plan, target, folder, bar)


def _check(repository: Path) -> None:
    findings = check_path(repository)
    console.say(findings_text(findings))
    if findings:
        raise AnswerIsNo("the generated repository has findings", hint="this is a bug in tritonsmith")


def _heading(number: int, title: str, command: str) -> None:
    console.say(f"\n[{number}/6] {title}: {command}")


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    started_s = time.monotonic()
    status = cli.guarded(quickstart)
    console.say(f"{time.monotonic() - started_s:.0f} s")
    sys.exit(status)
