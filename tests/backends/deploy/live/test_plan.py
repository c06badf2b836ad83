"""The plan of a roll-out: pure data, from what is wanted, what lies before the server, and what runs."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.deploy.live.core import Content, Running, Wanted
from tritonsmith.backends.deploy.live.folder import grouped
from tritonsmith.backends.deploy.live.plan import affected, compare, numbered_by_user
from tritonsmith.backends.deploy.live.seams import require_wiring
from tritonsmith.generator.errors import RepositoryError


def config(text: str = "", name: str = "m") -> ModelConfig:
    return text_format.Parse(f'name: "{name}" backend: "python" {text}', ModelConfig())


def ensemble(name: str, *steps: str, version: int = -1) -> ModelConfig:
    inner = " ".join(
        f'step {{ model_name: "{step}" model_version: {version} input_map {{ key: "x" value: "x" }} '
        f'output_map {{ key: "y" value: "y" }} }}'
        for step in steps
    )
    return text_format.Parse(f'name: "{name}" platform: "ensemble" ensemble_scheduling {{ {inner} }}', ModelConfig())


def wanted(model: ModelConfig, versions: Mapping[int, str] | None = None, *calls: str) -> Wanted:
    return Wanted(model.name, Content(model, versions or {1: "new"}, "rest"), {}, "text", calls)


def runs(model: ModelConfig, *versions: int) -> Running:
    return Running(dict.fromkeys(versions, "READY"), model)


M = config()


def test_what_runs_as_wanted_needs_no_step() -> None:
    step = compare(wanted(M), Content(M, {1: "new"}, "rest"), runs(M, 1), is_numbered=False)
    assert step.why == ()


def test_other_files_become_the_next_version_beside_the_old_one() -> None:
    step = compare(wanted(M), Content(M, {1: "old", 2: "older"}, "rest"), runs(M, 2), is_numbered=False)
    assert (step.numbers, step.expected, step.before, step.fresh) == ({1: 3}, (3,), (2,), (3,))
    assert step.why == ("version 3 is new, beside 2",)


def test_a_version_of_which_the_index_still_speaks_is_not_used_again() -> None:
    running = Running({1: "READY", 4: "UNAVAILABLE"}, M)
    assert compare(wanted(M), Content(M, {1: "old"}, "rest"), running, is_numbered=False).expected == (5,)


def test_a_configuration_alone_makes_no_version() -> None:
    changed = config("max_batch_size: 8")
    step = compare(wanted(changed), Content(M, {3: "new"}, "rest"), runs(M, 3), is_numbered=False)
    assert (step.numbers, step.fresh, step.why) == ({1: 3}, (), ("max_batch_size: 0 -> 8",))


def test_what_somebody_has_overridden_is_served_otherwise() -> None:
    step = compare(
        wanted(M),
        Content(M, {1: "new"}, "rest"),
        runs(config("metric_tags { key: 'a' value: 'b' }"), 1),
        is_numbered=False,
    )
    assert step.is_overridden
    assert step.why[0].startswith("served otherwise: metric_tags")


def test_what_lies_there_and_does_not_run_is_loaded() -> None:
    running = Running({1: "UNAVAILABLE"})
    step = compare(wanted(M), Content(M, {1: "new"}, "rest"), running, is_numbered=False)
    assert step.why == ("not served: version 1 is UNAVAILABLE",)


@pytest.mark.parametrize(
    "model",
    [
        wanted(config("version_policy { all {} }")),
        wanted(M, {1: "a", 2: "b"}),
        wanted(ensemble("m", "n")),
    ],
    ids=["version policy", "two versions", "ensemble"],
)
def test_numbers_that_mean_something_stay(model: Wanted) -> None:
    assert numbered_by_user({"m": model}) == {"m"}
    step = compare(model, None, Running({}), is_numbered=True)
    assert step.numbers == {version: version for version in model.content.versions}


def test_so_do_those_that_an_ensemble_asks_for() -> None:
    assert "m" in numbered_by_user({"m": wanted(M), "e": wanted(ensemble("e", "m", version=1))})


TENSORS = 'input { name: "x" data_type: TYPE_FP32 dims: 4 } output { name: "y" data_type: TYPE_FP32 dims: 4 }'
STEP = config(TENSORS)


@pytest.mark.parametrize(("old", "new"), [('"y"', '"w"'), ("TYPE_FP32", "TYPE_FP16"), ("dims: 4", "dims: 5")])
def test_a_tensor_between_a_step_and_a_running_ensemble_stays_as_it_is(old: str, new: str) -> None:
    running = {"e": runs(ensemble("e", "m"), 1), "m": runs(STEP, 1)}
    other = config(TENSORS.replace(old, new))
    with pytest.raises(RepositoryError, match=r"which runs, maps the (in|out)put"):
        require_wiring({"m": other}, running, is_forced=True)
    with pytest.raises(RepositoryError, match="until the new one is there"):
        require_wiring({"m": other, "e": ensemble("e", "m")}, running, is_forced=False)
    require_wiring({"m": other, "e": ensemble("e", "m")}, running, is_forced=True)
    require_wiring({"m": STEP}, running, is_forced=False)


def test_above_a_model_are_its_ensembles_and_its_callers() -> None:
    models = {"m": M, "e": ensemble("e", "m"), "outer": ensemble("outer", "e"), "caller": config(name="caller"), "n": M}
    running = {name: runs(model, 1) for name, model in models.items()}
    known = {"caller": wanted(models["caller"], None, "outer")}
    assert affected(["m"], running, known) == ["e", "outer", "caller"]


def test_those_of_a_pair_are_changed_together_where_the_last_of_them_stands() -> None:
    steps = [compare(wanted(config(name=name)), None, Running({}), is_numbered=False) for name in "abce"]
    groups = grouped(steps, [("e", "a"), ("e", "c"), ("e", "gone")])
    assert [[step.model for step in group] for group in groups] == [["b"], ["a", "c", "e"]]


def test_a_step_says_what_it_was() -> None:
    step = compare(wanted(M), None, runs(M, 1), is_numbered=False)
    assert step.why == ("not known to be the same",)
    assert replace(step, why=()).numbers == {1: 2}
