from collections.abc import Callable

import pytest

from tritonsmith.generator.findings import Finding, Severity

Judge = Callable[..., list[Finding]]

PLAIN = """backend: "python"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [4] }
output { name: "y" data_type: TYPE_FP32 dims: [4] }
"""
FLAG = "kind: CONTROL_SEQUENCE_START int32_false_true: [0, 1]"
ID = "kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64"


def sequences(settings: str) -> str:
    return f"{PLAIN}sequence_batching {{\n{settings}\n}}"


def control(settings: str, name: str = "A") -> str:
    return f'control_input {{ name: "{name}" control {{ {settings} }} }}'


@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        (control(FLAG, ""), "TS421", "a control input without a name"),
        (control(FLAG) + control(ID), "TS422", "a second control input 'A'"),
        (control(FLAG) + control(FLAG, "B"), "TS423", "a second tensor for CONTROL_SEQUENCE_START"),
        (control(ID) + control(ID, "B"), "TS423", "a second tensor for CONTROL_SEQUENCE_CORRID"),
        (control("kind: CONTROL_SEQUENCE_READY"), "TS424", "CONTROL_SEQUENCE_READY does not say"),
        (control(f"{FLAG} bool_false_true: [false, true]"), "TS425", "int32_false_true and bool_false_true"),
        (control("fp32_false_true: [0, 1, 2]"), "TS426", "fp32_false_true has 3 entries"),
        (control("bool_false_true: [true]"), "TS426", "bool_false_true has 1 entries"),
        (control(ID.replace("UINT64", "FP32")), "TS427", "the correlation id has TYPE_FP32"),
        (control("kind: CONTROL_SEQUENCE_CORRID"), "TS427", "the correlation id has no data_type"),
        (control(f"{ID} int32_false_true: [0, 1]"), "TS428", "CONTROL_SEQUENCE_CORRID has int32_false_true"),
        ("oldest { preferred_batch_size: [0] }", "TS429", "preferred batch size 0 is below 1"),
        ("oldest { preferred_batch_size: [9] }", "TS430", "preferred batch size 9 is above max_batch_size (8)"),
        ("direct { minimum_slot_utilization: -0.1 }", "TS431", "minimum_slot_utilization -0.1"),
        ("direct { minimum_slot_utilization: 1.1 }", "TS431", "minimum_slot_utilization 1.1"),
    ],
)
def test_the_sequence_batcher_can_do_what_it_is_asked_to(judge: Judge, settings: str, code: str, message: str) -> None:
    (found,) = judge(sequences(settings))
    assert (found.code, found.place.line, found.severity) == (code, 6, Severity.ERROR)
    assert message in found.message


@pytest.mark.parametrize(
    "settings",
    [
        control(FLAG) + control(FLAG.replace("START", "END"), "B") + control(ID, "C"),
        control(ID.replace("UINT64", "STRING")),
        control("kind: 99") + control("kind: 99", "B"),
        f'control_input {{ name: "A" control {{ {FLAG} }} control {{ {FLAG.replace("START", "END")} }} }}',
        "oldest { preferred_batch_size: [4, 8] }",
        "direct { minimum_slot_utilization: 0 }",
        "direct { minimum_slot_utilization: nan }",
    ],
)
def test_what_the_sequence_batcher_can_do_is_fine(judge: Judge, settings: str) -> None:
    assert judge(sequences(settings)) == []


@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        ("oldest { max_candidate_sequences: -3 }", "TS432", "max_candidate_sequences -3 is taken for 0"),
        (control(FLAG, "x"), "TS433", "control input 'x' is also an input"),
        ('control_input { name: "A" }', "TS434", "control input 'A' says no control"),
    ],
)
def test_what_triton_takes_silently_is_told(judge: Judge, settings: str, code: str, message: str) -> None:
    (found,) = judge(sequences(settings))
    assert (found.code, found.severity) == (code, Severity.WARNING)
    assert message in found.message
