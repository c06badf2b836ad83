"""The plan of a roll-out: pure data, from what is wanted, what lies before the server, and what runs."""

from collections.abc import Mapping, Sequence

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.deploy.live.core import Change, Content, Running, Unit, Wanted
from tritonsmith.backends.deploy.live.folder import grouped
from tritonsmith.backends.deploy.live.plan import affected, compare, make_plan, numbered_by_user, ordered
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
    change = compare(wanted(M), Content(M, {1: "new"}, "rest"), runs(M, 1), is_numbered=False)
    assert change.why == ()


def test_other_files_become_the_next_version_beside_the_old_one() -> None:
    change = compare(wanted(M), Content(M, {1: "old", 2: "older"}, "rest"), runs(M, 2), is_numbered=False)
    assert (change.numbers, change.expected, change.before, change.fresh) == ({1: 3}, (3,), (2,), (3,))
    assert change.why == ("version 3 is new, beside 2",)


def test_a_version_of_which_the_index_still_speaks_is_not_used_again() -> None:
    running = Running({1: "READY", 4: "UNAVAILABLE"}, M)
    assert compare(wanted(M), Content(M, {1: "old"}, "rest"), running, is_numbered=False).expected == (5,)


def test_a_configuration_alone_makes_no_version() -> None:
    changed = config("max_batch_size: 8")
    change = compare(wanted(changed), Content(M, {3: "new"}, "rest"), runs(M, 3), is_numbered=False)
    assert (change.numbers, change.fresh, change.why) == ({1: 3}, (), ("max_batch_size: 0 -> 8",))


def test_what_somebody_has_overridden_is_served_otherwise() -> None:
    change = compare(
        wanted(M),
        Content(M, {1: "new"}, "rest"),
        runs(config("metric_tags { key: 'a' value: 'b' }"), 1),
        is_numbered=False,
    )
    assert change.is_overridden
    assert change.why[0].startswith("served otherwise: metric_tags")


def test_what_lies_there_and_does_not_run_is_loaded() -> None:
    running = Running({1: "UNAVAILABLE"})
    change = compare(wanted(M), Content(M, {1: "new"}, "rest"), running, is_numbered=False)
    assert change.why == ("not served: version 1 is UNAVAILABLE",)


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
    change = compare(model, None, Running({}), is_numbered=True)
    assert change.numbers == {version: version for version in model.content.versions}


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
    changes = [compare(wanted(config(name=name)), None, Running({}), is_numbered=False) for name in "abce"]
    groups = grouped(changes, [("e", "a"), ("e", "c"), ("e", "gone")])
    assert [[change.model for change in group] for group in groups] == [["b"], ["a", "c", "e"]]


def test_a_step_says_what_it_was() -> None:
    change = compare(wanted(M), None, runs(M, 1), is_numbered=False)
    assert (change.why, change.numbers) == (("not known to be the same",), {1: 2})


class There:
    """A channel at whose end all that is wanted lies already."""

    def present(self, wanted: Mapping[str, Wanted], running: Mapping[str, Running]) -> dict[str, Content]:
        return {name: model.content for name, model in wanted.items()}

    def units(self, changes: Sequence[Change], *_: object) -> tuple[Unit, ...]:
        return tuple(Unit((change,), (change.model,)) for change in changes)


def test_a_version_that_is_served_on_and_no_longer_wanted_is_said() -> None:
    every = config("version_policy { all {} }")
    plan = make_plan({"m": wanted(every, {2: "new"})}, {"m": runs(every, 1, 2)}, There())  # type: ignore[arg-type]
    assert (plan.units, plan.notes) == ((), ("'m' serves version 1 too, which the repository lacks",))


def sized(name: str, size: int, *steps: str) -> ModelConfig:
    model = ensemble(name, *steps) if steps else config(name=name)
    model.max_batch_size = size
    return model


def test_what_a_model_calls_is_loaded_before_it_an_ensemble_too() -> None:
    models = {"s": wanted(M), "e": wanted(ensemble("e", "s")), "caller": wanted(M, None, "e")}
    assert ordered(models, models, {}) == ["s", "e", "caller"]


def test_an_ensemble_grows_after_its_steps_and_shrinks_before_them_but_after_new_ones() -> None:
    def models(size: int, *steps: str) -> dict[str, ModelConfig]:
        return {**{step: sized(step, size) for step in steps}, "e": sized("e", size, *steps)}

    small, large = models(4, "a"), models(8, "a")
    more = {name: wanted(one) for name, one in models(4, "a", "fresh").items()}
    assert ordered(small, {n: wanted(c) for n, c in large.items()}, {n: runs(c, 1) for n, c in small.items()}) == [
        "a",
        "e",
    ]
    assert ordered(more, more, {n: runs(c, 1) for n, c in large.items()}) == ["fresh", "e", "a"]


def test_ensembles_in_ensembles_shrink_from_the_outside() -> None:
    def models(size: int) -> dict[str, ModelConfig]:
        return {"s": sized("s", size), "inner": sized("inner", size, "s"), "outer": sized("outer", size, "inner")}

    new = {name: wanted(one) for name, one in models(4).items()}
    assert ordered(new, new, {name: runs(one, 1) for name, one in models(8).items()}) == ["outer", "inner", "s"]


def test_models_that_call_each_other_have_some_order() -> None:
    models = {"a": wanted(config(name="a"), None, "b"), "b": wanted(config(name="b"), None, "a")}
    assert sorted(ordered(models, models, {})) == ["a", "b"]
