"""KServe in place of `base`, scaling and gateway: it makes Deployment, Service, autoscaler and route itself.

The container is the same; its ports, its folder and who copies the repository into it are KServe's.
Source: kserve/kserve aaac4e2: config/runtimes/kserve-tritonserver.yaml, pkg/apis/serving/{v1alpha1,v1beta1},
pkg/controller/v1beta1/inferenceservice/reconcilers/{service,keda}.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.manifests.kubernetes.core import Manifest, metadata, serving_labels
from tritonsmith.generator.manifests.kubernetes.deployment import rolling_update
from tritonsmith.generator.manifests.kubernetes.disruption import disruption_budgets
from tritonsmith.generator.manifests.kubernetes.network import network_policies
from tritonsmith.generator.manifests.kubernetes.pod import pod_spec
from tritonsmith.generator.manifests.kubernetes.ranks import rank_scripts
from tritonsmith.generator.manifests.kubernetes.scaling import (
    WAKES_ONLY,
    behavior,
    fleet_query,
    pod_metric,
    prometheus_address,
)
from tritonsmith.generator.manifests.kubernetes.security import service_accounts
from tritonsmith.generator.manifests.server import MODELS, PORTS
from tritonsmith.generator.manifests.workload import Workload
from tritonsmith.generator.spec.deploy import Autoscale, Source

FORMAT = "triton"
_MODELS = "/mnt/models"  # where KServe puts what storageUri names
_PORTS = PORTS | {"http": 8080, "grpc": 9000}  # the first of a container is the one behind its Service's port 80
# of a pod: what a ServingRuntime has too; the rest goes to the InferenceService
_RUNTIME_FIELDS = ("volumes", "nodeSelector", "affinity", "tolerations")
# of a pod's security context: what a container can say itself, whoever's InferenceService uses the runtime
_IDENTITY = ("runAsNonRoot", "runAsUser", "runAsGroup", "seccompProfile")
_GROUP = "serving.kserve.io"


def serving_runtimes(workload: Workload) -> list[Manifest]:
    """Return the ServingRuntime: how a repository is served; none where the spec asks for no KServe.

    Raises: RepositoryError where one replica spans several nodes.
    """
    if not workload.deploy.kserve:
        return []
    pod = _pod(workload)
    spec: Manifest = {
        "supportedModelFormats": [{"name": FORMAT, "version": "2"}],
        "protocolVersions": ["v2", "grpc-v2"],
        "labels": serving_labels(workload),  # by which pods are monitored
        "annotations": {"prometheus.kserve.io/port": str(_PORTS["metrics"]), "prometheus.kserve.io/path": "/metrics"},
        "containers": pod["containers"],
        **{field: pod[field] for field in _RUNTIME_FIELDS if field in pod},
    }
    return [_document("v1alpha1", "ServingRuntime", metadata(workload), spec)]


def supports(workload: Workload) -> list[Manifest]:
    """Return what the pods need of `base`: account, ranks' scripts, disruption budget, and who may connect."""
    if not workload.deploy.kserve:
        return []
    plain = _plain(workload)
    listening = {name: _PORTS[name] for name in plain.ports}
    return [
        *service_accounts(workload),
        *rank_scripts(plain),
        *disruption_budgets(plain),
        *network_policies(plain, listening),
    ]


def inference_services(workload: Workload) -> list[Manifest]:
    """Return the InferenceService: which repository is served, how often; none where the spec asks for no KServe."""
    if not workload.deploy.kserve:
        return []
    pod = _pod(workload)
    model: Manifest = {"modelFormat": {"name": FORMAT}, "runtime": workload.name, "protocolVersion": "v2"}
    uri = storage_uri(workload.deploy.repository)
    predictor: Manifest = _replicas(workload) | {
        key: value for key, value in pod.items() if key not in (*_RUNTIME_FIELDS, "containers", "initContainers")
    }
    predictor["deploymentStrategy"] = {"type": "RollingUpdate", "rollingUpdate": rolling_update(workload)}
    predictor["model"] = model | ({"storageUri": uri} if uri else {})
    annotations = {
        f"{_GROUP}/deploymentMode": "RawDeployment",  # `Standard` since 0.16, which takes the old name too
        f"{_GROUP}/autoscalerClass": "keda" if workload.deploy.autoscale else "none",
    }
    return [
        _document("v1beta1", "InferenceService", metadata(workload, annotations=annotations), {"predictor": predictor})
    ]


def storage_uri(source: Source) -> str:
    """Return where KServe fetches the repository; empty where the image holds it.

    An OCI image holds the repository as /models, whatever its own path is. Source: kserve: pkg/utils/storage.go.

    Raises: RepositoryError for a store with an address of its own, which KServe takes from a Secret.
    """
    if source.store and re.match(r"s3://(https?://)?[^/]*:\d+/", source.store):
        raise RepositoryError(
            f"{source.store} names a server, and KServe takes a bucket",
            where="deploy.repository.store",
            hint="s3://BUCKET/PATH, and the server in the Secret of the ServiceAccount: serving.kserve.io/s3-endpoint",
        )
    if source.claim:
        return f"pvc://{source.claim}/{source.path}".rstrip("/")
    if source.volume:
        return f"oci://{source.volume}"
    if source.store and source.store.startswith("as://"):
        account, _, path = source.store.removeprefix("as://").partition("/")
        return f"https://{account}.blob.core.windows.net/{path}"
    return source.store or ""


def _pod(workload: Workload) -> Manifest:
    """Return the pod as KServe wants it: its names, its ports, its folder, and without the copying of ours."""
    if workload.needs.nodes > 1:
        raise RepositoryError(
            f"a replica of {workload.name} spans {workload.needs.nodes} nodes, and KServe starts the ranks of no MPI",
            where="deploy.kserve: true",
            hint="leave kserve out: the LeaderWorkerSet in base starts them",
        )
    pod = pod_spec(_plain(workload))
    is_fetched = bool(storage_uri(workload.deploy.repository))
    identity = {key: value for key, value in pod["securityContext"].items() if key in _IDENTITY}
    containers = [_container(found, identity, is_fetched=is_fetched) for found in pod["containers"][:1]]
    mounted = {mount["name"] for container in containers for mount in container.get("volumeMounts", ())}
    volumes = [volume for volume in pod.get("volumes", ()) if volume["name"] in mounted]
    rest = {key: value for key, value in pod.items() if key not in ("initContainers", "volumes")}
    return rest | {"containers": containers} | ({"volumes": volumes} if volumes else {})


def _plain(workload: Workload) -> Workload:
    """Return the workload without what KServe does in other ways: OpenAI's API, and reading a store."""
    source = workload.deploy.repository.model_copy(update={"fetch": "init"})
    return replace(workload, deploy=workload.deploy.model_copy(update={"openai": False, "repository": source}))


def _container(container: Manifest, identity: Manifest, *, is_fetched: bool) -> Manifest:
    changes = {f"--{name}-port={PORTS[name]}": f"--{name}-port={_PORTS[name]}" for name in ("http", "grpc")}
    changes |= {f"--model-repository={MODELS}": f"--model-repository={_MODELS}"} if is_fetched else {}
    written = sorted({"command", "args"} & container.keys())
    texts = {field: [_changed(word, changes) for word in container[field]] for field in written}
    ports = [{**port, "containerPort": _PORTS[port["name"]], "protocol": "TCP"} for port in container["ports"]]
    mounts = [mount for mount in container.get("volumeMounts", ()) if not (is_fetched and mount["mountPath"] == MODELS)]
    security = {**identity, **container["securityContext"]}
    changed = {"name": "kserve-container", **texts, "ports": ports, "volumeMounts": mounts, "securityContext": security}
    return {**container, **changed}


def _changed(word: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        word = word.replace(old, new)
    return word


def _replicas(workload: Workload) -> Manifest:
    """Return how many replicas there are. KServe's HPA knows CPU and memory alone, so that KEDA scales in any case."""
    autoscale = workload.deploy.autoscale
    if autoscale is None:
        return {"minReplicas": workload.deploy.replicas, "maxReplicas": workload.deploy.replicas}
    return {
        "minReplicas": autoscale.minimum,
        "maxReplicas": autoscale.maximum,
        "autoScaling": {"metrics": _metrics(workload, autoscale), "behavior": behavior(workload)},
    }


def _metrics(workload: Workload, autoscale: Autoscale) -> list[Manifest]:
    """Return the triggers: the load, and what wakes a fleet of none, since KEDA takes a query without samples for 0."""
    metric, address = pod_metric(workload, autoscale), prometheus_address(workload, autoscale)
    asked = {fleet_query(workload, metric): f"{metric.target:g}"}
    if autoscale.wake_on:
        asked[autoscale.wake_on] = WAKES_ONLY
    return [_metric(address, query, target) for query, target in asked.items()]


def _metric(address: str, query: str, target: str) -> Manifest:
    """Return a trigger; its target becomes KEDA's threshold, which is an average per pod."""
    asked = {"backend": "prometheus", "serverAddress": address, "query": query}
    return {"type": "External", "external": {"metric": asked, "target": {"type": "Value", "value": target}}}


def _document(version: str, kind: str, described: Manifest, spec: Manifest) -> Manifest:
    return {"apiVersion": f"{_GROUP}/{version}", "kind": kind, "metadata": described, "spec": spec}
