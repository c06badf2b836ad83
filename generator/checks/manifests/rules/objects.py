"""Rules on objects by themselves: names, labels, selectors, ports, versions of the API."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from tritonsmith.generator.checks.manifests.case import Manifests
from tritonsmith.generator.checks.manifests.nodes import items_at, number_at, place_at, text_at, typed, words_at
from tritonsmith.generator.checks.manifests.objects import DEFAULT_NAMESPACE, Object, selects
from tritonsmith.generator.checks.registry import check_manifests
from tritonsmith.generator.findings import Finding, Phase, Place
from tritonsmith.generator.manifests.kubernetes.schemas import schema_of
from tritonsmith.generator.manifests.kubernetes.schemas.faults import faults
from tritonsmith.generator.spec.tree import Node, Scalar, Sequence

_GROUPS = ("apps", "batch", "autoscaling", "policy", "networking.k8s.io")  # whose names have one form
_UNSET = ("None", "none", "null", "nil", "undefined", "<no value>", "NaN")
_DNS_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_DNS_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?")
# (group/version, kind or "" for all) -> (what is there instead, since when it is gone)
_REMOVED = {
    ("autoscaling/v2beta1", ""): ("autoscaling/v2", "Kubernetes 1.25"),
    ("autoscaling/v2beta2", ""): ("autoscaling/v2", "Kubernetes 1.26"),
    ("policy/v1beta1", ""): ("policy/v1", "Kubernetes 1.25"),
    ("batch/v1beta1", ""): ("batch/v1", "Kubernetes 1.25"),
    ("networking.k8s.io/v1beta1", ""): ("networking.k8s.io/v1", "Kubernetes 1.22"),
    ("rbac.authorization.k8s.io/v1beta1", ""): ("rbac.authorization.k8s.io/v1", "Kubernetes 1.22"),
    ("apiextensions.k8s.io/v1beta1", ""): ("apiextensions.k8s.io/v1", "Kubernetes 1.22"),
    ("extensions/v1beta1", "Ingress"): ("networking.k8s.io/v1", "Kubernetes 1.22"),
    ("extensions/v1beta1", ""): ("apps/v1", "Kubernetes 1.16"),
    ("apps/v1beta1", ""): ("apps/v1", "Kubernetes 1.16"),
    ("apps/v1beta2", ""): ("apps/v1", "Kubernetes 1.16"),
    ("traefik.containo.us/v1alpha1", ""): ("traefik.io/v1alpha1", "Traefik 3"),
}


@check_manifests("TK110", "a version of the API still exists", phase=Phase.APPLY)
def versions_exist(case: Manifests) -> Iterator[Finding]:
    """An apiVersion that was removed is "no matches for kind" to the cluster, whatever the rest says.

    Source: kubernetes: Deprecated API Migration Guide; Traefik: migration from v2 to v3.
    """
    for one in case.objects:
        removed = _REMOVED.get((one.api, one.kind)) or _REMOVED.get((one.api, ""))
        if removed:
            newer, since = removed
            message = f"{one.api} was removed in {since}"
            yield one.error(one.place("apiVersion"), message, remedy=f"write it as {newer}")


@check_manifests("TK111", "no name is the word for nothing", phase=Phase.APPLY)
def names_are_set(case: Manifests) -> Iterator[Finding]:
    """`namespace: None` is what a program prints for a value that it does not have; to YAML it is a word.

    Source: aiconfigurator 0.12's own output, tried.
    """
    for one in case.objects:
        for scalar, place in _scalars(one.node, one.node.place):
            for word in _UNSET:
                if scalar.text == word and place in (one.place("metadata", "namespace"), one.place("metadata", "name")):
                    yield one.error(place, f"'{word}' is meant to be no name", remedy="write the name, or leave it out")
                elif f".{word}.svc" in scalar.text:
                    yield one.error(place, f"'{scalar.text}' has {word} for a namespace", remedy="write the namespace")


@check_manifests("TK112", "an object is there once")
def objects_are_there_once(case: Manifests) -> Iterator[Finding]:
    """Of two objects with one kind, name and namespace the second replaces the first, or kustomize stops."""
    seen: dict[tuple[str, ...], Object] = {}
    for one in case.objects:
        key = one.group, one.kind, one.name, one.namespace or DEFAULT_NAMESPACE
        first = seen.setdefault(key, one)
        if first is not one and one.name:
            where = first.place("metadata", "name")
            message = f"{one.label} is given twice, first in {where}"
            yield one.error(one.place("metadata", "name"), message, remedy="rename or remove one of them")


@check_manifests("TK113", "names and labels have the form that the cluster takes", phase=Phase.APPLY)
def names_have_their_form(case: Manifests) -> Iterator[Finding]:
    """Names are lower-case words with - and . between them; a value of a label has at most 63 characters.

    Source: kubernetes: apimachinery/pkg/util/validation (RFC 1123 and 1035).
    """
    for one in case.objects:
        form = _DNS_LABEL if one.kind == "Service" else _DNS_NAME
        is_ours = one.api == "v1" or one.group in _GROUPS
        if one.name and is_ours and not form.fullmatch(one.name):
            message = f"'{one.name}' is no name for a {one.kind}"
            yield one.error(one.place("metadata", "name"), message, remedy="use a-z, 0-9 and -")
        for path in (("metadata",), ("spec", "template", "metadata")):
            for key, value in words_at(one.node, *path, "labels").items():
                if not _LABEL_VALUE.fullmatch(value):
                    message = f"'{value}' is no value for the label {key}"
                    place = one.place(*path, "labels", key)
                    yield one.error(place, message, remedy="at most 63 letters, digits, -, _ and . in between")


@check_manifests("TK114", "a workload selects its own pods", phase=Phase.APPLY)
def workloads_select_their_pods(case: Manifests) -> Iterator[Finding]:
    """A Deployment whose selector does not match its template's labels is refused.

    Source: kubernetes: pkg/apis/apps/validation.
    """
    for pod in case.pods:
        owner = pod.owner
        selector = owner.at("spec", "selector")
        if owner.kind in ("Deployment", "StatefulSet", "ReplicaSet", "DaemonSet"):
            place = owner.place("spec", "selector")
            if selector is None and not pod.labels:
                continue  # a patch
            if selector is None:
                yield owner.error(place, "it has no selector", remedy="give the template's labels as matchLabels")
            elif not selects(selector, pod.labels):
                message = f"the selector does not match the template's labels, {_labels(pod.labels)}"
                yield owner.error(place, message, remedy="give some of the template's labels as matchLabels")


@check_manifests("TK115", "ports have names, each its own", phase=Phase.APPLY)
def ports_have_names(case: Manifests) -> Iterator[Finding]:
    """A Service with several ports needs a name for each, at most 15 characters of a port of a container.

    Source: kubernetes: pkg/apis/core/validation (ValidatePortName).
    """
    for one in case.of_kind("Service"):
        ports = items_at(one.node, "spec", "ports")
        for port in ports if len(ports) > 1 else ():
            if not text_at(port, "name"):
                message = f"port {text_at(port, 'port')} has no name among {len(ports)}"
                yield one.error(port.place, message, remedy="name each port")
        yield from _repeated(one, ports)
    for pod in case.pods:
        for container in pod.containers:
            yield from _repeated(pod.owner, container.ports)
            for port in container.ports:
                name = text_at(port, "name")
                if name and not _PORT_NAME.fullmatch(name):
                    message = f"'{name}' is no name for a port"
                    place = place_at(port, "name")
                    yield pod.owner.error(place, message, remedy="at most 15 of a-z, 0-9 and -, a letter among them")


@check_manifests("TK116", "a number of a port or a probe is in its range", phase=Phase.APPLY)
def numbers_are_in_range(case: Manifests) -> Iterator[Finding]:
    """A port is 1 to 65535; a liveness or startup probe counts one success.

    Source: kubernetes: pkg/apis/core/validation.
    """
    for pod in case.pods:
        for container in pod.containers:
            for port in container.ports:
                number = number_at(port, "containerPort")
                if number is None or not 0 < number < 65536:
                    message = f"'{text_at(port, 'containerPort')}' is no port"
                    yield pod.owner.error(place_at(port, "containerPort"), message, remedy="use 1 to 65535")
            for probe in ("livenessProbe", "startupProbe"):
                if (number_at(container.node, probe, "successThreshold") or 1) != 1:
                    message = f"successThreshold of a {probe} is always 1"
                    yield pod.owner.error(container.place(probe, "successThreshold"), message, remedy="leave it out")


@check_manifests("TK117", "known fields of a custom resource are spelled as its schema has them", phase=Phase.APPLY)
def fields_are_known(case: Manifests) -> Iterator[Finding]:
    """What an operator's kind does not know is refused, or dropped in silence by an older client.

    Judged are the kinds for which `deploy` writes objects.

    Source: the operators' own types, named in generator/manifests/kubernetes/schemas; kubernetes: field validation.
    """
    for one in case.objects:
        schema = schema_of(one.api, one.kind)
        for path, fault in faults(typed(one.node), schema) if schema else ():
            if path.startswith("metadata"):  # the cluster's own fields may be left in it
                continue
            steps = [int(step) if step.isdecimal() else step for step in path.split(".")]
            message = f"{path or one.kind}: {fault}"
            yield one.error(one.place(*steps), message, remedy=f"see `kubectl explain {one.kind.lower()}`")


def _repeated(one: Object, ports: list[Node]) -> Iterator[Finding]:
    counts = Counter(name for port in ports if (name := text_at(port, "name")))
    for port in ports:
        name = text_at(port, "name")
        if counts[name] > 1:
            yield one.error(place_at(port, "name"), f"port '{name}' is named twice", remedy="name each port otherwise")


def _scalars(node: Node, place: Place) -> Iterator[tuple[Scalar, Place]]:
    """Yield every scalar of a tree with the place of its key."""
    if isinstance(node, Scalar):
        yield node, place
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from _scalars(item, item.place)
    else:
        for key, value in node.entries.items():
            yield from _scalars(value, node.place_of(key))


def _labels(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in labels.items()) or "of which there are none"
