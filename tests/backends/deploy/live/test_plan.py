"""The plan of a roll-out: pure data, from what is wanted, what lies before the server, and what runs."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.deploy.live.core import Content, Running, Wanted
from tritonsmith.backends.deploy.live.folder import grouped
from tritonsmith.backends.deploy.live.plan import affected, compare, numbered_by_user, require_wiring
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


def test_an_ensemble_that_stays_may_not_lose_a_tensor_of_its_step() -> None:
    running = {"e": runs(ensemble("e", "m"), 1), "m": runs(M, 1)}
    renamed = config('input { name: "x" } output { name: "w" }')
    with pytest.raises(RepositoryError, match="output 'y' of 'm'"):
        require_wiring({"m": renamed}, running)
    require_wiring({"m": renamed, "e": ensemble("e", "m")}, running)


def test_above_a_model_are_its_ensembles_and_its_callers() -> None:
    models = {"m": M, "e": ensemble("e", "m"), "outer": ensemble("outer", "e"), "caller": config(name="caller"), "n": M}
    running = {name: runs(model, 1) for name, model in models.items()}
    known = {"caller": wanted(models["caller"], None, "outer")}
    assert affected(["m"], running, known) == ["e", "outer", "caller"]


def test_an_ensemble_and_its_steps_change_at_once_and_others_alone() -> None:
    models = {"a": config(name="a"), "b": config(name="b"), "c": config(name="c"), "e": ensemble("e", "a", "c")}
    known = {name: wanted(model) for name, model in models.items()}
    steps = [compare(one, None, Running({}), is_numbered=False) for one in known.values()]
    assert [[step.model for step in group] for group in grouped(steps, known)] == [["b"], ["a", "c", "e"]]


def test_a_step_says_what_it_was() -> None:
    step = compare(wanted(M), None, runs(M, 1), is_numbered=False)
    assert step.why == ("not known to be the same",)
    assert replace(step, why=()).numbers == {1: 2}
