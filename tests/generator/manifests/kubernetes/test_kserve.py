from typing import Any

import pytest

from tests.generator.manifests.kubernetes.shapes import DIGEST, workload
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.manifests.kubernetes.kserve import (
    inference_services,
    serving_runtimes,
    storage_uri,
    supports,
)
from tritonsmith.generator.manifests.kubernetes.pod import container, pod_spec
from tritonsmith.generator.manifests.kubernetes.scaling import fleet_query, pod_metric
from tritonsmith.generator.spec.deploy import Source

SHAPES = ["cpu ensemble", "one gpu", "tp4", "mig slice"]


def runtime_of(shape: str, way: str = "kserve", **deploy: Any) -> dict[str, Any]:
    (runtime,) = serving_runtimes(workload(shape, way, **deploy))
    (served,) = runtime["spec"]["containers"]
    return {**runtime, "container": served}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_server_listens_and_looks_where_kserve_wants_it(shape: str) -> None:
    served = runtime_of(shape)["container"]
    words = " ".join(served["args"])
    assert served["name"] == "kserve-container"
    for wanted in ("--http-port=8080", "--grpc-port=9000", "--model-repository=/mnt/models"):
        assert wanted in words
    for plain in ("--http-port=8000", "--grpc-port=8001", "--model-repository=/models"):
        assert plain not in words
    numbers = {port["name"]: port["containerPort"] for port in served["ports"]}
    assert list(numbers.items())[:2] == [("http", 8080), ("grpc", 9000)]


@pytest.mark.parametrize("shape", SHAPES)
def test_all_else_of_the_container_is_as_without_kserve(shape: str) -> None:
    served, plain = runtime_of(shape)["container"], container(workload(shape, "store"))
    for field in (
        "image",
        "resources",
        "startupProbe",
        "readinessProbe",
        "livenessProbe",
        "lifecycle",
        "env",
    ):
        assert served[field] == plain[field], field


@pytest.mark.parametrize("way", ["kserve", "kserve with a claim"])
@pytest.mark.parametrize("shape", SHAPES)
def test_everything_mounted_is_a_volume_and_nothing_copies_the_repository_twice(shape: str, way: str) -> None:
    runtime = runtime_of(shape, way)
    volumes = {volume["name"] for volume in runtime["spec"].get("volumes", ())}
    assert {mount["name"] for mount in runtime["container"]["volumeMounts"]} == volumes
    assert "models" not in volumes
    plain = [found for found in supports(workload(shape, way)) if found["kind"] in ("ConfigMap", "ServiceAccount")]
    needed = {document["metadata"]["name"] for document in plain}
    maps = [volume["configMap"]["name"] for volume in runtime["spec"]["volumes"] if "configMap" in volume]
    (service,) = inference_services(workload(shape, way))
    assert {*maps, service["spec"]["predictor"]["serviceAccountName"]} <= needed
    assert "initContainers" not in service["spec"]["predictor"]


def test_an_image_that_holds_the_repository_is_served_from_there() -> None:
    chosen = workload("one gpu", kserve=True)
    (service,) = inference_services(chosen)
    assert "storageUri" not in service["spec"]["predictor"]["model"]
    (runtime,) = serving_runtimes(chosen)
    assert "--model-repository=/models" in " ".join(runtime["spec"]["containers"][0]["args"])


@pytest.mark.parametrize(
    ("source", "uri"),
    [
        (Source(), ""),
        (Source(claim="models", path="chat/1"), "pvc://models/chat/1"),
        (Source(claim="models"), "pvc://models"),
        (Source(volume="registry.example/models:1"), "oci://registry.example/models:1"),
        (Source(store=f"s3://models/chat/{DIGEST}"), f"s3://models/chat/{DIGEST}"),
        (Source(store="as://account/models/chat"), "https://account.blob.core.windows.net/models/chat"),
    ],
)
def test_a_repository_is_named_as_kserve_names_it(source: Source, uri: str) -> None:
    assert storage_uri(source) == uri


@pytest.mark.parametrize("store", ["s3://minio:9000/models/chat", "s3://https://store.example:443/models/chat"])
def test_a_store_with_an_address_of_its_own_is_refused(store: str) -> None:
    with pytest.raises(RepositoryError, match="names a server, and KServe takes a bucket"):
        storage_uri(Source(store=store))


def test_kserve_scales_by_the_query_that_keda_would() -> None:
    chosen = workload("one gpu", "kserve")
    (service,) = inference_services(chosen)
    assert service["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "keda"
    (metric,) = service["spec"]["predictor"]["autoScaling"]["metrics"]
    autoscale = chosen.deploy.autoscale
    assert autoscale is not None
    assert metric["external"]["metric"]["query"] == fleet_query(chosen, pod_metric(chosen, autoscale))


def test_a_fleet_of_none_is_woken_by_what_is_seen_outside_its_pods() -> None:
    asleep = {"minimum": 0, "maximum": 4, "by": "keda", "wake_on": "sum(rate(gateway_requests[1m]))"}
    (service,) = inference_services(workload("one gpu", "kserve", autoscale=asleep))
    predictor = service["spec"]["predictor"]
    assert predictor["minReplicas"] == 0
    _, wake = predictor["autoScaling"]["metrics"]
    assert wake["external"]["metric"]["query"] == asleep["wake_on"]
    assert float(wake["external"]["target"]["value"]) >= 1e9  # it asks for one replica, never for more


@pytest.mark.parametrize("shape", SHAPES)
def test_its_pods_are_evicted_one_by_one_and_reached_at_the_ports_where_they_listen(shape: str) -> None:
    chosen = workload(shape, "kserve")
    (runtime,) = serving_runtimes(chosen)
    found = {document["kind"]: document.get("spec", {}) for document in supports(chosen)}
    for selector in (found["PodDisruptionBudget"]["selector"], found["NetworkPolicy"]["podSelector"]):
        assert selector["matchLabels"].items() <= runtime["spec"]["labels"].items()
    open_ports = {port["port"] for rule in found["NetworkPolicy"]["ingress"] for port in rule.get("ports", ())}
    assert open_ports == {port["containerPort"] for port in runtime["spec"]["containers"][0]["ports"]}


def test_the_pod_keeps_its_grace_and_its_place() -> None:
    chosen = workload("one gpu", "kserve")
    (service,) = inference_services(chosen)
    (runtime,) = serving_runtimes(chosen)
    pod = pod_spec(chosen)
    assert service["spec"]["predictor"]["terminationGracePeriodSeconds"] == chosen.grace_s
    assert runtime["spec"]["affinity"] == pod["affinity"]
    assert service["spec"]["predictor"]["topologySpreadConstraints"] == pod["topologySpreadConstraints"]
