"""The pods that the objects of a set make: their templates, containers, volumes, and which of them run Triton."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import PurePosixPath

from tritonsmith.generator.catalog.labels import LWS_INDEX, LWS_NAME
from tritonsmith.generator.catalog.options import DEFAULT_PORTS
from tritonsmith.generator.checks.manifests.nodes import (
    Step,
    at,
    entries_at,
    items_at,
    number_at,
    place_at,
    quantity_at,
    text_at,
    texts_at,
    words_at,
)
from tritonsmith.generator.checks.manifests.objects import Object
from tritonsmith.generator.checks.manifests.start import SERVER, Start, read_start
from tritonsmith.generator.findings import Place
from tritonsmith.generator.spec.tree import Mapping, Node
from tritonsmith.generator.spec.tree import Sequence as Items

Configs = AnyMapping[str, AnyMapping[str, str]]  # the data of ConfigMaps, by name
LWS = "LeaderWorkerSet"
RUNTIMES = ("ServingRuntime", "ClusterServingRuntime")
SCALABLE = ("Deployment", "StatefulSet", "ReplicaSet", LWS)
_TEMPLATES: AnyMapping[str, tuple[tuple[str, tuple[Step, ...]], ...]] = {
    "CronJob": (("", ("spec", "jobTemplate", "spec", "template")),),
    "Pod": (("", ()),),
    LWS: (
        ("leader", ("spec", "leaderWorkerTemplate", "leaderTemplate")),
        ("worker", ("spec", "leaderWorkerTemplate", "workerTemplate")),
    ),
}
_ANY: tuple[tuple[str, tuple[Step, ...]], ...] = (("", ("spec", "template")),)  # an operator's kind, e.g. a Rollout
GPU_RESOURCES = re.compile(r"nvidia\.com/(gpu|mig-)", re.IGNORECASE)
SHM = "/dev/shm"  # noqa: S108 - the container's
_ENGINES = re.compile(r"trt-?llm|tensorrt-?_?llm", re.IGNORECASE)
SHARED_MEMORY = "Memory"
_WORKER = re.compile(r"(-|^)worker-?[0-9]*$")  # a Deployment for each rank


@dataclass(frozen=True, eq=False)
class Container:
    """A container of a pod."""

    pod: Pod
    node: Node
    is_init: bool = False

    @property
    def name(self) -> str:
        """Its name."""
        return text_at(self.node, "name")

    @property
    def image(self) -> str:
        """Its image."""
        return text_at(self.node, "image")

    def place(self, *path: Step) -> Place:
        """Return where something of it was written, or the nearest key around it."""
        return place_at(self.node, *path)

    @cached_property
    def start(self) -> Start:
        """What it starts."""
        return read_start(texts_at(self.node, "command"), texts_at(self.node, "args"))

    @property
    def start_place(self) -> Place:
        """Where its command was written."""
        return self.place("args") if at(self.node, "args") else self.place("command")

    @cached_property
    def is_triton(self) -> bool:
        """Whether it runs Triton: tritonserver is started, its image or its probes are Triton's."""
        if self.is_init:
            return False
        paths = [text_at(self.node, probe, "httpGet", "path") for probe in ("startupProbe", "readinessProbe")]
        is_image = SERVER in self.image or "triton-inference-server" in self.image
        return bool(self.start.server) or is_image or any(path.startswith("/v2/health") for path in paths)

    @property
    def has_engines(self) -> bool:
        """Whether it runs engines of TensorRT-LLM, which are built for one kind of GPU."""
        words = [self.image, *texts_at(self.node, "command"), *texts_at(self.node, "args")]
        return any(_ENGINES.search(word) for word in words)

    @cached_property
    def ports(self) -> list[Node]:
        """The ports that it declares."""
        return items_at(self.node, "ports")

    @cached_property
    def port_names(self) -> dict[str, int | None]:
        """The numbers of its named ports."""
        return {name: number_at(port, "containerPort") for port in self.ports if (name := text_at(port, "name"))}

    @cached_property
    def port_numbers(self) -> set[int]:
        """The numbers that it declares, and those that Triton in it listens on."""
        declared = {number for port in self.ports if (number := number_at(port, "containerPort")) is not None}
        return declared | set(self.listens.values())

    @cached_property
    def listens(self) -> dict[str, int]:
        """Triton's ports by protocol, where its command line is known."""
        if self.start.server is None:
            return {}
        listens = {}
        for protocol, usual in DEFAULT_PORTS.items():
            option = self.start.option(f"{protocol}-port")
            is_allowed = (self.start.option(f"allow-{protocol}") or "true").lower() not in ("false", "0")
            if is_allowed and not (self.start.values(f"{protocol}-port") and not (option or "").isdecimal()):
                listens[protocol] = int(option) if option else usual
        return listens

    def resource(self, side: str, name: str) -> Fraction | None:
        """Return its limits' or requests' amount of a resource; a limit is a request where none is given."""
        return quantity_at(self.node, "resources", side, name)

    @cached_property
    def gpus(self) -> dict[str, int]:
        """The GPUs that it asks for, by resource."""
        asked: dict[str, int] = {}
        for side in ("requests", "limits"):
            for name in entries_at(self.node, "resources", side):
                count = self.resource(side, name)
                if GPU_RESOURCES.match(name) and count is not None:
                    asked[name] = int(count)
        return {name: count for name, count in asked.items() if count}

    @cached_property
    def mounts(self) -> dict[str, Node]:
        """Its volume mounts by path."""
        return {text_at(mount, "mountPath").rstrip("/") or "/": mount for mount in items_at(self.node, "volumeMounts")}

    def mount_over(self, path: str) -> Node | None:
        """Return the mount that a path lies in."""
        around = [path, *map(str, PurePosixPath(path).parents)]
        return next((self.mounts[parent] for parent in around if parent in self.mounts), None)

    def volume_at(self, path: str) -> Node | None:
        """Return the volume that is mounted at just this path."""
        mount = self.mounts.get(path)
        return self.pod.volumes.get(text_at(mount, "name")) if mount else None

    def security(self, name: str) -> Node | None:
        """Return a setting of its security context, or else the pod's."""
        own = at(self.node, "securityContext", name)
        return own if own is not None else at(self.pod.spec, "securityContext", name)


@dataclass(frozen=True, eq=False)
class Pod:
    """A template of pods: the object it is of, its role in a LeaderWorkerSet, and the labels the pods get."""

    owner: Object
    template: Node
    role: str = ""  # leader or worker
    labels: AnyMapping[str, str] = field(default_factory=dict)
    configs: Configs = field(default_factory=dict)
    is_whole: bool = True  # else KServe's, whose own part of the pod is not in the set

    @cached_property
    def spec(self) -> Node:
        """The pod's spec."""
        return at(self.template, "spec") or self.owner.node

    def file(self, path: str) -> str:
        """Return the text of a file that the pod has of a ConfigMap, by its path or its name alone."""
        name = PurePosixPath(path).name
        mounted = {text_at(volume, "configMap", "name") for volume in self.volumes.values()}
        texts = [data[name] for config, data in self.configs.items() if name in data and config in mounted]
        return next((text for text in texts), "")

    def place(self, *path: Step) -> Place:
        """Return where something of its spec was written, or the nearest key around it."""
        return place_at(self.spec, *path)

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return f"{self.owner.label}'s {self.role} pods" if self.role else f"{self.owner.label}'s pods"

    @cached_property
    def containers(self) -> list[Container]:
        """Its containers."""
        return [Container(self, node) for node in items_at(self.spec, "containers")]

    @cached_property
    def init_containers(self) -> list[Container]:
        """Its init containers."""
        return [Container(self, node, is_init=True) for node in items_at(self.spec, "initContainers")]

    @cached_property
    def server(self) -> Container | None:
        """The container that runs Triton."""
        return next((one for one in self.containers if one.is_triton), None)

    @property
    def is_runtime(self) -> bool:
        """Whether KServe makes the pods: what is around them is its part."""
        return self.owner.kind in RUNTIMES

    @property
    def serves(self) -> bool:
        """Whether requests come to it: not to a worker, nor to a job."""
        is_worker = self.role == "worker" or bool(_WORKER.search(self.owner.name))
        return self.server is not None and not is_worker and self.owner.kind not in ("Job", "CronJob")

    @cached_property
    def volumes(self) -> dict[str, Node]:
        """Its volumes by name."""
        return {text_at(volume, "name"): volume for volume in items_at(self.spec, "volumes")}

    @property
    def memory_volumes(self) -> dict[str, Node]:
        """Its volumes that are memory."""
        return {name: one for name, one in self.volumes.items() if text_at(one, "emptyDir", "medium") == SHARED_MEMORY}

    @property
    def gpus(self) -> int:
        """How many GPUs one pod asks for."""
        return sum(sum(container.gpus.values()) for container in self.containers)

    @property
    def replicas(self) -> int | None:
        """How many there are to be: 1 where nothing is said, None where that cannot be read."""
        node = self.owner.at("spec", "replicas")
        return 1 if node is None else number_at(node)

    @property
    def size(self) -> int:
        """How many pods a group of a LeaderWorkerSet has, 1 elsewhere."""
        return number_at(self.owner.node, "spec", "leaderWorkerTemplate", "size") or 1 if self.role else 1

    @property
    def port_names(self) -> dict[str, int | None]:
        """The named ports of all its containers."""
        return {name: number for one in self.containers for name, number in one.port_names.items()}

    @property
    def port_numbers(self) -> set[int]:
        """The ports that are declared, or known to be listened on."""
        return {number for one in self.containers for number in one.port_numbers}


def pods_of(owner: Object, configs: Configs, users: Sequence[Object] = ()) -> Iterator[Pod]:
    """Yield the templates of pods that an object holds.

    `users` are InferenceServices: a pod of KServe's is what its runtime says over what its service's predictor says.
    """
    if owner.kind in RUNTIMES:
        yield from _runtime_pods(owner, configs, users)
        return
    for role, path in _TEMPLATES.get(owner.kind, _ANY):
        template = owner.at(*path)
        if template is None and role == "leader":  # the workers' is the leader's too
            template = owner.at("spec", "leaderWorkerTemplate", "workerTemplate")
        if template is not None and items_at(template, "spec", "containers"):
            labels = words_at(template, "metadata", "labels") | _group_labels(owner, role)
            yield Pod(owner, template, role, labels, configs)


def _runtime_pods(owner: Object, configs: Configs, users: Sequence[Object]) -> Iterator[Pod]:
    spec = owner.at("spec")
    if not isinstance(spec, Mapping) or not items_at(spec, "containers"):
        return
    predictors = [one.at("spec", "predictor") for one in users]
    used = [one for one in predictors if isinstance(one, Mapping) and text_at(one, "model", "runtime") == owner.name]
    for predictor in used or [Mapping({}, spec.place)]:
        entries, keys = {**predictor.entries, **spec.entries}, {**predictor.keys, **spec.keys}
        for name in ("volumes", "imagePullSecrets"):
            both = [*items_at(predictor, name), *items_at(spec, name)]
            entries |= {name: Items(both, spec.place)} if both else {}
        template = Mapping({"spec": Mapping(entries, spec.place, keys)}, owner.node.place)
        yield Pod(owner, template, "", words_at(spec, "labels"), configs, is_whole=bool(used))


def _group_labels(owner: Object, role: str) -> dict[str, str]:
    """Return the labels that LeaderWorkerSet gives its pods. Source: lws: api/leaderworkerset/v1 (SetNameLabelKey)."""
    if not role:
        return {}
    return {LWS_NAME: owner.name, LWS_INDEX: "0" if role == "leader" else "1"}
