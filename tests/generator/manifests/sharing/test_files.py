"""What the cluster is told: files of the device plugin, mig-parted and the GPU operator; claims; the pods that ask."""

from typing import Any

import jsonschema
import pytest
import yaml

from tests.generator.manifests.kubernetes.shapes import BAKED, DIGEST, H100, chat, digits
from tests.generator.manifests.kubernetes.validation import VERSIONS, faults
from tritonsmith.generator.catalog.mig import MIG
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.manifests.kubernetes.files import render
from tritonsmith.generator.manifests.kubernetes.schemas.faults import faults as own_faults
from tritonsmith.generator.manifests.sharing.device_plugin import plugin_config
from tritonsmith.generator.manifests.sharing.mig_parted import mig_config
from tritonsmith.generator.manifests.sharing.schemas import file_schema, kind_of_file
from tritonsmith.generator.manifests.workload import plan_workload
from tritonsmith.generator.repository.core import Repository
from tritonsmith.generator.spec.sharing import Sharing

ONE = H100 | {"count": 1}
SLICE = {"resource": "nvidia.com/mig-1g.10gb"}
WAYS: dict[str, dict[str, Any]] = {
    "mps": {"mode": "mps", "replicas": 4},
    "time-slicing": {"mode": "time-slicing"},
    "mig": {"mode": "mig", "profile": "1g.10gb"},
}


def written(
    sharing: dict[str, Any], *, gpus: int = 1, hardware: dict[str, Any] = ONE, claimed: bool = False, **deploy: Any
) -> dict[str, str]:
    models = {model.name: model for model in chat(gpus)}
    deploy |= {"gpus": deploy.get("pods", {}) | ({"by": "dra"} if claimed else {})}
    deploy.pop("pods", None)
    settings = {"triton": "25.05", "hardware": hardware, "sharing": sharing, "deploy": BAKED | deploy}
    files = render(plan_workload(Repository("chat", models, settings=settings)))
    return {path: data.decode() for path, data in files.items()}


def pod_of(files: dict[str, str]) -> dict[str, Any]:
    pod: dict[str, Any] = yaml.safe_load(files["base/deployment.yaml"])["spec"]["template"]["spec"]
    return pod


@pytest.mark.parametrize("way", WAYS)
def test_what_is_written_is_what_its_reader_takes(way: str) -> None:
    files = written(WAYS[way])
    config = yaml.safe_load(files["sharing/device_plugin.config.yaml"])
    jsonschema.validate(config, file_schema("device_plugin"))
    assert kind_of_file(config) == "device_plugin"
    (maps,) = yaml.safe_load_all(files["sharing/config_map.yaml"])
    documents = [one for path, text in files.items() if path.endswith(".yaml") for one in yaml.safe_load_all(text)]
    objects = [one for one in documents if isinstance(one, dict) and "kind" in one]
    assert maps in objects
    assert {one["kind"] for one in objects} >= {"Deployment", "ConfigMap", "Kustomization"}
    assert [fault for one in objects for version in VERSIONS for fault in faults(one, version)] == []
    for text in maps["data"].values():
        inner = yaml.safe_load(text)
        found = kind_of_file(inner)
        assert found is not None
        jsonschema.validate(inner, file_schema(found))
        assert not list(own_faults(inner, file_schema(found)))


@pytest.mark.parametrize("mode", ["mps", "time-slicing"])
def test_a_share_is_renamed_and_asked_for_once(mode: str) -> None:
    method = {"mps": "mps", "time-slicing": "timeSlicing"}[mode]
    config = plugin_config(Sharing.model_validate({"mode": mode, "replicas": 3}))
    assert config["sharing"] == {
        method: {
            "renameByDefault": True,
            "failRequestsGreaterThanOne": True,
            "resources": [{"name": "nvidia.com/gpu", "replicas": 3}],
        }
    }
    pod = pod_of(written({"mode": mode, "replicas": 3}))
    limits = pod["containers"][0]["resources"]["limits"]
    assert {name: count for name, count in limits.items() if "nvidia" in name} == {"nvidia.com/gpu.shared": "1"}
    (term,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    asked = {one["key"]: one["values"] for one in term["matchExpressions"]}
    assert asked["nvidia.com/gpu.sharing-strategy"] == [mode]
    assert asked["nvidia.com/gpu.replicas"] == ["3"]
    assert asked["nvidia.com/gpu.product"] == ["NVIDIA-H100-80GB-HBM3"]


def test_nodes_without_a_label_keep_whole_gpus() -> None:
    files = written(WAYS["mps"])
    data = yaml.safe_load(files["sharing/config_map.yaml"])["data"]
    assert list(data) == ["none", "mps-4"]
    assert "sharing" not in yaml.safe_load(data["none"])
    patch = yaml.safe_load(files["sharing/cluster_policy.patch.yaml"])
    assert patch == {"spec": {"devicePlugin": {"config": {"name": "chat-device-plugin", "default": "none"}}}}


def test_with_mps_the_daemons_shared_memory_is_not_covered() -> None:
    pod = pod_of(written(WAYS["mps"]))
    assert "/dev/shm" not in {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert "shm" not in {volume["name"] for volume in pod["volumes"]}
    other = pod_of(written(WAYS["time-slicing"]))
    assert "/dev/shm" in {mount["mountPath"] for mount in other["containers"][0]["volumeMounts"]}


def test_a_gpu_is_cut_into_as_many_slices_as_fit() -> None:
    files = written(WAYS["mig"])
    layout = yaml.safe_load(files["sharing/mig_parted.config.yaml"])["mig-configs"]
    assert layout["all-1g.10gb"] == [{"devices": "all", "mig-enabled": True, "mig-devices": {"1g.10gb": 7}}]
    assert layout["all-disabled"] == [{"devices": "all", "mig-enabled": False}]
    limits = pod_of(files)["containers"][0]["resources"]["limits"]
    assert limits["nvidia.com/mig-1g.10gb"] == "1"
    patch = yaml.safe_load(files["sharing/cluster_policy.patch.yaml"])["spec"]
    assert patch["mig"] == {"strategy": "mixed"}
    assert patch["migManager"]["config"] == {"name": "chat-mig-parted", "default": "all-disabled"}
    assert yaml.safe_load(files["sharing/device_plugin.config.yaml"])["flags"] == {"migStrategy": "mixed"}


@pytest.mark.parametrize("gpu", MIG)
def test_every_slice_of_every_gpu_can_be_written(gpu: str) -> None:
    for profile in MIG[gpu].values():
        assert not list(own_faults(mig_config(profile), file_schema("mig_parted")))


@pytest.mark.parametrize("sharing", [{}, {"mode": "instances"}])
def test_where_pods_have_whole_gpus_the_cluster_is_told_nothing(sharing: dict[str, Any]) -> None:
    assert not [path for path in written(sharing) if path.startswith("sharing/")]


def test_no_overlay_takes_what_is_an_administrators() -> None:
    files = written(WAYS["mps"])
    assert "sharing" not in files["overlays/production/kustomization.yaml"]
    assert "config_map.yaml" in files["sharing/kustomization.yaml"]


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("mps", ["device-plugin.config=mps-4", "20389 MiB", "81559 MiB / 4", "as 1000 too"]),
        ("time-slicing", ["device-plugin.config=time-slicing-2", "which nobody enforces", "Nothing limits memory"]),
        ("mig", ["mig.config=all-1g.10gb", "kubectl drain NODE", "9984 MiB", "more is refused"]),
    ],
)
def test_the_readme_says_what_to_run_and_what_a_pod_gets(way: str, words: list[str]) -> None:
    text = written(WAYS[way])["README.md"]
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize(("sharing", "count"), [({}, 4), (WAYS["mig"], 1)])
def test_from_1_34_pods_may_claim_gpus_and_slices(sharing: dict[str, Any], count: int) -> None:
    hardware = H100 | {"count": count}
    files = written(sharing, gpus=count, hardware=hardware, kubernetes="1.34", claimed=True)
    template, pod = yaml.safe_load(files["base/resource_claim_template.yaml"]), pod_of(files)
    for version in VERSIONS:
        is_new = tuple(map(int, version.split(".")[:2])) >= (1, 34)
        assert (faults(template, version) == ()) == is_new
        assert not is_new or faults(yaml.safe_load(files["base/deployment.yaml"]), version) == ()
    (request,) = template["spec"]["spec"]["devices"]["requests"]
    asked = request["exactly"]
    assert asked["deviceClassName"] == ("mig.nvidia.com" if sharing else "gpu.nvidia.com")
    assert asked.get("count", 1) == count
    tests = [selector["cel"]["expression"] for selector in asked["selectors"]]
    assert ("device.attributes['gpu.nvidia.com'].profile == '1g.10gb'" in tests) == bool(sharing)
    assert "productName.replace(' ', '-') == 'NVIDIA-H100-80GB-HBM3'" in tests[-1]
    assert pod["resourceClaims"] == [{"name": "gpu", "resourceClaimTemplateName": "chat"}]
    assert pod["containers"][0]["resources"]["claims"] == [{"name": "gpu"}]
    assert "nvidia.com" not in str(pod["containers"][0]["resources"]["limits"])
    assert "affinity" not in pod


@pytest.mark.parametrize(
    ("sharing", "settings", "message"),
    [
        (WAYS["mps"], {"gpus": 4}, "a pod needs 4 GPUs, and sharing: mps of 4 gives it less than one"),
        (WAYS["mig"], {"gpus": 2}, "a pod needs 2 GPUs, and sharing: mig:1g.10gb gives it less than one"),
        (WAYS["mig"], {"hardware": {"gpu": "L40S"}}, "L40S GPUs cannot be cut into MIG slices"),
        (WAYS["mig"], {"hardware": {"gpu": "X1"}}, "no GPU 'X1' is known"),
        ({"mode": "mig", "profile": "1g.18gb"}, {}, r"H100-SXM-80GB GPUs have no slice 1g\.18gb"),
        (WAYS["mps"], {"claimed": True, "kubernetes": "1.34"}, "a claim is one pod's"),
        (WAYS["time-slicing"], {"claimed": True, "kubernetes": "1.34"}, "shares a GPU between pods"),
        ({}, {"claimed": True, "kubernetes": "1.33"}, r"Kubernetes 1\.33 has no claims"),
        ({}, {"claimed": True, "kubernetes": "1.34", "pods": SLICE}, "a claim asks for no resource"),
        (WAYS["mps"], {"pods": SLICE}, r"resource is nvidia\.com/mig-1g\.10gb, and sharing: mps of 4 is handed out as"),
        (WAYS["mig"], {"pods": {"products": ["NVIDIA-H200"]}}, "NVIDIA-H200, which cannot be cut into 1g.10gb"),
        (WAYS["mig"], {"hardware": ONE, "gpus": 8}, "an engine of 8 ranks spans no shares"),
    ],
)
def test_what_no_cluster_can_do_is_refused(sharing: dict[str, Any], settings: dict[str, Any], message: str) -> None:
    hardware = H100 if settings.get("gpus", 1) in (2, 4) else ONE
    with pytest.raises(RepositoryError, match=message) as refused:
        written(sharing, **{"hardware": hardware, **settings})
    assert refused.value.hint


def test_a_region_has_gpus_that_are_cut_alike() -> None:
    store = f"s3://models/chat/{DIGEST}"
    there = {"eu": {"store": store, "products": ["NVIDIA-H200"]}}
    with pytest.raises(RepositoryError, match=r"NVIDIA-H200, which cannot be cut into 1g\.10gb"):
        written(WAYS["mig"], repository={"store": store}, regions=there)


def test_a_pod_that_asks_for_no_gpu_sees_none() -> None:
    files = render(plan_workload(Repository("digits", {one.name: one for one in digits()}, settings={"deploy": BAKED})))
    seen = [
        {one["name"]: one["value"] for one in pod_of(found)["containers"][0]["env"]}.get("NVIDIA_VISIBLE_DEVICES")
        for found in ({path: data.decode() for path, data in files.items()}, written({}))
    ]
    assert seen == ["void", None]
