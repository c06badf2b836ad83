from collections.abc import Callable

import pytest

from tritonsmith.generator.findings import Finding, Severity

Judge = Callable[..., list[Finding]]

TENSORS = """backend: "python"
input { name: "x" data_type: TYPE_FP32 dims: [4] }
output { name: "y" data_type: TYPE_FP32 dims: [4] }
"""
PLAIN = f"{TENSORS}max_batch_size: 8\n"


def batched(settings: str) -> str:
    return f"{PLAIN}dynamic_batching {{\n{settings}\n}}"


def oldest(settings: str) -> str:
    return f"{PLAIN}sequence_batching {{ oldest {{\n{settings}\n}} }}"


SLOW = "max_queue_delay_microseconds: 300000"
LEVELS = "priority_levels: 3 default_priority_level: 1"
POLICY = "priority_queue_policy {{ key: {} value {{ {} }} }}"
LATE = "timeout_action: DELAY default_timeout_microseconds: 5"


@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        ("preferred_batch_size: [4, 9]", "TS401", "preferred batch size 9 is above max_batch_size (8)"),
        ("preferred_batch_size: [0]", "TS406", "preferred batch size 0 is below 1"),
        ("priority_levels: 3 default_priority_level: 4", "TS407", "default_priority_level 4"),
        (f"{LEVELS} {POLICY.format(0, '')}", "TS408", "a queue policy is for priority 0"),
        (f"{LEVELS} {POLICY.format(4, '')}", "TS408", "a queue policy is for priority 4"),
        (f"{LEVELS} preserve_ordering: true", "TS409", "preserve_ordering with 3 priority levels"),
        (f"preserve_ordering: true default_queue_policy {{ {LATE} }}", "TS410", "DELAY with preserve_ordering"),
    ],
)
def test_the_batcher_can_do_what_it_is_asked_to(judge: Judge, settings: str, code: str, message: str) -> None:
    (found,) = [one for one in judge(batched(settings)) if one.severity is Severity.ERROR]
    assert (found.code, found.place.line) == (code, 6)
    assert message in found.message


@pytest.mark.parametrize(
    "settings",
    [
        "preferred_batch_size: [8, 4, 4]",
        f"{LEVELS} {POLICY.format(3, 'max_queue_size: 2')}",
        "preserve_ordering: true priority_levels: 1 default_priority_level: 1",
        "default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 5 }",
        "default_queue_policy { allow_timeout_override: true default_timeout_microseconds: 5 }",
        "max_queue_delay_microseconds: 100",
    ],
)
def test_what_the_batcher_can_do_is_fine(judge: Judge, settings: str) -> None:
    assert [found for found in judge(batched(settings)) if found.code != "TS418"] == []


@pytest.mark.parametrize(
    "config",
    [
        batched("max_queue_delay_microseconds: 99999"),
        batched(f"preferred_batch_size: [1, 8] {SLOW}"),
        batched(SLOW).replace("max_batch_size: 8", "max_batch_size: 1"),
        oldest("max_queue_delay_microseconds: 5000"),
        f"{PLAIN}sequence_batching {{ direct {{ {SLOW} }} }}",
    ],
)
def test_a_delay_that_is_short_or_without_effect_is_fine(judge: Judge, config: str) -> None:
    assert judge(config) == []


def test_a_default_priority_must_be_chosen(judge: Judge) -> None:
    (found,) = judge(batched("priority_levels: 3"))
    assert (found.code, found.place.line) == ("TS407", 5)
    assert "default_priority_level 0 is not from 1 to priority_levels (3)" in found.message


def test_a_policy_of_a_priority_keeps_the_order_too(judge: Judge) -> None:
    one = "preserve_ordering: true priority_levels: 1 default_priority_level: 1"
    findings = judge(batched(f"{one} {POLICY.format(1, LATE)}"))
    assert [found.code for found in findings if found.severity is Severity.ERROR] == ["TS410"]


def test_a_batch_limit_below_0_is_none(judge: Judge) -> None:
    (found,) = judge(f"{TENSORS}max_batch_size: -1")
    assert (found.code, found.place.line) == ("TS405", 4)


def test_a_limit_that_a_backend_would_complete_does_not_count_yet(judge: Judge) -> None:
    config = 'platform: "tensorrt_plan"\ndynamic_batching { preferred_batch_size: [4] }'
    assert [found.code for found in judge(config)] == ["TS401"]


@pytest.mark.parametrize(
    ("config", "code", "severity", "message"),
    [
        (f"{TENSORS}dynamic_batching {{}}", "TS402", Severity.WARNING, "without max_batch_size batches nothing"),
        (PLAIN, "TS403", Severity.WARNING, "max_batch_size 8 without a batcher"),
        (
            batched("default_queue_policy { allow_timeout_override: true }"),
            "TS411",
            Severity.WARNING,
            "the timeouts of requests are ignored",
        ),
        (batched("default_priority_level: 5"), "TS412", Severity.WARNING, "default_priority_level without"),
        (batched(POLICY.format(7, "")), "TS412", Severity.WARNING, "priority_queue_policy without priority_levels"),
        (batched("preferred_batch_size: [4]"), "TS413", Severity.WARNING, "up to 4 cap batches: max_batch_size is 8"),
        (batched("max_queue_delay_microseconds: 2000000"), "TS414", Severity.WARNING, "a lone request waits 2 s"),
        (batched("max_queue_delay_microseconds: 300000"), "TS414", Severity.WARNING, "a lone request waits 0.3 s"),
        (oldest("max_queue_delay_microseconds: 100000"), "TS414", Severity.WARNING, "a lone request waits 0.1 s"),
        (
            f"{PLAIN}sequence_batching {{ direct {{ minimum_slot_utilization: 1 {SLOW} }} }}",
            "TS414",
            Severity.WARNING,
            "a lone request waits 0.3 s",
        ),
        (
            batched("preferred_batch_size: [2, 4] max_queue_delay_microseconds: 100"),
            "TS413",
            Severity.NOTE,
            "neither cap batches at 4 nor make them so",
        ),
        (
            batched("preferred_batch_size: [4]").replace('"python"', '"tensorrt"'),
            "TS413",
            Severity.NOTE,
            "up to 4 cap batches",
        ),
        (
            batched("default_queue_policy { default_timeout_microseconds: 5 }"),
            "TS418",
            Severity.NOTE,
            "timeouts are looked at when a batch is formed",
        ),
        (batched("default_queue_policy { timeout_action: DELAY }"), "TS417", Severity.NOTE, "no request times out"),
    ],
)
def test_what_triton_takes_silently_is_told(
    judge: Judge, config: str, code: str, severity: Severity, message: str
) -> None:
    (found,) = judge(config)
    assert (found.code, found.severity) == (code, severity)
    assert message in found.message


def test_a_model_that_does_not_batch_needs_no_batcher(judge: Judge) -> None:
    assert judge(f"{TENSORS}max_batch_size: 1") == []
    assert judge(f"{PLAIN}sequence_batching {{}}") == []


@pytest.mark.parametrize(("old", "new", "code"), [("[4] }", "[4] optional: true }", "TS415"), ("[4]", "[-1]", "TS416")])
def test_requests_that_wait_are_alike(judge: Judge, old: str, new: str, code: str) -> None:
    config = batched("max_queue_delay_microseconds: 100").replace(old, new, 1)
    assert [(found.code, found.severity) for found in judge(config)] == [(code, Severity.NOTE)]
    without_delay = judge(config.replace("max_queue_delay_microseconds: 100", ""))
    assert [found.code for found in without_delay] == ["TS416"] * (code == "TS416")


def test_a_graph_that_could_batch_draws_a_hint(judge: Judge) -> None:
    free = TENSORS.replace("python", "onnxruntime").replace("[4]", "[-1, 4]")
    assert [(found.code, found.severity) for found in judge(free)] == [("TS404", Severity.NOTE)]
    assert judge(f"{free}max_batch_size: 0") == []


def test_what_a_step_of_one_size_feeds_is_left_alone(judge_models: Judge) -> None:
    batching = 'backend: "python" max_batch_size: 8 dynamic_batching {}'
    tensors = 'input {{ name: "x" data_type: TYPE_FP32 dims: {} }} output {{ name: "y" data_type: TYPE_FP32 dims: {} }}'
    maps = 'model_version: -1 input_map {{ key: "x" value: "{}" }} output_map {{ key: "y" value: "{}" }}'
    step = f'step {{{{ model_name: "{{}}" {maps} }}}}'
    steps = f"ensemble_scheduling {{ {step.format('a', 'x', 't')} {step.format('b', 't', 'y')} }}"
    ensemble = f'platform: "ensemble" max_batch_size: 8 {tensors.format("[4]", "[4]")} {steps}'
    for made, codes in (("[10]", []), ("[-1]", ["TS416"])):
        models = {
            "a": f"{batching} {tensors.format('[4]', made)}",
            "b": f"{batching} {tensors.format('[-1]', '[4]')}",
            "e": ensemble,
        }
        assert [found.code for found in judge_models(models, prefixes=("TS4",))] == codes
