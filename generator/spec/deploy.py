"""The spec's `deploy:`: where the repository is served beyond this machine, and what the manifests must know of it."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from tritonsmith.generator.spec.settings import Flag, Settings

# A name that Kubernetes takes for namespaces, claims, secrets and accounts (RFC 1123, subdomain).
KubernetesName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
# A Gateway, by its name, or its namespace and name
GatewayName = Annotated[
    str, Field(pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/)?[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")
]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
# Credentials come from a Secret or an account, never from a URL: manifests are committed.
StoreUrl = Annotated[str, Field(pattern=r"^(s3|gs|as)://[^\s@]+$")]
PUSHED = re.compile(r"/[0-9a-f]{64}/?$")  # what `deploy --push` prints ends with the content's digest
# RFC 1123, label; with room for an overlay's `-staging`.
Namespace = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,53}[a-z0-9])?$")]
ImageName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$")]
LabelKey = Annotated[
    str, Field(pattern=r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")
]
LabelValue = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")]


def _require_below(path: str) -> str:
    if ".." in path.split("/"):
        raise ValueError("the path climbs out of the claim or the volume")
    return path


def _require_addresses(block: str) -> str:
    return str(ip_network(block))  # a ValueError says what is wrong with it


AddressBlock = Annotated[str, AfterValidator(_require_addresses)]
SubPath = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./-]*$"), AfterValidator(_require_below)]
ScaleMetric = Literal["queue_to_compute", "waiting", "kv_cache"]


class Source(Settings):
    """Where a pod finds the model repository; baked into its image where nothing is said."""

    claim: KubernetesName | None = Field(None, description="a PersistentVolumeClaim")
    store: StoreUrl | None = Field(
        None, description="s3://bucket/path, gs://bucket/path or as://account/container/path"
    )
    volume: ImageName | None = Field(None, description="an OCI image with the repository (Kubernetes 1.31)")
    path: SubPath = Field("", description="the repository's folder in the claim or the volume")
    fetch: Literal["init", "server"] = Field(
        "init", description="a store's repository is copied by an init container, or by the server itself"
    )
    secret: KubernetesName | None = Field(None, description="a Secret whose keys are the store's environment variables")

    @model_validator(mode="after")
    def _is_one_place(self) -> Source:
        if sum(place is not None for place in (self.claim, self.store, self.volume)) > 1:
            raise ValueError("give one of claim, store and volume, or none: the image then holds the repository")
        return self


class Gpus(Settings):
    """The GPUs that a pod asks for, beyond their number, which the models say."""

    resource: LabelKey = Field("nvidia.com/gpu", description="e.g. nvidia.com/mig-1g.10gb, nvidia.com/gpu.shared")
    products: tuple[LabelValue, ...] = Field((), description="of nvidia.com/gpu.product, e.g. NVIDIA-H100-80GB-HBM3")
    by: Literal["device-plugin", "dra"] = Field(
        "device-plugin", description="pods ask for a resource of the device plugin; or by claims (Kubernetes 1.34)"
    )


class Autoscale(Settings):
    """Between how many replicas, and on what, the fleet is scaled."""

    minimum: int = Field(1, ge=0, description="by default deploy.replicas, or maximum; 0 needs by: keda")
    maximum: int = Field(ge=1)
    on: ScaleMetric | None = Field(
        None,
        description="by default waiting where TensorRT-LLM's backend batches in flight, else queue_to_compute",
    )
    target: float | None = Field(
        None, ge=0.001, description="per pod; by default 1 (ratio), 4 (waiting), 0.8 (fraction)"
    )
    by: Literal["hpa", "keda"] = "hpa"
    wake_on: str | None = Field(
        None,
        min_length=1,
        description="needed by minimum 0: a query for requests that come while there is no pod to count them, "
        "e.g. a gateway's rate",
    )
    prometheus: str | None = Field(
        None,
        pattern=r"^https?://[^\s@]+$",  # no password: what is written is committed
        description="where KEDA asks (the HPA asks an adapter); by default http://prometheus-operated:9090 in "
        "the namespace `monitoring`",
    )

    @model_validator(mode="after")
    def _is_a_range(self) -> Autoscale:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} exceeds maximum {self.maximum}")
        if self.minimum == 0 and self.by == "hpa":
            raise ValueError("an HPA keeps at least 1 replica; by: keda scales to 0")
        if self.minimum == 0 and not self.wake_on:
            raise ValueError("without pods no metric of theirs says that a request came: minimum 0 needs wake_on")
        if self.wake_on and self.by == "hpa":
            raise ValueError("wake_on is KEDA's: an HPA never scales to 0")
        return self


def _least(autoscale: Autoscale, replicas: int) -> Autoscale:
    if "minimum" in autoscale.model_fields_set:
        return autoscale
    return autoscale.model_copy(update={"minimum": min(replicas, autoscale.maximum)})


class Region(Settings):
    """What differs in one region; what is left out is as everywhere."""

    store: StoreUrl | None = Field(None, description="the region's replica of the repository")
    replicas: int | None = Field(None, ge=1, description="a fixed number: no autoscaler there but its own")
    autoscale: Autoscale | None = None
    products: tuple[LabelValue, ...] = Field((), description="the region's GPUs, where they are others")
    spill_to: str = Field("", description="the region that takes what waits too long here")
    spill_above: float = Field(8.0, gt=0, description="requests waiting per ready pod above which traffic spills over")

    @model_validator(mode="after")
    def _is_scaled_once(self) -> Region:
        if self.replicas is not None and self.autoscale is not None:
            raise ValueError("give replicas, a fixed number, or autoscale")
        return self


class Deploy(Settings):
    """Where and how the repository is served beyond this machine."""

    image: ImageName | Literal[""] = Field("", description="the image to run; by default NVIDIA's of the release")
    digest: Digest | None = Field(None, description="pins the image: sha256:...")
    kubernetes: str = Field("1.31", pattern=r"^1\.\d{2}$", description="the oldest version that has to take the files")
    namespace: Namespace = "triton"
    replicas: int = Field(2, ge=1)
    cpus: float | None = Field(None, gt=0, allow_inf_nan=False, description="per pod; by default from the instances")
    memory_mib: int | None = Field(None, gt=0, description="per pod, shared memory included; by default from the files")
    gpus: Gpus = Field(default_factory=Gpus)
    repository: Source = Field(default_factory=Source)
    service_account: KubernetesName | None = Field(None, description="by default one of its own, without rights")
    pull_secret: KubernetesName | None = Field(None, description="a Secret by which nodes may pull private images")
    clients: tuple[AddressBlock, ...] = Field(
        (),
        description="addresses outside the cluster's pods from which requests come, e.g. 10.0.0.0/8: of load balancers "
        "and gateways that are no pods, of nodes",
    )
    monitoring: Namespace = Field("monitoring", description="the namespace whose pods may read the metrics")
    group_topology: LabelKey | Literal[""] = Field(
        "", description="a node label; pods that share an engine share its value, e.g. cloud.google.com/gke-nodepool"
    )
    load_mib_per_s: float = Field(
        100.0, gt=0, allow_inf_nan=False, description="how fast a starting pod reads the repository"
    )
    start_margin_s: int = Field(120, ge=1, description="added to what reading takes, for loading and warm-up")
    pre_stop_s: int = Field(15, ge=1, description="between a pod's leaving the endpoints and its server's SIGTERM")
    autoscale: Autoscale | None = None
    openai: Flag = Field(False, description="serve OpenAI's API too, which prefix-aware routing needs")
    gateway: GatewayName | None = Field(
        None, description="a Gateway, NAME or NAMESPACE/NAME, that routes to it; with openai by the prompt's prefix"
    )
    kserve: Flag = Field(False, description="write a ServingRuntime and an InferenceService as well")
    regions: dict[KubernetesName, Region] = Field(default_factory=dict)

    @property
    def kubernetes_version(self) -> tuple[int, int]:
        """`kubernetes` as numbers that compare."""
        major, _, minor = self.kubernetes.partition(".")
        return int(major), int(minor)

    @model_validator(mode="after")
    def _is_pinned_once(self) -> Deploy:
        if self.digest and "@" in self.image:
            raise ValueError(f"image {self.image} has a digest already: give digest, or the image with it")
        return self

    @model_validator(mode="after")
    def _keeps_its_replicas(self) -> Deploy:
        """Return the settings whose autoscalers go no lower than the fleet was, where they say nothing themselves."""
        changed: dict[str, object] = {}
        if self.autoscale:
            changed["autoscale"] = _least(self.autoscale, self.replicas)
        scaled = {
            name: region.model_copy(update={"autoscale": _least(region.autoscale, self.replicas)})
            for name, region in self.regions.items()
            if region.autoscale
        }
        if scaled:
            changed["regions"] = {**self.regions, **scaled}
        return self.model_copy(update=changed) if changed else self

    @model_validator(mode="after")
    def _regions_exist(self) -> Deploy:
        for name, region in self.regions.items():
            if region.spill_to and (region.spill_to not in self.regions or region.spill_to == name):
                others = ", ".join(other for other in self.regions if other != name) or "no other region is named"
                raise ValueError(f"region {name} spills to '{region.spill_to}'; known are {others}")
        return self
