"""What `tune` is tried on: three pipelines of Python models, each a spec with its models beside it, and their spaces.

One model sleeps a fixed time and a little per row, so that batching pays; one computes row by row, so that it does not;
and an ensemble computes before and after a step that sleeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SCRIPT = """\
import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.values = np.random.default_rng(0).standard_normal(60_000)

    def execute(self, requests):
        inputs = [request.inputs()[0].as_numpy() for request in requests]
        rows = sum(map(len, inputs))
        {work}
        return [pb_utils.InferenceResponse([pb_utils.Tensor("{output}", x)]) for x in inputs]
"""
TENSORS = """\
input [{{name: "{input}" data_type: TYPE_FP32 dims: [16]}}]
output [{{name: "{output}" data_type: TYPE_FP32 dims: [16]}}]
"""
MODEL = """\
  {name}:
    python: ./{name}
    max_batch_size: 16
    instance_group: [{{kind: KIND_CPU, count: 1}}]
    dynamic_batching: {{}}
"""
SLEEPS = "time.sleep(0.006 + 0.0004 * rows)"
COMPUTES = "[np.sin(self.values) for _ in range(rows)]"
COMPUTES_LITTLE = "[np.sin(self.values[:4000]) for _ in range(rows)]"
ENSEMBLE = "  pipeline: {ensemble: [before, middle, after]}\n"
DELAY = "dynamic_batching.max_queue_delay_microseconds"


@dataclass(frozen=True)
class Step:
    """A model: what it does with a batch, between which tensors."""

    name: str
    work: str
    takes: str = "x"
    gives: str = "y"


@dataclass(frozen=True)
class Subject:
    """A pipeline to be tuned: its models in order, and what varies, as `--vary` takes it: 12 configurations."""

    name: str
    steps: tuple[Step, ...]
    vary: tuple[str, ...]

    @property
    def model(self) -> str:
        """Return the model that requests are sent to."""
        return "pipeline" if len(self.steps) > 1 else self.steps[0].name

    def write(self, folder: Path) -> Path:
        """Write the spec and its models into a folder and return the spec's path."""
        text = f"repository: {self.name}\nmodels:\n"
        for step in self.steps:
            place = folder / step.name
            place.mkdir(parents=True, exist_ok=True)
            (place / "model.py").write_text(SCRIPT.format(work=step.work, output=step.gives))
            (place / "config.pbtxt").write_text(TENSORS.format(input=step.takes, output=step.gives))
            text += MODEL.format(name=step.name)
        (folder / "tritonsmith.yaml").write_text(text + (ENSEMBLE if len(self.steps) > 1 else ""))
        return folder / "tritonsmith.yaml"


def _of_one(name: str, delays_us: str) -> tuple[str, ...]:
    fields = {"instance_group.count": "1,2", "max_batch_size": "4,16", DELAY: delays_us}
    return tuple(f"models.{name}.{field}={values}" for field, values in fields.items())


SUBJECTS = (
    Subject("sleeping", (Step("sleeping", SLEEPS),), _of_one("sleeping", "0,1000,4000")),
    Subject("computing", (Step("computing", COMPUTES),), _of_one("computing", "0,500,2000")),
    Subject(
        "ensemble",
        (
            Step("before", COMPUTES_LITTLE, "x", "u"),
            Step("middle", SLEEPS, "u", "v"),
            Step("after", COMPUTES_LITTLE, "v", "y"),
        ),
        (
            "models.before.instance_group.count=1,2",
            "models.middle.instance_group.count=1,2",
            f"models.middle.{DELAY}=0,1000,4000",
        ),
    ),
)
