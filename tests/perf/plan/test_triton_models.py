"""Models that Triton batches itself, through the verb: instances from a sweep, memory of files."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.document import Sweep, write_sweep
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.plan import cli
from tritonsmith.perf.plan.options import PlanOptions

DIGITS = Path(__file__).parents[3] / "ensembles" / "image_classification" / "demo" / "digits.onnx"


@pytest.fixture
def waiting(tmp_path: Path, make_sweep: Callable[..., Sweep]) -> dict[str, object]:
    """Options for a repository of one model whose executions take 2 ms, and the sweep that says so."""
    made = make_sweep((Load("concurrency", 1),), noise=0.0)
    cells = []
    for cell in made.cells:
        step = replace(
            cell.measurement.steps[0],
            model="digits",
            compute_input_us=0.0,
            compute_infer_us=2000.0,
            compute_output_us=0.0,
            queue_us=0.0,
            batch_sizes={1: 400},
        )
        latency = replace(cell.measurement.latency, mean_us=2100.0, p50_us=2100.0)
        cells.append(replace(cell, measurement=replace(cell.measurement, steps=(step,), latency=latency)))
    (tmp_path / "sweep").mkdir()
    write_sweep(replace(made, cells=tuple(cells)), tmp_path / "sweep")
    model = tmp_path / "models" / "digits"
    (model / "1").mkdir(parents=True)
    tensors = [f'{kind} {{ name: "{kind}" data_type: TYPE_FP32 dims: [1] }}' for kind in ("input", "output")]
    (model / "config.pbtxt").write_text("\n".join(['backend: "python"', *tensors]))
    (model / "1" / "model.py").write_text("class TritonPythonModel: ...\n")
    return {"model": tmp_path / "models", "calibrate": (tmp_path / "sweep",), "rate": 1200.0, "slo": ("p99=20ms",)}


def answer(options: dict[str, object], *, is_json: bool = False) -> str:
    found = cli.answer_of_others(PlanOptions(**options), is_json=is_json)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_a_sweep_says_how_many_instances_a_rate_needs(waiting: dict[str, object]) -> None:
    text = answer(waiting)
    assert "YES: digits answers 1200 requests/s with 3 instances" in text
    assert "--vary models.digits.instance_group.count=3" in text
    assert "or 5 replicas of the server as it is configured, 1 of which may be down" in text
    assert "with the spare ones down         4" in text
    plan = json.loads(answer(waiting, is_json=True))
    assert plan["found"]["instances"] == 3
    assert plan["models"] == ["digits"]


def test_recorded_requests_need_no_lengths(waiting: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "trace.txt").write_text("".join(f"{place / 400}\n" for place in range(800)))
    assert "answers 400 requests/s with" in answer({**waiting, "rate": None, "trace": tmp_path / "trace.txt"})


def test_a_sweep_of_another_model_is_told_from_the_repositorys_models(waiting: dict[str, object]) -> None:
    models = waiting["model"]
    assert isinstance(models, Path)
    (models / "digits").rename(models / "other")
    with pytest.raises(UsageError, match=r"is a sweep of 'digits', and .* has no such model") as refused:
        answer(waiting)
    assert refused.value.hint == "sweep a model of it: other"


def test_a_folder_without_a_sweep_says_what_it_lacks(waiting: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no sweep in .*empty: it has no sweep\.json") as refused:
        answer({**waiting, "calibrate": (tmp_path / "empty",)})
    assert "tritonsmith sweep MODEL" in (refused.value.hint or "")


def test_a_folder_without_models_is_no_repository(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    assert cli.answer_of_others(PlanOptions(model=tmp_path), is_json=False) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"calibrate": ()}, "from the times of one sweep"),
        ({"rate": None}, "planned for one traffic"),
        ({"gpus": ("L4",)}, "--gpu is about a language model's own files"),
        ({"write": Path("x.yaml")}, "--write is about a language model's own files"),
    ],
)
def test_what_does_not_go_with_a_repository_is_refused(
    waiting: dict[str, object], given: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        answer({**waiting, **given})


def test_an_onnx_file_is_told_by_its_memory_on_each_gpu() -> None:
    text = answer({"model": DIGITS, "gpus": ("T4", "L4")})
    assert [line.split()[:2] for line in text.splitlines()[3:5]] == [["T4", "yes"], ["L4", "yes"]]
    assert "initializers" in text
    assert "KV cache" not in text
    held = json.loads(answer({"model": DIGITS, "gpus": ("T4",)}, is_json=True))["gpus"]["T4"]
    total = sum(part["bytes"]["value"] for part in held["parts"]) + held["free_bytes"]["value"]
    assert total == pytest.approx(held["gpu_bytes"])


def test_a_file_alone_says_nothing_about_times() -> None:
    with pytest.raises(UsageError, match="a file does not say how long it takes"):
        answer({"model": DIGITS, "rate": 5.0})
    with pytest.raises(UsageError, match="--write is about a language model's own files"):
        answer({"model": DIGITS, "write": Path("x.yaml")})
