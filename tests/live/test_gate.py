"""Gates of real models on real servers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tritonsmith.backends.client.made_up import made_up_rows
from tritonsmith.generator import console
from tritonsmith.generator.errors import ServerError
from tritonsmith.perf.gate.core import Side
from tritonsmith.perf.gate.document import Gate, GatePlan
from tritonsmith.perf.gate.run import run_gate
from tritonsmith.perf.gate.session import run_against_stored, store_session
from tritonsmith.perf.gate.setup import Wish
from tritonsmith.perf.measure.input_data import write_input_data
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.sweep import find_analyzer
from tritonsmith.perf.target import Target

pytestmark = [pytest.mark.live, pytest.mark.slow]
WriteModel = Callable[..., Path]
DOUBLING = """import time
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        time.sleep({sleep_s})
        tensors = [pb.get_input_tensor_by_name(request, "x").as_numpy() * {factor} for request in requests]
        return [pb.InferenceResponse([pb.Tensor("y", tensor)]) for tensor in tensors]
"""


@pytest.fixture
def compare(tmp_path: Path, write_model: WriteModel) -> Callable[..., Gate]:
    """A function from the code of both sides' model to their gate."""

    def run(baseline: str | None, candidate: str | None, *, budget_s: float, candidate_name: str = "double") -> Gate:
        repositories: dict[Side, Path] = {"baseline": tmp_path / "a", "candidate": tmp_path / "b"}
        write_model(repositories["baseline"], "double", baseline)
        write_model(repositories["candidate"], candidate_name, candidate)

        def write(model: str, target: Target) -> tuple[Path, str]:
            rows = made_up_rows(target.control.metadata(model), target.control.config(model))
            return write_input_data(tmp_path / "input.json", rows), ""

        plan = GatePlan("", (Load("concurrency", 2),), budget_s=budget_s)
        wish = Wish(plan, {"baseline": "a", "candidate": "b"}, repositories, write, 0.001)
        with console.progress("gate") as progress:
            return run_gate(wish, find_analyzer(), tmp_path, progress)

    return run


def code(sleep_s: float = 0.002, factor: int = 2) -> str:
    return DOUBLING.format(sleep_s=sleep_s, factor=factor)


def test_a_candidate_three_times_slower_regresses_at_the_first_look(
    compare: Callable[..., Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tritonsmith.perf.gate.refusals.FOREIGN_LIMIT", 9.0)  # other tests may run beside
    gate = compare(code(0.004), code(0.012), budget_s=240)
    [p50] = [one for one in gate.verdict.comparisons if one.metric == "p50"]
    assert (p50.word, gate.verdict.word, gate.verdict.pairs) == ("regress", "regress", 8)
    assert 1.5 < p50.slowdown < 4
    assert len(gate.runs) == 8 * 8
    assert {run.failed_requests for run in gate.runs} == {0}
    assert gate.baseline.identity != gate.candidate.identity


def test_wrong_outputs_regress_before_anything_is_measured(compare: Callable[..., Gate]) -> None:
    gate = compare(code(), code(factor=3), budget_s=60)
    assert gate.verdict.word == "regress"
    assert gate.verdict.reasons[0].startswith(
        "wrong outputs: candidate, the first rows of the input: row 1, output 'y'"
    )
    assert gate.runs == ()


def test_a_candidate_that_does_not_load_regresses(compare: Callable[..., Gate]) -> None:
    gate = compare(code(), "raise ValueError('no weights here')", budget_s=60)
    assert gate.verdict.word == "regress"
    assert "missing point: candidate, it does not serve" in gate.verdict.reasons[0]
    assert "no weights here" in gate.verdict.reasons[0]


def test_a_candidate_without_the_model_regresses(compare: Callable[..., Gate]) -> None:
    gate = compare(code(), code(), budget_s=60, candidate_name="triple")
    assert gate.verdict.reasons == ("missing point: candidate, double: the candidate does not have this model",)


def test_a_candidate_whose_requests_fail_regresses(compare: Callable[..., Gate]) -> None:
    failing = code().replace("time.sleep", "raise ValueError('out of coffee')\n        time.sleep")
    gate = compare(code(), failing, budget_s=60)
    assert gate.verdict.word == "regress"
    assert gate.verdict.reasons[0].startswith("errors: candidate")


def test_a_baseline_that_does_not_load_is_the_baseline_s_error(compare: Callable[..., Gate]) -> None:
    with pytest.raises(ServerError, match="no weights here"):
        compare("raise ValueError('no weights here')", code(), budget_s=60)


def test_out_of_time_it_is_inconclusive(compare: Callable[..., Gate]) -> None:
    gate = compare(code(), code(), budget_s=10)
    assert gate.verdict.word == "inconclusive"
    assert gate.verdict.pairs < 8


def test_a_stored_baseline_says_what_one_session_can_show(
    tmp_path: Path, write_model: WriteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tritonsmith.perf.gate.session.GENERATIONS", 2)
    monkeypatch.setattr("tritonsmith.perf.gate.refusals.FOREIGN_LIMIT", 9.0)  # other tests may run beside

    def wish(factor: int) -> Wish:
        repository = tmp_path / f"times-{factor}"
        write_model(repository, "double", code(factor=factor))
        plan = GatePlan("", (Load("concurrency", 2),), budget_s=60)
        return Wish(plan, {"candidate": f"times {factor}"}, {"candidate": repository}, write, 0.001)

    def write(model: str, target: Target) -> tuple[Path, str]:
        rows = made_up_rows(target.control.metadata(model), target.control.config(model))
        return write_input_data(tmp_path / "input.json", rows), ""

    path, same = tmp_path / "baseline.json", wish(2)
    with console.progress("gate") as progress:
        stored = store_session(same, find_analyzer(), tmp_path, progress, path)
        again = run_against_stored(same, find_analyzer(), tmp_path, progress, path)
        wrong = run_against_stored(wish(3), find_analyzer(), tmp_path, progress, path)
    assert len(stored.sessions) == 1
    assert again.verdict.word == "inconclusive"
    assert again.stored_sessions == 1
    assert {run.side for run in again.runs} == {"candidate"}
    assert [one.log_ratios for one in again.verdict.comparisons if one.metric == "p50" and len(one.log_ratios) == 2]
    assert wrong.verdict.word == "regress"
    assert wrong.verdict.reasons[0].startswith("wrong outputs: candidate")
    assert wrong.runs == ()
