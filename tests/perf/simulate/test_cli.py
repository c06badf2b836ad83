"""The verb simulate, in this process; the examples of the README among it."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

import tritonsmith.perf
from tritonsmith.generator.cli import cli
from tritonsmith.generator.errors import TritonsmithError
from tritonsmith.perf.document import Sweep, write_sweep

MODEL = """backend: "python" max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [4] }
output { name: "y" data_type: TYPE_FP32 dims: [4] }
instance_group { count: 1 kind: KIND_CPU }
"""
ENSEMBLE = """platform: "ensemble" max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [4] }
output { name: "y" data_type: TYPE_FP32 dims: [4] }
ensemble_scheduling {
  step { model_name: "preprocessing" model_version: -1 input_map { key: "x" value: "x" } output_map { key: "y" value: "t" } }
  step { model_name: "classifier" model_version: -1 input_map { key: "x" value: "t" } output_map { key: "y" value: "y" } } }
"""  # noqa: E501
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A function that runs a command line where there is a model repository; returns status and what it printed."""
    monkeypatch.chdir(tmp_path)
    configs = {"digits": ENSEMBLE, "preprocessing": MODEL, "classifier": MODEL + "dynamic_batching { }"}
    for name, config in configs.items():
        (tmp_path / "model_repository" / name / "1").mkdir(parents=True)
        (tmp_path / "model_repository" / name / "1" / "model.py").touch()
        (tmp_path / "model_repository" / name / "config.pbtxt").write_text(config)

    def run(*words: str) -> tuple[int, str]:
        try:
            cli.main(list(words), standalone_mode=False)
        except TritonsmithError as problem:
            return problem.exit_code, str(problem)
        except click.ClickException as problem:
            return problem.exit_code, problem.format_message()
        return 0, capsys.readouterr().out

    return run


def answer(run: Run, *words: str) -> dict[str, Any]:
    status, said = run("simulate", "--json", *words)
    assert status == 0, said
    document: dict[str, Any] = json.loads(said)
    return document


def test_every_variant_is_simulated_at_every_load(run: Run) -> None:
    vary = "models.classifier.instance_group.count=1,3"
    points = answer(
        run, "-m", "classifier", "--service", "1=2ms,8=4.8ms,~20%", "--vary", vary, "--request-rate", "400,1500"
    )["points"]
    counts = [next(iter(point["variant"].values())) for point in points]
    assert (counts, [point["load"]["value"] for point in points]) == ([1, 1, 3, 3], [400, 1500, 400, 1500])
    assert points[3]["p99_us"] < points[1]["p99_us"] / 2
    assert [point["throughput_per_s"] for point in points] == pytest.approx([400, 1500] * 2, rel=0.05)


def test_an_ensemble_takes_as_long_as_its_steps(run: Run) -> None:
    found = answer(run, "--service", "preprocessing:1=1ms", "--service", "classifier:1=2ms,8=5ms", "--concurrency", "1")
    assert (found["model"], found["points"][0]["p50_us"]) == ("digits", 3000)


def test_cores_that_instances_share_slow_them_down(run: Run) -> None:
    words = ["-m", "classifier", "--service", "1=2ms,8=16ms,~0%", "--concurrency", "2"]
    words += ["--vary", "models.classifier.instance_group.count=2"]
    alone, shared = (answer(run, *words, *more)["points"][0]["p50_us"] for more in ([], ["--cores", "1"]))
    assert (alone, shared) == (2000, 4000)


def test_recorded_arrivals_are_played_back(run: Run, tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text("0\n0.0\n0.1,3\n")
    words = ["-m", "preprocessing", "--service", "1=2ms,8=4.8ms,~0%", "--arrivals", "trace.csv"]
    (point,) = answer(run, *words)["points"]
    assert (point["load"], point["p99_us"]) == ({"kind": "trace"}, 4000)
    (tmp_path / "trace.csv").write_text("0,9\n")
    status, said = run("simulate", *words)
    assert (status, "requests of 9 rows exceed" in said) == (2, True)


def test_azure_s_traces_are_played_back_too(run: Run, tmp_path: Path) -> None:
    lines = ("TIMESTAMP,ContextTokens,GeneratedTokens", *(f"2023-11-16 18:17:0{n}.9799600,4808,10" for n in range(5)))
    (tmp_path / "azure.csv").write_text("\n".join(lines))
    words = ["-m", "preprocessing", "--service", "1=2ms,~0%", "--arrivals", "azure.csv"]
    assert answer(run, *words)["points"][0]["p99_us"] == 2000


def test_bursts_make_the_same_rate_slower(run: Run) -> None:
    words = ["-m", "classifier", "--service", "1=2ms,8=4.8ms,~20%", "--request-rate", "600"]
    times = [answer(run, *words, "--arrivals", kind)["points"][0]["p99_us"] for kind in ("constant", "bursty")]
    assert times[0] * 1.5 < times[1]


def test_a_rate_is_of_requests_where_they_come_in_sequences_too(run: Run, tmp_path: Path) -> None:
    config = MODEL + "sequence_batching { oldest { max_candidate_sequences: 64 } }"
    (tmp_path / "model_repository" / "classifier" / "config.pbtxt").write_text(config)
    words = ["-m", "classifier", "--service", "1=2ms,8=4ms,~0%", "--request-rate", "200,5000"]
    for seed in "0123":
        slow, fast = answer(run, *words, "--seed", seed)["points"]
        assert slow["throughput_per_s"] == pytest.approx(200, rel=0.15)
        assert (slow["is_overloaded"], fast["is_overloaded"]) == (False, True)


def test_more_requests_than_can_be_answered_are_marked(run: Run) -> None:
    status, said = run("simulate", "-m", "classifier", "--service", "1=2ms,8=4.8ms,~0%", "--request-rate", "9000")
    assert (status, "* more requests than it can answer" in said) == (0, True)


def test_a_fleet_is_sized_for_each_variant_and_the_smallest_is_the_answer(run: Run) -> None:
    words = ["simulate", "-m", "classifier", "--service", "1=2ms,8=4.8ms,~20%", "--vary"]
    words += ["models.classifier.instance_group.count=1,2", "--replicas-for", "9000", "--slo", "p99=50ms"]
    status, said = run(*words, "--down", "1")
    assert status == 0
    found = [int(line.split()[1]) for line in said.splitlines() if line.startswith("classifier.instance_group")]
    assert found == [7, 4]  # at 1,600 and 3,200 requests/s each
    assert "4 replicas answer 9,000 requests/s, 1 of them down" in said


def test_a_time_that_no_fleet_keeps_is_answered_with_no(run: Run) -> None:
    words = ["-m", "classifier", "--service", "1=2ms,8=4.8ms,~0%", "--replicas-for", "90", "--slo", "p99=1ms"]
    assert run("simulate", *words)[0] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--service", "1=2ms"], "of which model?"),
        (["-m", "classifier"], "no service times for classifier"),
        (["-m", "clasifier"], "Did you mean 'classifier'"),
        (["--service", "build/none"], "neither service times nor a sweep's path"),
        (["--slo", "p99=5ms"], "--slo and --down belong to --replicas-for"),
        (["--replicas-for", "5"], "--replicas-for needs a limit"),
        (["--replicas-for", "5", "--slo", "p99=5"], "no time above 0 with a unit"),
        (["--replicas-for", "5", "--slo", "memory=5GiB"], "'memory' is nothing to limit"),
        (["--replicas-for", "5", "--slo", "p99=5ms", "--concurrency", "1"], "sets the load itself"),
        (["--arrivals", "nowhere.csv"], "cannot read nowhere.csv"),
        (["--arrivals", "bursty"], "--arrivals bursty is about a rate"),
        (["--vary", "models.none.max_batch_size=1"], "no model 'none'"),
        (["--vary", "models.classifier.max_batchsize=1"], "max_batchsize"),
    ],
)
def test_wrong_usage_is_named(run: Run, words: list[str], said: str) -> None:
    times = ["--service", "preprocessing:1=1ms", "--service", "classifier:1=2ms"]
    given = times if words[0] in ("--vary", "--replicas-for") else []
    status, error = run("simulate", *given, *words)
    assert (status, said in error) == (2, True), error


def test_the_examples_in_the_readme_run(run: Run, make_sweep: Callable[..., Sweep], tmp_path: Path) -> None:
    (tmp_path / "build" / "sweep").mkdir(parents=True)
    write_sweep(make_sweep(), tmp_path / "build" / "sweep")
    readme = (Path(tritonsmith.perf.__path__[0]) / "simulate" / "README.md").read_text()
    examples = re.findall(r"^tritonsmith simulate (?:.*\\\n)*.*", readme, re.MULTILINE)
    assert len(examples) == 3
    for example in examples:
        status, said = run(*shlex.split(example.replace("\\\n", " "), comments=True)[1:])
        assert (status, "service times: " in said) == (0, True), said
