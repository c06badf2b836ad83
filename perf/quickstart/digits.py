"""First half: handwritten digits through an ensemble around an ONNX model."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tritonsmith.backends.client.base import Client, InferRequest, Tensor, connect
from tritonsmith.backends.server.embedded import embedded_server
from tritonsmith.ensembles.image_classification.reference import (
    FOLDER,
    Classification,
    HeldOutImage,
    classify,
    read_held_out,
)
from tritonsmith.generator import console
from tritonsmith.generator.errors import AnswerIsNo
from tritonsmith.perf.document import Sweep, SweepPlan
from tritonsmith.perf.folder import sweep_folder
from tritonsmith.perf.measure.given_inputs import write_given_inputs
from tritonsmith.perf.measure.input_data import INPUT_NAME
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.quickstart.steps import Steps, build, shown
from tritonsmith.perf.report import table_text, write_report
from tritonsmith.perf.sweep import run_sweep
from tritonsmith.perf.target import Target as SweepTarget
from tritonsmith.perf.target import embedded_target

IMAGES = FOLDER / "demo" / "images"
MODEL = "digits"
BATCH = 16
CONCURRENCIES = (1, 2, 4, 8, 16, 32)
REPEATS = 5
WANTED_ACCURACY = 0.96


def classify_digits(steps: Steps, output: Path) -> str:
    """Take every step with the digits, and return the accuracy, the table of loads, and the report's path.

    Raises: AnswerIsNo where the served ensemble disagrees with the same steps in one process, or is not accurate.
    """
    repository = build(steps, FOLDER / "spec.yaml", output)
    steps.begin("serve", f"tritonsmith serve {repository}")
    with embedded_server(repository) as server:
        console.say(f"ready: gRPC {server.grpc_url}, HTTP {server.http_url}")
        images = read_held_out()
        steps.begin("infer", f"tritonsmith infer {MODEL} --input image=@digit.png, for {len(images)} held-out digits")
        with connect(server.grpc_url) as client:
            accuracy = judge(images, classify_served(client, images))
        steps.begin("sweep", shlex.join(sweep_command(output)))
        sweep = measure(embedded_target(server), output)
    page = write_report(sweep, output / "report.html")
    steps.begin("report", f"tritonsmith report {output / 'sweep'}")
    judged = f"accuracy on {len(images)} held-out digits: {accuracy:.4f}, as in one process, image by image"
    return f"{judged}\n\n{table_text(sweep)}\n\nreport: {page.resolve()}"


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
    argv += ["--input", f"image=@{shown(IMAGES)}", "--concurrency", ",".join(map(str, CONCURRENCIES))]
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
