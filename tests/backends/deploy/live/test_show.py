"""What a roll-out shows to people and to machines."""

from tritonsmith.backends.deploy.live.core import Change, Plan, Running, Unit
from tritonsmith.backends.deploy.live.observe import Server
from tritonsmith.backends.deploy.live.rollout import RollOut
from tritonsmith.backends.deploy.live.show import as_json, as_text

PLAN = Plan((Unit((Change("m", ("new",), {1: 2}, (2,), (1,)),), ("m",)),), others=("theirs",))


def done(*notes: str, is_dry: bool = False, **unproven: str) -> RollOut:
    running = {"m": Running({1: "READY"}, requests=1234)}
    return RollOut(Server("triton", "2.51.0"), "gpu1:8000", PLAN, running, notes, unproven, is_dry)


def test_what_is_verified_is_said_and_what_is_only_planned() -> None:
    text = as_text(done())
    assert text.splitlines()[1].split() == ["m", "1", "1,234", "2", "new"]
    assert "left alone, unknown to the repository: theirs" in text
    assert text.endswith("1 model rolled out to gpu1:8000 and verified")
    assert as_text(done(is_dry=True)).endswith("1 model would be changed on gpu1:8000")


def test_a_model_that_refuses_all_it_was_asked_is_not_called_verified() -> None:
    refused = done(m="no image")
    *_, last, why = as_text(refused).splitlines()
    assert last == "1 model rolled out to gpu1:8000 and served"
    assert why == "not proven: 'm' refuses every made-up request (no image); give one with --smoke"
    assert as_json(refused)["unproven"] == {"m": "no image"}


def test_a_machine_gets_the_changes_in_their_order() -> None:
    found = as_json(done("a note"))
    change = {"model": "m", "why": ["new"], "versions_before": [1], "versions_after": [2], "numbers": {"1": 2}}
    assert found["units"] == [{"loads": ["m"], "changes": [change]}]
    assert (found["done"], found["notes"], found["unproven"]) == (True, ["a note"], {})
