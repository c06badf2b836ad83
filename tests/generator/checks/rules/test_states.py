from collections.abc import Callable

import pytest

from tritonsmith.generator.findings import Finding, Phase, Severity

Judge = Callable[..., list[Finding]]

PLAIN = """backend: "python"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [4] }
output { name: "y" data_type: TYPE_FP32 dims: [4] }
"""
STATE = 'input_name: "i" output_name: "o" data_type: TYPE_FP32 dims: [4]'
INITIAL = 'name: "z" data_type: TYPE_FP32 dims: [4] zero_data: true'
FROM_FILE = INITIAL.replace("zero_data: true", 'data_file: "f"')
GROWING = "use_growable_memory: true use_same_buffer_for_input_output: true"


def states(*settings: str) -> str:
    return f"{PLAIN}sequence_batching {{\n{' '.join(f'state {{ {state} }}' for state in settings)}\n}}"


def begun(initial: str, state: str = STATE) -> str:
    return f"{state} initial_state {{ {initial} }}"


@pytest.mark.parametrize(
    ("config", "code", "message"),
    [
        (states(f"{begun(INITIAL)} initial_state {{ {INITIAL} }}"), "TS435", "state 'i' has 2 initial states"),
        (states(begun(INITIAL.replace("FP32", "INT8"))), "TS436", "has TYPE_INT8, the state TYPE_FP32"),
        (states(begun(INITIAL.replace('name: "z"', ""))), "TS437", "the initial state of 'i' has no name"),
        (states(begun(INITIAL.replace("[4]", "[4, 1]"))), "TS439", "has dims [4, 1], the state [4]"),
        (states(begun(INITIAL.replace("[4]", "[-1]"))), "TS440", "has variable dims [-1]"),
        (states(begun(INITIAL.replace("[4]", "[5]"))), "TS441", "has 5 where the state has 4"),
        (states(begun(INITIAL.replace("zero_data: true", ""))), "TS442", "the initial state of 'i' has no data"),
        (states(begun(FROM_FILE)), "TS443", "'f' has 3 bytes, the initial state of 'i' 16"),
    ],
)
def test_an_initial_state_is_a_value_of_the_state(judge: Judge, config: str, code: str, message: str) -> None:
    (found,) = judge(config, {"initial_state/f": b"abc"})
    assert (found.code, found.place.line, found.phase) == (code, 6, Phase.LOAD)
    assert message in found.message


@pytest.mark.parametrize(
    "config",
    [
        states(STATE),
        states(begun(INITIAL)),
        states(begun(INITIAL.replace("true", "false"))),
        states(begun(FROM_FILE)),
        states(begun(INITIAL, STATE.replace("[4]", "[-1]"))),
        states(STATE.replace("FP32", "STRING")),
    ],
)
def test_states_that_can_be_kept_are_fine(judge: Judge, config: str) -> None:
    assert judge(config, {"initial_state/f": bytes(17)}) == []


def test_two_states_with_one_input_begin_once(judge: Judge) -> None:
    other = STATE.replace('"o"', '"p"')
    findings = judge(states(begun(INITIAL), begun(INITIAL, other)))
    assert [(found.code, found.severity) for found in findings] == [
        ("TS438", Severity.ERROR),
        ("TS447", Severity.WARNING),
    ]


def test_memory_of_a_negative_size_is_asked_for_before_26_03(judge: Judge) -> None:
    config = states(begun(INITIAL.replace("[4]", "[-2]"), STATE.replace("[4]", "[-1]")))
    assert [(found.code, found.phase) for found in judge(config)] == [("TS450", Phase.CRASH)]
    assert [(found.code, found.phase) for found in judge(config, release="26.03")] == [("TS444", Phase.LOAD)]


@pytest.mark.parametrize(
    ("state", "code", "phase", "message"),
    [
        (STATE.replace('input_name: "i"', ""), "TS445", Phase.REQUEST, "a state without input_name"),
        (STATE.replace("data_type: TYPE_FP32", ""), "TS445", Phase.REQUEST, "state 'i' has no data_type"),
        (STATE.replace("[4]", "[-2]"), "TS445", Phase.REQUEST, "its memory cannot be allocated"),
        (STATE.replace('output_name: "o"', ""), "TS446", None, "it keeps its first value"),
        (f"{STATE} {GROWING}", "TS449", Phase.REQUEST, "works with KIND_GPU alone"),
    ],
)
def test_what_goes_wrong_at_the_first_request_is_told(
    judge: Judge, state: str, code: str, phase: Phase | None, message: str
) -> None:
    (found,) = judge(states(state))
    assert (found.code, found.phase) == (code, phase)
    assert message in found.message


def test_growing_states_share_their_memory(judge: Judge) -> None:
    config = states(f"{STATE} {GROWING}")
    assert judge(config, gpus=1) == []
    assert judge(config, gpus=None) == []
    apart = config.replace("use_same_buffer_for_input_output: true", "")
    assert [(found.code, found.phase) for found in judge(apart, gpus=1)] == [("TS448", Phase.REQUEST)]


def test_states_are_told_apart_by_both_names(judge: Judge) -> None:
    assert judge(states(STATE, STATE.replace('"i"', '"j"').replace('"o"', '"p"'))) == []
    assert [found.code for found in judge(states(STATE, STATE.replace('"i"', '"j"')))] == ["TS447"]
