"""What NVIDIA's documents rule out of shared GPUs, row by row: who breaks a rule is told which, and what to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.generator.checks.manifests.test_sharing import MIG as LAYOUT
from tests.generator.checks.manifests.test_sharing import MPS as MPS_FILE
from tests.generator.checks.manifests.test_sharing import SLICED as TURNS_FILE
from tests.generator.checks.manifests.test_sharing import pod
from tests.generator.checks.rules.llm.models import chat, llm
from tests.generator.checks.rules.test_sharing import MIG, MPS, SLICED, judged, onnx, weighing
from tests.generator.manifests.kubernetes.shapes import H100
from tests.generator.manifests.sharing.test_files import written
from tritonsmith.generator.checks.manifests.read import read_sets
from tritonsmith.generator.checks.registry import all_checks, check_sets
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.spec.read import read_spec

BOTH = MPS_FILE + TURNS_FILE[TURNS_FILE.index("  timeSlicing") :]
UNNAMED = MPS_FILE.replace("    renameByDefault: true\n", "")
H200 = {"gpus": {"products": ["NVIDIA-H200"]}}
TWO = pod("nvidia.com/gpu").replace("gpu: 1", "gpu: 2")
RANKS = llm(engine="llama-0.19.0-tp4", kv_cache_free_gpu_mem_fraction="0.1")
CLAIMED = {"claimed": True, "kubernetes": "1.34"}
Broken = Callable[[Path], list[Finding]]


def repository(model: Any, sharing: dict[str, Any], **given: Any) -> Broken:
    return lambda _: judged(model, sharing=sharing, **given)


def manifests(*texts: str) -> Broken:
    def found(folder: Path) -> list[Finding]:
        for index, text in enumerate(texts):
            (folder / f"{index}.yaml").write_text(text)
        return check_sets(read_sets(folder))

    return found


def spec(text: str) -> Broken:
    def found(folder: Path) -> list[Finding]:
        (folder / "tritonsmith.yaml").write_text(f"models: {{m: {{backend: identity}}}}\nsharing: {text}")
        return list(read_spec(folder / "tritonsmith.yaml").findings)

    return found


def ranks_on_slices(folder: Path) -> list[Finding]:
    text = written({}, gpus=4, hardware=H100)["base/deployment.yaml"]
    return manifests(text.replace("nvidia.com/gpu: '4'", "nvidia.com/mig-1g.10gb: '4'"))(folder)


# the rule, who breaks it, the code of what says so (none of a spec's own grammar), and why, in its words
TABLE: list[tuple[str, Broken, str, str]] = [
    # k8s-device-plugin: README, Shared Access to GPUs; api/config/v1
    ("time-slicing and MPS exclude each other", manifests(BOTH), "TK311", "of which MPS alone is taken"),
    ("one method for a server", spec("{mode: mps, timeSlicing: 4}"), "", "unknown key 'timeSlicing'"),
    (
        "all GPUs of a node are shared alike",
        manifests(TURNS_FILE.replace("replicas: 4", "replicas: 4\n        devices: [0]")),
        *("TK314", "devices is passed over"),
    ),
    ("MPS has whole GPUs", manifests(MPS_FILE.replace("/gpu", "/mig-1g.10gb")), "TK312", "MPS shares nvidia.com/gpu"),
    (
        "MPS is not supported with MIG enabled",
        manifests(MPS_FILE.replace("migStrategy: none", "migStrategy: mixed")),
        *("TK312", "with a slice on the node, MPS does not start"),
    ),
    (
        "MPS is not supported with MIG enabled",
        repository(onnx(), MPS, gpus={"resource": "nvidia.com/mig-1g.10gb"}),
        *("TS543", "MPS does not share MIG slices"),
    ),
    ("MPS is not supported with MIG enabled", spec("{mode: mps, profile: 1g.10gb}"), "", "and the mode is mps"),
    (
        "time-slicing has nvidia.com/gpu and names of slices",
        manifests(TURNS_FILE.replace("/gpu", "/gpus")),
        *("TK310", "'nvidia.com/gpus' does not match"),
    ),
    (
        "slices have names under the strategy mixed",
        manifests(TURNS_FILE.replace("/gpu", "/mig-1g.10gb")),
        *("TK319", "migStrategy none hands out no such name"),
    ),
    ("MPS refuses two shares", manifests(UNNAMED, TWO), "TK315", "which are shares and may all be of one GPU"),
    ("two shares are no two GPUs", repository(onnx(gpus=[0, 1]), SLICED), "TS542", "a pod has one of shares"),
    ("two shares are no two GPUs", manifests(pod().replace("shared: 1", "shared: 2")), "TK303", "may all be of one"),
    ("shares are two at least", manifests(TURNS_FILE.replace("replicas: 4", "replicas: 1")), "TK313", "has 2 at least"),
    ("shares are two at least", spec("{mode: time-slicing, replicas: 1}"), "", "greater than or equal to 2"),
    ("MPS has 48 clients", manifests(MPS_FILE.replace("replicas: 4", "replicas: 64")), "TK313", "serves 48 clients"),
    ("MPS has 48 clients", spec("{mode: mps, replicas: 64}"), "", "48 clients by MPS, not 64"),
    ("shares are renamed", repository(onnx(), SLICED, gpus={"resource": "nvidia.com/gpus"}), "TS544", "handed out as"),
    ("/dev/shm is MPS's own", manifests(MPS_FILE, pod().replace("/data", "/dev/shm")), "TK317", "MPS's own memory"),
    # mig-parted: config-default.yaml; NVIDIA's MIG user guide
    ("no GPU has such a layout", manifests(LAYOUT.replace(": 7}", ": 8}")), "TK316", "at most, not 8"),
    ("L4 has no MIG", repository(onnx(), MIG, hardware={"gpu": "L4"}), "TS545", "L4 GPUs cannot be cut"),
    ("a name's number is its GPU's", repository(onnx(), MIG, **H200), "TS545", "NVIDIA-H200, which cannot be cut"),
    ("a slice has one way to be named", spec("mig:10gb"), "", "should match pattern"),
    ("slices are no shares", spec("{mode: mig:1g.10gb, replicas: 2}"), "", "a slice's name says how many a GPU has"),
    # tensor parallelism
    ("no tensor parallelism on slices", repository(RANKS, MIG), "TS541", "4 ranks do not run on MIG slices"),
    ("no tensor parallelism on slices", ranks_on_slices, "TK318", "4 ranks are started on nvidia.com/mig-1g.10gb"),
    ("no tensor parallelism under MPS", repository(RANKS, MPS), "TS541", "4 ranks do not run on shares"),
    ("no tensor parallelism in turns", repository(RANKS, SLICED), "TS541", "4 ranks do not run on shares"),
    ("no tensor parallelism in turns", repository(chat({"tensor_parallel_size": 2}), SLICED), "TS541", "2 ranks"),
    # memory
    (
        "engines at the default fraction take no turns",
        repository(llm(), SLICED),
        *("TS546", "an engine takes 0.9 of the free memory"),
    ),
    (
        "under MPS a server has total / replicas",
        lambda folder: judged(weighing(folder, 24), sharing=MPS),
        *("TS547", "gives a server 20389 MiB (81559 MiB / 4 = 20389 MiB)"),
    ),
    (
        "in a slice it has the slice's",
        lambda folder: judged(weighing(folder, 12), sharing=MIG),
        *("TS547", "gives a server 9984 MiB"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "broken", "code", "reason"), TABLE)
def test_who_breaks_a_rule_is_told_so(tmp_path: Path, rule: str, broken: Broken, code: str, reason: str) -> None:
    found = [one for one in broken(tmp_path) if one.code == code]
    assert any(reason in one.message for one in found), (rule, [str(one) for one in found])
    assert all(one.remedy for one in found if one.code)


# what only the cluster's side says against
REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("claims exist from 1.34", {}, CLAIMED | {"kubernetes": "1.33"}, r"Kubernetes 1\.33 has no claims"),
    ("MPS and time-slicing by claims are no one's yet", MPS, CLAIMED, "a claim is one pod's"),
    ("MPS and time-slicing by claims are no one's yet", SLICED, CLAIMED, "a claim is one pod's"),
    (
        "a claim asks for no resource",
        {},
        CLAIMED | {"pods": {"resource": "nvidia.com/mig-1g.10gb"}},
        "a claim asks for",
    ),
    (
        "no ranks on shares",
        MIG,
        {"gpus": 4, "hardware": H100},
        "gives it less than one",
    ),
    ("no ranks on shares of several nodes", MIG, {"gpus": 8}, "an engine of 8 ranks spans no shares"),
]


@pytest.mark.parametrize(("rule", "sharing", "settings", "reason"), REFUSED)
def test_what_a_cluster_cannot_do_is_not_written(
    rule: str, sharing: dict[str, Any], settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RepositoryError, match=reason) as refused:
        written(sharing, **settings)
    assert refused.value.hint, rule


def test_each_rule_on_sharing_has_its_row() -> None:
    shown = {code for _, _, code, _ in TABLE}
    advising = {"TS540", "TS548", "TS549"}  # warn of what is useless, or may cost more than it seems
    rules = {code for code in all_checks() if code.startswith(("TS54", "TK31"))}
    assert rules - advising <= shown
