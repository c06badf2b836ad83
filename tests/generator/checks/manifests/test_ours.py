"""Nothing is found in what `deploy --kubernetes` writes, of every shape and in every way; and faults in it are."""

from collections.abc import Callable

import pytest

from tests.generator.manifests.kubernetes.shapes import every_case, workload
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.manifests.kubernetes.files import render

DIGEST = f"sha256:{'5' * 64}"
Judge = Callable[..., list[Finding]]


def written(shape: str, way: str, **deploy: str) -> dict[str, str]:
    return {path: data.decode() for path, data in render(workload(shape, way, **deploy)).items()}


@pytest.mark.parametrize(("shape", "way"), list(every_case()))
def test_nothing_is_found_in_what_we_write(judge_manifests: Judge, shape: str, way: str) -> None:
    assert [str(one) for one in judge_manifests(written(shape, way, digest=DIGEST))] == []


@pytest.mark.parametrize("shape", ["cpu ensemble", "tp8 on two nodes"])
def test_of_an_image_without_a_digest_nothing_else_is_said(judge_manifests: Judge, shape: str) -> None:
    assert {one.code for one in judge_manifests(written(shape, "hpa"))} == {"TK731"}


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
