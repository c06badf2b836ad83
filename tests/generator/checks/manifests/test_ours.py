"""Nothing is found in what `deploy --kubernetes` writes, but what its spec leaves out; and faults in it are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.generator.manifests.kubernetes.kustomized import applied
from tests.generator.manifests.kubernetes.shapes import BAKED, SHAPES, every_case, files_of, workload
from tritonsmith.generator.checks.manifests.kustomize import build
from tritonsmith.generator.checks.manifests.nodes import typed
from tritonsmith.generator.findings import Finding, Severity
from tritonsmith.generator.manifests.kubernetes.files import render
from tritonsmith.generator.manifests.workload import plan_workload
from tritonsmith.generator.repository.core import Repository
from tritonsmith.generator.spec.tree import parse_documents

DIGEST = f"sha256:{'5' * 64}"
Judge = Callable[..., list[Finding]]


def written(shape: str, way: str, **deploy: Any) -> dict[str, str]:
    return {path: data.decode() for path, data in render(workload(shape, way, **deploy)).items()}


@pytest.mark.parametrize(("shape", "way"), list(every_case()))
def test_nothing_is_found_in_what_we_write(judge_manifests: Judge, shape: str, way: str) -> None:
    assert [str(one) for one in judge_manifests(written(shape, way, digest=DIGEST))] == []


@pytest.mark.parametrize(
    ("shape", "way", "settings", "codes"),
    [
        ("cpu ensemble", "hpa", {"digest": None}, {"TK731"}),
        ("tp8 on two nodes", "hpa", {"digest": None}, {"TK731"}),
        ("tp8 on two nodes", "baked", {"group_topology": ""}, {"TK333"}),
        ("tp4", "baked", {"replicas": 1}, {"TK503"}),
        ("tp4", "hpa", {"autoscale": {"maximum": 4, "on": "queue_to_compute"}}, {"TK408"}),
    ],
)
def test_what_a_spec_leaves_out_is_said_and_nothing_else(
    judge_manifests: Judge, shape: str, way: str, settings: dict[str, Any], codes: set[str]
) -> None:
    found = judge_manifests(written(shape, way, **{"digest": DIGEST, **settings}))
    assert {one.code for one in found} == codes
    assert not [one for one in found if one.severity is Severity.ERROR]


def test_of_a_gpu_that_has_no_label_in_the_catalog_it_is_said_that_pods_go_anywhere(judge_manifests: Judge) -> None:
    models, hardware, _ = SHAPES["tp4"]
    settings: dict[str, Any] = {
        "triton": "25.05",
        "hardware": hardware | {"gpu": "X1"},
        "deploy": BAKED | {"digest": DIGEST},
    }
    found = render(plan_workload(Repository("chat", {one.name: one for one in models}, settings=settings)))
    assert {one.code for one in judge_manifests({path: data.decode() for path, data in found.items()})} == {"TK305"}


@pytest.mark.parametrize(("shape", "way"), [("tp8 on two nodes", "regions"), ("one gpu", "kserve"), ("tp4", "hpa")])
def test_what_the_linter_builds_of_our_folders_is_what_kustomize_builds(tmp_path: Path, shape: str, way: str) -> None:
    files = files_of(shape, way)
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    folders = [path.rpartition("/")[0] for path in files if path.endswith("kustomization.yaml")]
    assert folders
    for folder in folders:
        built = build(tmp_path / folder, lambda path: parse_documents(path.read_text(), str(path), []))
        assert not built.problems
        assert [typed(node) for node in built.nodes] == applied(files, folder), folder


@pytest.mark.parametrize(
    ("shape", "way", "file", "old", "new", "code"),
    [
        ("tp4", "claim", "base/deployment.yaml", "nvidia.com/gpu: '4'", "nvidia.com/gpu: '2'", "TK300"),
        ("tp4", "claim", "base/deployment.yaml", "maxSurge: 0", "maxSurge: 1", "TK304"),
        ("tp4", "hpa", "scaling/hpa.yaml", "kind: Deployment", "kind: StatefulSet", "TK400"),
        ("tp4", "hpa", "scaling/hpa.yaml", "name: pod:", "name: pods:", "TK401"),
        ("tp4", "hpa", "monitoring/pod_monitor.yaml", "port: metrics", "port: metric", "TK132"),
        ("tp4", "hpa", "monitoring/pod_monitor.yaml", "interval: 15s", "interval: 60s", "TK454"),
        ("tp8 on two nodes", "claim", "base/leader_worker_set.yaml", "size: 2", "size: 4", "TK330"),
        (
            "cpu ensemble",
            "baked",
            "base/deployment.yaml",
            "terminationGracePeriodSeconds: 55",
            "terminationGracePeriodSeconds: 40",
            "TK221",
        ),
        ("cpu ensemble", "baked", "base/deployment.yaml", "path: /v2/health/ready", "path: /v2/health/redy", "TK202"),
        ("cpu ensemble", "baked", "base/service.yaml", "targetPort: http", "targetPort: htpp", "TK131"),
        ("cpu ensemble", "baked", "base/network_policy.yaml", "port: 8002", "port: 8003", "TK133"),
        ("cpu ensemble", "baked", "base/deployment.yaml", "mountPath: /dev/shm", "mountPath: /shm", "TK240"),
        ("one gpu", "kserve", "kserve/inference_service.yaml", "PeriodSeconds: 55", "PeriodSeconds: 40", "TK221"),
    ],
)
def test_a_fault_in_what_we_write_is_found(
    judge_manifests: Judge, shape: str, way: str, file: str, old: str, new: str, code: str
) -> None:
    files = written(shape, way, digest=DIGEST)
    assert old in files[file]
    files[file] = files[file].replace(old, new)
    assert code in {one.code for one in judge_manifests(files)}
