"""A sweep's Job as data: what Kubernetes takes, what it does with pods that fail, and where they run."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.generator.manifests.kubernetes.validation import VERSIONS, faults
from tritonsmith.generator.checks.manifests.read import read_sets
from tritonsmith.generator.checks.registry import check_sets
from tritonsmith.generator.errors import RepositoryError, UsageError
from tritonsmith.generator.manifests.folder import write_folder
from tritonsmith.generator.manifests.kubernetes.core import serving_labels
from tritonsmith.perf.executors.core import read_task
from tritonsmith.perf.executors.kubernetes.core import MAX_CONFIG_MAP_BYTES, SweepJob, Wish
from tritonsmith.perf.executors.kubernetes.files import render
from tritonsmith.perf.executors.kubernetes.job import HOPELESS

MakeSweepJob = Callable[..., SweepJob]
CLAIM, STORE = Wish("registry/cells:1", "sweeps"), Wish("registry/cells:1", "s3://bucket/sweeps", workers=2)
SIDECAR = replace(CLAIM, is_sidecar=True)
H100 = {"gpu": "H100-SXM-80GB", "count": 4}
FROM_CLAIM = {"repository": {"claim": "models", "path": "digits"}}
FROM_STORE = {"repository": {"store": "s3://bucket/digits", "secret": "aws"}, "service_account": "reader"}
FROM_IMAGE = {"repository": {"volume": "registry/digits:1"}}
ON_GPU = 'name: "classifier" backend: "onnxruntime" instance_group { kind: KIND_GPU }'
TP4 = """name: "classifier" backend: "tensorrtllm"
parameters { key: "gpu_device_ids" value { string_value: "0,1,2,3" } }
parameters { key: "gpt_model_path" value { string_value: "/models/classifier/1" } }"""

MATRIX: dict[str, dict[str, Any]] = {
    "CPU, image": {"wish": CLAIM},
    "CPU, claim": {"wish": CLAIM, "deploy": FROM_CLAIM},
    "CPU, store": {"wish": STORE, "deploy": FROM_STORE},
    "GPU, sidecar": {"wish": SIDECAR, "deploy": FROM_CLAIM, "hardware": H100, "config": ON_GPU},
    "GPU, sidecar, stores": {"wish": replace(STORE, is_sidecar=True), "deploy": FROM_STORE, "hardware": H100},
    "image volume": {"wish": CLAIM, "deploy": FROM_IMAGE},
    "tp4, sidecar": {"wish": SIDECAR, "deploy": FROM_CLAIM, "hardware": H100, "config": TP4, "triton": "25.06"},
}


@pytest.fixture(params=MATRIX)
def sweep_job(request: pytest.FixtureRequest, make_sweep_job: MakeSweepJob) -> SweepJob:
    return make_sweep_job(**MATRIX[request.param])


def objects_of(sweep_job: SweepJob) -> list[dict[str, Any]]:
    files = {name: content for name, content in render(sweep_job).items() if name.endswith(".yaml")}
    return [one for name, text in files.items() for one in yaml.safe_load_all(text) if one["kind"] != "Kustomization"]


def job_of(sweep_job: SweepJob) -> dict[str, Any]:
    [job] = [one for one in objects_of(sweep_job) if one["kind"] == "Job"]
    return job


def pod_of(sweep_job: SweepJob) -> dict[str, Any]:
    pod: dict[str, Any] = job_of(sweep_job)["spec"]["template"]["spec"]
    return pod


def containers(pod: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from pod.get("initContainers", [])
    yield from pod["containers"]


def test_every_version_of_kubernetes_takes_it(sweep_job: SweepJob) -> None:
    has_volume = any("image" in volume for volume in pod_of(sweep_job)["volumes"])
    versions = VERSIONS[1:] if has_volume else VERSIONS  # from 1.31, from 1.30
    assert [fault for one in objects_of(sweep_job) for version in versions for fault in faults(one, version)] == []


def test_check_has_nothing_against_it(sweep_job: SweepJob, tmp_path: Path) -> None:
    write_folder(tmp_path, render(sweep_job))
    assert check_sets(read_sets(tmp_path)) == []


def test_what_is_mounted_is_there_and_what_is_there_is_mounted(sweep_job: SweepJob) -> None:
    pod = pod_of(sweep_job)
    volumes = [volume["name"] for volume in pod["volumes"]]
    assert len(volumes) == len(set(volumes))
    assert {mount["name"] for container in containers(pod) for mount in container["volumeMounts"]} == set(volumes)
    maps = {one["metadata"]["name"] for one in objects_of(sweep_job) if one["kind"] == "ConfigMap"}
    assert {volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume} == maps


def test_it_has_an_index_for_each_repeat_with_all_that_is_compared_in_it(make_sweep_job: MakeSweepJob) -> None:
    sweep_job = make_sweep_job(CLAIM, counts=(1, 2))
    spec = job_of(sweep_job)["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
    [config_map] = [one for one in objects_of(sweep_job) if one["kind"] == "ConfigMap"]
    for index in range(3):
        tasks = [read_task(line.encode()) for line in config_map["data"][f"{index}.jsonl"].splitlines()]
        assert {task.repeat for task in tasks} == {index}
        assert {str(task.variant) for task in tasks} == {str({key: n}) for n in (1, 2) for key in tasks[0].variant}


def test_a_pod_that_fails_for_good_is_not_tried_again_and_a_lost_one_costs_no_try(make_sweep_job: MakeSweepJob) -> None:
    spec = job_of(make_sweep_job(CLAIM))["spec"]
    assert spec["backoffLimitPerIndex"] == 2
    lost, hopeless = spec["podFailurePolicy"]["rules"]
    assert (lost["action"], lost["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert (hopeless["action"], hopeless["onExitCodes"]["values"]) == ("FailIndex", HOPELESS)
    for problem in (UsageError, RepositoryError):
        assert problem.exit_code in HOPELESS
    assert hopeless["onExitCodes"]["containerName"] in [
        one["name"] for one in pod_of(make_sweep_job(CLAIM))["containers"]
    ]


def test_two_pods_of_sweeps_never_share_a_node_and_no_service_sends_requests_to_them(sweep_job: SweepJob) -> None:
    template = job_of(sweep_job)["spec"]["template"]
    [term] = template["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    labels = template["metadata"]["labels"]
    assert term["labelSelector"]["matchLabels"].items() <= labels.items()
    assert not serving_labels(sweep_job.workload).items() <= labels.items()


def test_gpus_go_to_what_serves_on_nodes_that_have_them(make_sweep_job: MakeSweepJob) -> None:
    pod = pod_of(make_sweep_job(**MATRIX["tp4, sidecar"]))
    [server] = pod["initContainers"]
    [cell] = pod["containers"]
    assert server["restartPolicy"] == "Always"
    assert "tritonserver" in server["args"]
    assert not any("connection-age" in word for word in server["args"])  # it would cut what is measured
    assert "startupProbe" in server and "livenessProbe" not in server
    assert server["resources"]["limits"]["nvidia.com/gpu"] == "4"
    assert "nvidia.com/gpu" not in cell["resources"]["limits"]
    [term] = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["NVIDIA-H100-80GB-HBM3"]
    assert cell["command"][-2:] == ["--url", "127.0.0.1:8000"]
    assert "/models" in [mount["mountPath"] for mount in cell["volumeMounts"]]


def test_a_variant_with_more_instances_has_room(make_sweep_job: MakeSweepJob) -> None:
    sizes = []
    for counts in ((1, 2), (1, 16)):
        [cell] = pod_of(make_sweep_job(CLAIM, counts=counts))["containers"]
        sizes.append(int(cell["resources"]["limits"]["memory"].removesuffix("Mi")))
    assert sizes[1] > sizes[0]


def test_a_store_takes_results_with_the_secret_of_the_spec_and_no_claim(make_sweep_job: MakeSweepJob) -> None:
    sweep_job = make_sweep_job(**MATRIX["CPU, store"])
    assert "copy.yaml" not in render(sweep_job)
    pod = pod_of(sweep_job)
    [fetch], [cell] = pod["initContainers"], pod["containers"]
    assert fetch["command"][-2:] == ["s3://bucket/digits", "/models"]
    assert {"image": fetch["image"], "env": fetch["envFrom"]} == {"image": cell["image"], "env": cell["envFrom"]}
    assert cell["command"][cell["command"].index("--results") + 1] == f"s3://bucket/sweeps/{sweep_job.folder}"
    assert job_of(sweep_job)["spec"]["parallelism"] == 2


def test_tasks_that_no_config_map_takes_lie_beside_the_results(make_sweep_job: MakeSweepJob) -> None:
    sweep_job = make_sweep_job(CLAIM, requests=b"0" * MAX_CONFIG_MAP_BYTES)
    files = render(sweep_job)
    assert "tasks.yaml" not in files
    assert {name for name in files if name.startswith("tasks/")} == {f"tasks/{name}" for name in sweep_job.orders}
    [cell] = pod_of(sweep_job)["containers"]
    assert cell["command"][cell["command"].index("--tasks") + 1] == f"/results/{sweep_job.folder}/{sweep_job.name}"
    assert not any("configMap" in volume for volume in pod_of(sweep_job)["volumes"])


def test_it_is_the_same_to_the_byte_and_another_job_has_another_name(make_sweep_job: MakeSweepJob) -> None:
    sweep_job = make_sweep_job(CLAIM)
    assert render(sweep_job) == render(make_sweep_job(CLAIM))
    others = [replace(sweep_job, blocks=sweep_job.blocks[1:]), make_sweep_job(replace(CLAIM, image="registry/cells:2"))]
    assert len({one.name for one in [sweep_job, *others]}) == 3
    assert {one.folder for one in [sweep_job, *others]} == {sweep_job.folder}  # results lie together
    assert all(len(one.name) + len("-99999") <= 63 for one in others)  # a pod's host name


def test_a_server_on_several_nodes_is_refused(make_sweep_job: MakeSweepJob) -> None:
    with pytest.raises(UsageError, match=r"needs 2 nodes for one server, and an index of the Job is one pod"):
        make_sweep_job(SIDECAR, TP4, hardware={**H100, "count": 2}, deploy=FROM_CLAIM, triton="25.06")


def test_a_sidecar_needs_a_repository_that_both_containers_see(make_sweep_job: MakeSweepJob) -> None:
    with pytest.raises(UsageError, match="--sidecar needs a repository that both containers see"):
        make_sweep_job(SIDECAR)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_reads_the_folder_and_leaves_the_pod_for_copying_out(sweep_job: SweepJob, tmp_path: Path) -> None:
    for name, content in render(sweep_job).items():
        (tmp_path / name).write_bytes(content)
    argv = ["kubectl", "kustomize", str(tmp_path)]
    made = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout
    kinds = [one["kind"] for one in yaml.safe_load_all(made)]
    assert sorted(kinds) == sorted(one["kind"] for one in objects_of(sweep_job) if one["kind"] != "Pod")
