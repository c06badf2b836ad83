"""What a pod is given, and how it starts, answers and ends."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput

from tritonsmith.generator.manifests.kubernetes.core import Manifest, serving_labels
from tritonsmith.generator.manifests.kubernetes.deployment import deployments
from tritonsmith.generator.manifests.kubernetes.leader_worker_set import leader_worker_sets
from tritonsmith.generator.manifests.kubernetes.network import network_policies
from tritonsmith.generator.manifests.kubernetes.pod import container, pod_spec, worker_spec
from tritonsmith.generator.manifests.kubernetes.services import services
from tritonsmith.generator.manifests.memory import memory_mib, shm_mib
from tritonsmith.generator.manifests.workload import MIB, Workload, kubernetes_name
from tritonsmith.generator.repository.core import Model

Plan = Callable[..., Workload]
MakeModel = Callable[..., Model]


def pods(workload: Workload) -> Iterator[Manifest]:
    """Yield every pod that a workload has."""
    yield pod_spec(workload)
    if workload.needs.nodes > 1:
        yield worker_spec(workload)


def said(workload: Workload, **deploy: Any) -> Workload:
    """Return a workload whose spec says something else under `deploy:`."""
    return replace(workload, deploy=type(workload.deploy).model_validate({**workload.deploy.model_dump(), **deploy}))


@pytest.mark.parametrize("size", [0, 1, 999 * MIB, 40_000 * MIB, 400_000 * MIB + 1])
@pytest.mark.parametrize("speed", [1.0, 100.0, 3000.0])
def test_the_startup_budget_covers_reading_the_engine(workload: Workload, size: int, speed: float) -> None:
    big = replace(said(workload, load_mib_per_s=speed), needs=replace(workload.needs, repository_bytes=size))
    probe = container(big)["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= size / MIB / speed + workload.deploy.start_margin_s


def test_a_pod_that_loads_is_not_killed_for_being_busy(workload: Workload) -> None:
    serving = container(workload)
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= serving.keys()
    assert serving["startupProbe"]["httpGet"]["path"] == "/v2/health/ready"  # until all models are, liveness waits
    assert serving["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"


@pytest.mark.parametrize("exit_timeout_s", [0, 30, 300])
@pytest.mark.parametrize("pre_stop_s", [1, 60])
def test_a_pod_is_killed_only_after_its_requests_could_end(
    workload: Workload, exit_timeout_s: int, pre_stop_s: int
) -> None:
    server = workload.server.model_copy(update={"exit_timeout_s": exit_timeout_s})
    slow = replace(said(workload, pre_stop_s=pre_stop_s), server=server)
    assert container(slow)["lifecycle"] == {"preStop": {"sleep": {"seconds": pre_stop_s}}}
    for pod in pods(slow):
        assert pod["terminationGracePeriodSeconds"] > pre_stop_s + exit_timeout_s


def test_a_kubernetes_without_the_sleep_hook_runs_sleep(digits: Workload) -> None:
    hook = container(said(digits, kubernetes="1.29", pre_stop_s=7))["lifecycle"]["preStop"]
    assert hook == {"exec": {"command": ["sleep", "7"]}}


def test_tritonserver_is_process_1_through_the_image_s_entry_point(digits: Workload) -> None:
    serving = container(digits)
    assert serving["args"][0] == "tritonserver"
    assert "command" not in serving


def test_the_openai_front_end_is_told_the_tokenizer_and_watched_at_its_own_port(plan: Plan, engine: MakeModel) -> None:
    config = ModelConfig(
        name="bls", backend="python", input=[ModelInput(name="text_input"), ModelInput(name="max_tokens")]
    )
    config.parameters["tensorrt_llm_model_name"].string_value = "tensorrt_llm"
    encoder = ModelConfig(name="preprocessing", backend="python")
    encoder.parameters["tokenizer_dir"].string_value = "tokenizer"
    models = [Model("bls", config), Model("preprocessing", encoder), engine(gpu_device_ids="0,1")]
    workload = plan(
        *models, deploy={"repository": {"claim": "models"}, "openai": True}, hardware={"gpu": "L4", "count": 2}
    )
    serving = container(workload)
    assert "--tokenizer=/models/preprocessing/1/tokenizer" in serving["args"]
    assert {"name": "TRTLLM_ORCHESTRATOR", "value": "1"} in serving["env"]  # it starts the ranks itself
    assert {port["name"]: port["containerPort"] for port in serving["ports"]} == {
        "http": 8000,
        "grpc": 8001,
        "openai": 9000,
    }
    assert workload.metrics_port == "openai"


def test_an_engine_s_ranks_are_behind_what_passes_signals_on(four_gpus: Workload) -> None:
    args = container(four_gpus)["args"]
    assert args[:3] == ["bash", "/ranks/start.sh", "mpirun"]
    assert args.count("tritonserver") == 4
    assert args[args.index("tritonserver") - 1] == "/ranks/first.sh"
    assert args.count("/ranks/first.sh") == 1


def test_shared_memory_is_mounted_where_it_is_used_and_counted_in_the_limit(workload: Workload) -> None:
    for pod in pods(workload):
        (serving,) = pod["containers"]
        (mount,) = [one for one in serving["volumeMounts"] if one["mountPath"] == "/dev/shm"]
        (volume,) = [one for one in pod["volumes"] if one["name"] == mount["name"]]
        assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": f"{shm_mib(workload)}Mi"}
        assert serving["resources"]["limits"]["memory"] == f"{memory_mib(workload)}Mi"
        assert memory_mib(workload) > shm_mib(workload) + 512


def test_shared_memory_grows_with_the_python_instances_and_their_regions(plan: Plan, model: MakeModel) -> None:
    one, four = (shm_mib(plan(model("m", "python", {"count": count}))) for count in (1, 4))
    assert four == one + 3 * (one - 64)
    wide = plan(model(), server={"backend_config": {"python": {"shm-default-byte-size": str(1 << 30)}}})
    assert shm_mib(wide) >= 2048


def test_nothing_but_empty_folders_can_be_written(workload: Workload) -> None:
    for pod in pods(workload):
        writable = {volume["name"] for volume in pod["volumes"] if "emptyDir" in volume}
        for one in [*pod["containers"], *pod.get("initContainers", [])]:
            assert one["securityContext"]["readOnlyRootFilesystem"]
            open_mounts = {mount["name"] for mount in one["volumeMounts"] if not mount.get("readOnly")}
            assert open_mounts <= writable
            assert "/tmp" in {mount["mountPath"] for mount in one["volumeMounts"]}


def test_pods_have_the_restricted_profile_and_no_token(workload: Workload) -> None:
    for pod in pods(workload):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == 1000
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for one in [*pod["containers"], *pod.get("initContainers", [])]:
            assert one["securityContext"]["allowPrivilegeEscalation"] is False
            assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_probes_and_services_name_ports_that_the_container_has(workload: Workload) -> None:
    for kind in (workload, said(workload, openai=False)):
        serving = container(kind)
        names = {port["name"] for port in serving["ports"]}
        assert {serving[probe]["httpGet"]["port"] for probe in serving if probe.endswith("Probe")} <= names
        for service in services(kind):
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= names
            assert service["spec"]["selector"] == serving_labels(kind)


def test_grpc_clients_can_see_every_pod(workload: Workload) -> None:
    assert [service["spec"].get("clusterIP") for service in services(workload)] == [None, "None"]


def test_an_update_needs_no_spare_gpu(four_gpus: Workload, digits: Workload, two_nodes: Workload) -> None:
    (on_gpus,), (on_cpu,) = deployments(four_gpus), deployments(digits)
    assert on_gpus["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert on_cpu["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    (group,) = leader_worker_sets(two_nodes)
    assert group["spec"]["rolloutStrategy"]["rollingUpdateConfiguration"]["maxSurge"] == 0


def test_a_pod_that_takes_its_whole_budget_is_not_called_stuck(four_gpus: Workload) -> None:
    big = replace(four_gpus, needs=replace(four_gpus.needs, repository_bytes=400_000 * MIB))
    (deployment,) = deployments(big)
    assert deployment["spec"]["progressDeadlineSeconds"] > big.startup_s + big.grace_s


def test_an_autoscaler_s_replicas_are_not_said_again(digits: Workload) -> None:
    scaled = said(digits, autoscale={"maximum": 3})
    assert deployments(digits)[0]["spec"]["replicas"] == 2
    assert "replicas" not in deployments(scaled)[0]["spec"]


def test_a_gpu_s_slice_is_asked_for_by_its_own_name(plan: Plan, model: MakeModel) -> None:
    slice_of = {"gpus": {"resource": "nvidia.com/mig-1g.10gb"}, "repository": {"claim": "models"}}
    workload = plan(model("m", "onnxruntime"), hardware={"gpu": "H100-SXM-80GB"}, deploy=slice_of)
    resources = container(workload)["resources"]
    assert resources["requests"]["nvidia.com/mig-1g.10gb"] == resources["limits"]["nvidia.com/mig-1g.10gb"] == "1"


def test_an_engine_runs_on_its_own_gpu_alone(four_gpus: Workload, digits: Workload) -> None:
    def required(workload: Workload) -> Any:
        affinity = pod_spec(workload)["affinity"]["nodeAffinity"]
        return affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"][0]["matchExpressions"]

    label = {"key": "nvidia.com/gpu.product", "operator": "In"}
    assert required(four_gpus) == [{**label, "values": ["NVIDIA-H100-80GB-HBM3"]}]
    said_so = said(four_gpus, gpus={"products": ["NVIDIA-H200"]})
    assert required(said_so) == [{**label, "values": ["NVIDIA-H200"]}]
    assert not {"affinity", "tolerations"} & pod_spec(digits).keys()


def test_a_claim_is_read_only_twice_and_may_be_a_folder_of_it(four_gpus: Workload) -> None:
    pod = pod_spec(said(four_gpus, repository={"claim": "models", "path": "chat/7/"}))
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}
    (mount,) = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "models"]
    assert mount == {"name": "models", "mountPath": "/models", "readOnly": True, "subPath": "chat/7"}


def test_a_store_is_copied_before_the_server_starts_by_what_has_its_keys(four_gpus: Workload) -> None:
    pod = pod_spec(said(four_gpus, repository={"store": "s3://bucket/chat", "secret": "keys"}, image="own"))
    (fetch,), (serving,) = pod["initContainers"], pod["containers"]
    assert fetch["args"] == ["python3", "/opt/tritonsmith/fetch.py", "s3://bucket/chat", "/models"]
    assert fetch["envFrom"] == [{"secretRef": {"name": "keys"}}]
    assert "envFrom" not in serving
    assert {"name": "models", "mountPath": "/models", "readOnly": True} in serving["volumeMounts"]


def test_a_store_that_the_server_reads_is_its_model_repository(four_gpus: Workload) -> None:
    source = {"store": "s3://bucket/chat", "secret": "keys", "fetch": "server"}
    pod = pod_spec(said(four_gpus, repository=source))
    (serving,) = pod["containers"]
    assert "--model-repository=s3://bucket/chat" in serving["args"]
    assert serving["envFrom"] == [{"secretRef": {"name": "keys"}}]
    assert "initContainers" not in pod


@pytest.mark.parametrize("fetch", ["init", "server"])
def test_a_pod_with_a_copy_of_the_repository_has_the_disk_for_it(four_gpus: Workload, fetch: str) -> None:
    copied = said(four_gpus, repository={"store": "s3://bucket/chat", "fetch": fetch})
    big = replace(copied, needs=replace(copied.needs, repository_bytes=70_000 * MIB))
    request = container(big)["resources"]["requests"]["ephemeral-storage"]
    assert int(request.removesuffix("Mi")) > 70_000
    assert "ephemeral-storage" not in container(four_gpus)["resources"]["requests"]


def test_an_image_volume_holds_the_repository(four_gpus: Workload) -> None:
    pod = pod_spec(said(four_gpus, repository={"volume": "registry.example/models:7"}))
    assert pod["volumes"][0]["image"]["reference"] == "registry.example/models:7"


def test_private_images_are_pulled_with_the_secret_that_is_named(workload: Workload) -> None:
    for pod in pods(said(workload, pull_secret="registry")):
        assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert "imagePullSecrets" not in pod_spec(workload)


def test_who_is_no_pod_may_connect_where_its_addresses_are_named(digits: Workload) -> None:
    [policy] = network_policies(said(digits, clients=("10.0.0.0/8",)))
    requests, metrics = policy["spec"]["ingress"]
    assert {"ipBlock": {"cidr": "10.0.0.0/8"}} in requests["from"]
    assert not any("ipBlock" in source for source in metrics["from"])


def test_a_repository_that_is_copied_first_takes_as_long_again(digits: Workload) -> None:
    big = replace(digits, needs=replace(digits.needs, repository_bytes=100_000 * MIB))
    copied = said(big, repository={"store": "s3://models/digits"})
    assert copied.ready_s - big.ready_s == 1000
    [deployment] = deployments(copied)
    assert deployment["spec"]["progressDeadlineSeconds"] > copied.ready_s


def test_long_names_stay_apart() -> None:
    first, second = kubernetes_name("a" * 60 + "-one"), kubernetes_name("a" * 60 + "-two")
    assert first != second
    assert max(len(first), len(second)) <= 40
