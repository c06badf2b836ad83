from collections.abc import Callable

import pytest

from tritonsmith.generator.findings import Finding, Phase, Severity

Judge = Callable[..., list[Finding]]

TENSORS = 'input { name: "x" data_type: TYPE_FP32 dims: [4] }\noutput { name: "y" data_type: TYPE_FP32 dims: [4] }\n'
PYTHON = f'backend: "python"\n{TENSORS}'
TENSORRT = f'platform: "tensorrt_plan"\n{TENSORS}'


@pytest.mark.parametrize(
    ("group", "gpus", "code", "message"),
    [
        ("kind: KIND_GPU", 0, "TS501", "the group asks for KIND_GPU; the target has no GPU"),
        ("kind: KIND_GPU gpus: [0]", 0, "TS502", "the group names GPU 0; the target has no GPU"),
        ("kind: KIND_GPU gpus: [0, 2]", 2, "TS502", "the group names GPU 2; the target has GPUs 0 to 1"),
        ("kind: KIND_GPU gpus: [1]", 1, "TS502", "the group names GPU 1; the target has GPU 0"),
        ("kind: KIND_GPU gpus: [-1]", None, "TS502", "the group names GPU -1; GPUs are counted from 0"),
        ("kind: KIND_CPU gpus: [0]", None, "TS503", "a KIND_CPU group names GPUs"),
        ("gpus: [0]", 0, "TS503", "the group names GPU 0; the target has none, so it becomes KIND_CPU"),
        ("gpus: [0, 1]", 1, "TS503", "the group names GPU 0, 1; the target has 1, so it becomes KIND_CPU"),
        ("kind: KIND_MODEL gpus: [0]", 2, "TS504", "a KIND_MODEL group names GPUs"),
        ('profile: ["0"]', 0, "TS505", "the group names optimization profile '0'; only TensorRT engines have any"),
    ],
)
def test_a_group_that_cannot_be_placed_is_an_error(
    judge_models: Judge, group: str, gpus: int | None, code: str, message: str
) -> None:
    findings = judge_models({"m": f"{PYTHON}instance_group {{ {group} }}"}, gpus=gpus)
    (found,) = [one for one in findings if one.phase]
    assert (found.code, found.place.line, found.phase, found.message) == (code, 4, Phase.LOAD, message)


@pytest.mark.parametrize(
    ("group", "gpus"),
    [
        ("kind: KIND_CPU", 2),
        ("gpus: [0, 1]", 2),
        ("kind: KIND_AUTO", 0),
        ("kind: KIND_MODEL", 0),
        ("gpus: [7]", None),
        ('kind: KIND_CPU host_policy: "near" secondary_devices { kind: KIND_NVDLA }', 0),
        ("count: 0", 0),
    ],
)
def test_a_group_that_can_be_placed_is_fine(judge_models: Judge, group: str, gpus: int | None) -> None:
    assert judge_models({"m": f"{PYTHON}instance_group {{ {group} }}"}, gpus=gpus) == []


@pytest.mark.parametrize(("group", "gpus"), [("gpus: [0, 1]", 2), ("", 1), ("", None), ("gpus: [7]", None)])
def test_a_group_on_a_gpu_that_there_is_or_may_be_is_fine(judge_models: Judge, group: str, gpus: int | None) -> None:
    assert judge_models({"m": f"{TENSORRT}instance_group {{ kind: KIND_GPU {group} }}"}, gpus=gpus) == []


@pytest.mark.parametrize(
    ("profile", "code", "phase", "message"),
    [
        ("abc", "TS506", Phase.LOAD, "optimization profile 'abc' is not a number"),
        ("-1", "TS507", Phase.LOAD, "optimization profile '-1' is below 0"),
        ("-2147483648", "TS507", Phase.LOAD, "is below 0"),
        ("", "TS508", Phase.LOAD, "an optimization profile is empty"),
        ("2147483648", "TS509", Phase.CRASH, "optimization profile '2147483648' is too large a number"),
        ("-" + "9" * 5000, "TS509", Phase.CRASH, "is too large a number"),
    ],
)
def test_an_optimization_profile_is_a_number_from_0(
    judge_models: Judge, profile: str, code: str, phase: Phase, message: str
) -> None:
    config = f'{TENSORRT}instance_group {{\n  profile: ["0", "{profile}"] }}'
    (found,) = judge_models({"m": config})
    assert (found.code, found.place.line, found.phase) == (code, 5, phase)
    assert message in found.message


@pytest.mark.parametrize("profile", ["0", " 3", "2147483647", "1x"])
def test_a_profile_is_read_as_stoi_reads_it(judge_models: Judge, profile: str) -> None:
    assert judge_models({"m": f'{TENSORRT}instance_group {{ profile: "{profile}" }}'}) == []


def test_groups_that_are_all_passive_end_the_server_at_the_first_request(judge_models: Judge) -> None:
    passive, active = "instance_group { passive: true }\n", "instance_group { count: 1 }\n"
    (found,) = judge_models({"m": PYTHON + passive + passive})
    assert (found.code, found.place.line, found.phase) == ("TS510", 4, Phase.REQUEST)
    assert judge_models({"m": PYTHON + passive + active}) == []


@pytest.mark.parametrize(
    ("backend", "group", "severity", "message"),
    [
        ("python", "count: -2", Severity.WARNING, "count -2 is below 0; Triton takes its default, 1"),
        ("onnxruntime", "kind: KIND_CPU count: -2", Severity.WARNING, "Triton takes its default, 2"),
        ("onnxruntime", "kind: KIND_CPU", Severity.WARNING, "without a count the group has two instances on the CPU"),
    ],
)
def test_a_count_that_triton_chooses_is_told(
    judge_models: Judge, backend: str, group: str, severity: Severity, message: str
) -> None:
    found, *more = judge_models({"m": f'backend: "{backend}"\n{TENSORS}instance_group {{ {group} }}'})
    assert (found.code, found.severity, more) == ("TS511", severity, [])
    assert message in found.message


def test_a_python_model_that_never_asks_for_its_gpu_is_told(judge_models: Judge) -> None:
    config = f"{PYTHON}instance_group {{ kind: KIND_GPU }}"
    code = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"
    (found,) = judge_models({"m": {"config.pbtxt": config, "1/model.py": code}}, gpus=1)
    assert (found.code, found.severity, found.place.line) == ("TS513", Severity.WARNING, 4)
    assert judge_models({"m": {"config.pbtxt": config, "1/model.py": f"import torch\n{code}"}}, gpus=1) == []
