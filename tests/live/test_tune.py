"""Tunings of a real model on a real server, from the spec and back into it."""

import json
from pathlib import Path

import pytest

from tritonsmith.generator.cli import cli
from tritonsmith.generator.errors import AnswerIsNo
from tritonsmith.perf.tune.document import TUNINGS

pytestmark = [pytest.mark.live, pytest.mark.slow]
SPEC = """\
repository: naps
models:
  sleeping:
    python: ./sleeping  # it sleeps
    max_batch_size: 8
    instance_group: [{kind: KIND_CPU, count: 1}]   # one for now
"""
TENSORS = 'input { name: "x" data_type: TYPE_FP32 dims: 4 } output { name: "y" data_type: TYPE_FP32 dims: 4 }'
SLEEPING = """import time
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        time.sleep(0.02)
        return [pb.InferenceResponse([pb.Tensor("y", request.inputs()[0].as_numpy())]) for request in requests]
"""
COUNT = "models.sleeping.instance_group.count"


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A spec of a model that sleeps, which three instances do three times as often."""
    (tmp_path / "sleeping").mkdir()
    (tmp_path / "sleeping" / "config.pbtxt").write_text(TENSORS)
    (tmp_path / "sleeping" / "model.py").write_text(SLEEPING)
    (tmp_path / "tritonsmith.yaml").write_text(SPEC)
    return tmp_path / "tritonsmith.yaml"


def run(spec: Path, *words: str) -> None:
    output = str(spec.parent / "out")
    argv = ["tune", str(spec), "--vary", f"{COUNT}=1,3", "--concurrency", "4", "--output", output, *words]
    cli.main(argv, standalone_mode=False)


def test_the_better_count_is_found_and_written_with_the_comments_kept(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(spec, "--budget-s", "45", "--patch")
    assert spec.read_text() == SPEC  # a patch is printed, and nothing is written
    assert "+    instance_group: [{kind: KIND_CPU, count: 3}]   # one for now" in capsys.readouterr().out
    answers = (spec.parent / "out" / "journal.jsonl").read_bytes()

    run(spec, "--budget-s", "45")  # what was measured is not measured again
    assert (spec.parent / "out" / "journal.jsonl").read_bytes().startswith(answers)
    assert spec.read_text() == SPEC.replace("count: 1", "count: 3")

    tuning = TUNINGS.read(spec.parent / "out")
    assert tuning.is_written
    assert tuning.found.pick is not None
    assert dict(tuning.found.pick.variant) == {COUNT: 3}
    assert [phase.name for phase in tuning.phases] == ["build and start", "calibration", "search", "end"]
    assert {(one.candidate, one.load) for one in tuning.expectations} == {
        (trial.candidate, trial.load) for trial in tuning.found.trials
    }
    assert (spec.parent / "out" / "tune.html").read_text().startswith("<!doctype html>")


def test_a_limit_that_nothing_keeps_is_answered_with_no(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AnswerIsNo):
        run(spec, "--budget-s", "25", "--limit", "p50=1ms", "--json")
    assert spec.read_text() == SPEC
    assert json.loads(capsys.readouterr().out)["found"]["pick"] is None
