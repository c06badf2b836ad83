"""Files that share GPUs and the pods that ask for shares: each fault is found, and nothing in what we write."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.generator.manifests.kubernetes.shapes import BAKED, H100, chat
from tritonsmith.generator.findings import Finding, Severity
from tritonsmith.generator.manifests.kubernetes.files import render
from tritonsmith.generator.manifests.workload import plan_workload
from tritonsmith.generator.repository.core import Repository

Judge = Callable[..., list[Finding]]
MAP = """apiVersion: v1
kind: ConfigMap
metadata: {name: plugin, namespace: gpu-operator}
data:
  any: |-
"""
MPS = """version: v1
flags: {migStrategy: none}
sharing:
  mps:
    renameByDefault: true
    resources:
      - name: nvidia.com/gpu
        replicas: 4
"""
SLICED = MPS.replace("mps:", "timeSlicing:")
MIG = """version: v1
mig-configs:
  all-1g.10gb:
    - devices: all
      mig-enabled: true
      mig-devices: {"1g.10gb": 7}
"""
POD = """apiVersion: v1
kind: Pod
metadata: {name: worker}
spec:
  containers:
    - name: worker
      image: registry.example/worker:1@sha256:5555555555555555555555555555555555555555555555555555555555555555
      resources: {limits: {GPU: 1}}
      volumeMounts:
        - {name: data, mountPath: /data}
  volumes:
    - {name: data, emptyDir: {}}
"""


def judged(judge: Judge, *texts: str) -> list[Finding]:
    found = judge({f"{index}.yaml": text for index, text in enumerate(texts)})
    return [one for one in found if one.code.startswith("TK31")]


def pod(resource: str = "nvidia.com/gpu.shared") -> str:
    return POD.replace("GPU", resource)


@pytest.mark.parametrize("text", [MPS, SLICED, MIG])
def test_sound_files_are_fine_by_themselves_and_in_a_config_map(judge_manifests: Judge, text: str) -> None:
    inner = "".join(f"    {line}\n" for line in text.splitlines())
    assert judged(judge_manifests, text, MAP + inner, pod()) == []


FAULTS: list[tuple[str, str, str, str, str]] = [
    (MPS, "replicas", "replica", "TK310", "there is no field replica"),
    (MPS, "migStrategy: none", "migStrategy: all", "TK310", "'all' is none of none, single, mixed"),
    (MPS, "renameByDefault", "renameByDefaults", "TK310", "there is no field renameByDefaults"),
    (MIG, "mig-enabled: true", "mig-enable: true", "TK310", "mig-enabled is missing"),
    (MIG, MIG[MIG.index("  all-1g") :], "  all-1g.10gb: []\n", "TK310", "0 items, where at least 1 may be"),
    (MPS, "sharing:\n", SLICED[SLICED.index("sharing") :], "TK311", "of which MPS alone is taken"),
    (MPS, "nvidia.com/gpu", "nvidia.com/mig-1g.10gb", "TK312", "not nvidia.com/mig-1g.10gb"),
    (MPS, "migStrategy: none", "migStrategy: mixed", "TK312", "MPS does not start"),
    (MPS, "migStrategy: none", "migStrategy: single", "TK312", "MPS does not start"),
    (SLICED, "replicas: 4", "replicas: 1", "TK313", "replicas is 1"),
    (MPS, "replicas: 4", "replicas: 49", "TK313", "49 shares by MPS"),
    (SLICED, "replicas: 4", "replicas: 4\n        devices: [0]", "TK314", "devices is passed over"),
    (MPS, "replicas: 4", "replicas: 4\n        rename: nvidia.com/small", "TK314", "rename is passed over"),
    (SLICED, "nvidia.com/gpu", "nvidia.com/gpus", "TK310", "'nvidia.com/gpus' does not match"),
    (SLICED, "nvidia.com/gpu", "nvidia.com/mig-1g.10gb", "TK319", "migStrategy none hands out no such name"),
    (MIG, '"1g.10gb": 7', '"1g.10gb": 8', "TK316", "no known GPU can be cut into 8 x 1g.10gb"),
    (MIG, '"1g.10gb": 7', '"3g.40gb": 2, "1g.10gb": 1', "TK316", "they take 9 of its 8 memory slices"),
    (MIG, '"1g.10gb": 7', '"1g.10gb": 1, "1g.5gb": 1, "2g.35gb": 1', "TK316", "it has no slice"),
]


@pytest.mark.parametrize(("text", "old", "new", "code", "message"), FAULTS)
@pytest.mark.parametrize("is_inner", [False, True])
def test_a_fault_is_found_where_it_is(
    judge_manifests: Judge, text: str, old: str, new: str, code: str, message: str, is_inner: bool
) -> None:
    assert old in text
    new = new + text[text.index("sharing:\n") + len("sharing:\n") :] if old == "sharing:\n" else new
    broken = text[: text.index(old)] + new if old == "sharing:\n" else text.replace(old, new, 1)
    inner = "".join(f"    {line}\n" for line in broken.splitlines())
    found = [one for one in judged(judge_manifests, MAP + inner if is_inner else broken, pod()) if one.code == code]
    assert found
    assert any(message in one.message for one in found), [str(one) for one in found]
    assert all(one.remedy and one.place.line for one in found)
    assert {one.key for one in found} == ({"ConfigMap/plugin"} if is_inner else {""})


def test_a_file_of_the_device_plugin_may_leave_its_version_out(judge_manifests: Judge) -> None:
    broken = SLICED.removeprefix("version: v1\n").replace("replicas: 4", "replicas: 1")
    inner = "".join(f"    {line}\n" for line in broken.splitlines())
    assert [one.code for one in judged(judge_manifests, broken, MAP + inner)] == ["TK313", "TK313"]


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        (MPS, Severity.ERROR),
        (SLICED, Severity.WARNING),
        (SLICED.replace("resources", "failRequestsGreaterThanOne: true\n    resources"), Severity.ERROR),
        (MPS.replace("resources", "failRequestsGreaterThanOne: false\n    resources"), Severity.WARNING),
    ],
)
def test_two_shares_are_no_more_than_one(judge_manifests: Judge, text: str, severity: Severity) -> None:
    unnamed = text.replace("    renameByDefault: true\n", "")
    two = pod("nvidia.com/gpu").replace("nvidia.com/gpu: 1", "nvidia.com/gpu: 2")
    found = judged(judge_manifests, unnamed, two)
    assert [(one.code, one.severity) for one in found] == [("TK315", severity)]
    assert judged(judge_manifests, unnamed, pod("nvidia.com/gpu")) == []


def test_two_renamed_shares_are_refused_where_the_plugin_refuses_them(judge_manifests: Judge) -> None:
    two = pod().replace("gpu.shared: 1", "gpu.shared: 2")
    told = [
        [(one.code, one.severity) for one in judge_manifests({f"{n}.yaml": text for n, text in enumerate(texts)})]
        for texts in ([two], [two, MPS], [two, SLICED])
    ]
    about = [[one for one in found if one[0] in ("TK303", "TK315")] for found in told]
    assert about == [
        [("TK303", Severity.WARNING)],  # nobody says how they are shared
        [("TK315", Severity.ERROR)],
        [("TK315", Severity.WARNING)],
    ]


def test_a_slice_of_a_gpu_that_is_not_known_is_a_warning(judge_manifests: Judge) -> None:
    (found,) = judged(judge_manifests, MIG.replace("1g.10gb", "1g.11gb"))
    assert (found.code, found.severity) == ("TK316", Severity.WARNING)
    assert found.message.startswith("no known GPU has slices 1g.11gb. Did you mean")


def test_slices_that_the_plugin_hands_out_may_be_shared(judge_manifests: Judge) -> None:
    slices = SLICED.replace("nvidia.com/gpu", "nvidia.com/mig-1g.10gb")
    assert judged(judge_manifests, slices.replace("migStrategy: none", "migStrategy: mixed"), pod()) == []
    assert judged(judge_manifests, slices.replace("migStrategy: none", "failOnInitError: true"), pod()) == []


def test_whole_gpus_beside_shares_of_another_name_are_fine(judge_manifests: Judge) -> None:
    two = pod("nvidia.com/gpu").replace("nvidia.com/gpu: 1", "nvidia.com/gpu: 2")
    assert judged(judge_manifests, MPS, two) == []


@pytest.mark.parametrize("says", ["file", "selector"])
def test_a_volume_over_the_memory_of_mps_is_found(judge_manifests: Judge, says: str) -> None:
    over = pod().replace("/data", "/dev/shm")
    if says == "selector":
        over = over.replace("spec:\n", "spec:\n  nodeSelector: {nvidia.com/gpu.sharing-strategy: mps}\n", 1)
    found = judged(judge_manifests, over, *([MPS] if says == "file" else []))
    assert [one.code for one in found] == ["TK317"]
    assert judged(judge_manifests, over.replace("mps", "time-slicing"), SLICED) == []


def written(sharing: dict[str, Any], count: int = 1, **deploy: Any) -> dict[str, str]:
    models = {model.name: model for model in chat(count)}
    hardware, digest = H100 | {"count": count}, {"digest": f"sha256:{'5' * 64}"}
    settings = {"triton": "25.05", "hardware": hardware, "sharing": sharing, "deploy": BAKED | digest | deploy}
    files = render(plan_workload(Repository("chat", models, settings=settings)))
    return {path: data.decode() for path, data in files.items() if path.endswith(".yaml")}


WAYS: list[tuple[dict[str, Any], int, dict[str, Any]]] = [
    ({"mode": "mps", "replicas": 4}, 1, {}),
    ({"mode": "time-slicing"}, 1, {}),
    ({"mode": "mig", "profile": "1g.10gb"}, 1, {}),
    ({"mode": "mig", "profile": "3g.40gb"}, 1, {"kubernetes": "1.34", "gpus": {"by": "dra"}}),
    ({}, 4, {"kubernetes": "1.34", "gpus": {"by": "dra"}}),
    ({"mode": "mps"}, 1, {"kserve": True, "repository": {"claim": "models"}}),
    ({}, 1, {"kserve": True, "repository": {"claim": "models"}, "kubernetes": "1.34", "gpus": {"by": "dra"}}),
]


@pytest.mark.parametrize(("sharing", "count", "deploy"), WAYS)
def test_nothing_is_found_in_what_we_write(
    judge_manifests: Judge, sharing: dict[str, Any], count: int, deploy: dict[str, Any]
) -> None:
    assert [str(one) for one in judge_manifests(written(sharing, count, **deploy))] == []


def test_ranks_on_slices_are_found(judge_manifests: Judge) -> None:
    files = written({}, 4)
    path = "base/deployment.yaml"
    assert "nvidia.com/gpu: '4'" in files[path]
    files[path] = files[path].replace("nvidia.com/gpu: '4'", "nvidia.com/mig-1g.10gb: '4'")
    assert "TK318" in {one.code for one in judge_manifests(files)}


@pytest.mark.parametrize("text", [MPS, SLICED, MIG])
def test_no_value_of_another_shape_stops_a_check(judge_manifests: Judge, text: str) -> None:
    lines = text.splitlines()
    for number, line in enumerate(lines):
        key, mark, _ = line.partition(":")
        for value in ("", "[]", "{}", "[1]", "x", "-1", "{x: [y]}"):
            depth = len(line) - len(line.lstrip(" -"))
            inner = [later for later in lines[number + 1 :] if len(later) - len(later.lstrip(" -")) <= depth]
            judged(judge_manifests, "\n".join([*lines[:number], f"{key}{mark} {value}", *inner]), pod())
