"""Rules on what one object says of another: selectors, ports, names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from tritonsmith.generator.checks.manifests.case import Manifests
from tritonsmith.generator.checks.manifests.nodes import (
    Step,
    at,
    items_at,
    number_at,
    place_at,
    text_at,
    texts_at,
    words_at,
)
from tritonsmith.generator.checks.manifests.objects import Object, are_together, selects, wanted_labels
from tritonsmith.generator.checks.manifests.pods import Pod
from tritonsmith.generator.checks.registry import check_manifests
from tritonsmith.generator.findings import Finding, Phase
from tritonsmith.generator.spec.tree import Node, Scalar
from tritonsmith.generator.suggest import did_you_mean

MONITORS = ("PodMonitor", "ServiceMonitor")
_SELECTORS: dict[str, tuple[Step, ...]] = {
    "Service": ("spec", "selector"),
    "PodMonitor": ("spec", "selector"),
    "PodDisruptionBudget": ("spec", "selector"),
    "NetworkPolicy": ("spec", "podSelector"),
    "InferencePool": ("spec", "selector"),
}
_MOST_SLIPS = 2
_NUMBER = re.compile(r"[-.]?[0-9]+")
_ROUTES = ("HTTPRoute", "GRPCRoute", "Ingress")


@check_manifests("TK130", "what selects pods selects some")
def selectors_find_pods(case: Manifests) -> Iterator[Finding]:
    """A Service, a PodMonitor, a budget or a policy whose labels are no pod's is taken without a word, and does
    nothing: the Service has no endpoints, the monitor no targets. What selects nothing of the set may be for another
    program of the cluster; labels that are nearly those of the set's pods are taken for a slip. A ServiceMonitor
    selects by the labels of Services: one that asks for a pod's is told too.
    """
    for kind, path in _SELECTORS.items():
        for one in case.of_kind(kind):
            selector = one.at(*path)
            namespace = _namespace_of(one)
            if selector is None or not case.pods_in(namespace) or case.selected_by(selector, namespace):
                continue
            near = next((pod for pod in case.pods_in(namespace) if _is_slip(selector, pod.labels)), None)
            if near is not None:
                labels = ", ".join(f"{key}: {value}" for key, value in near.labels.items())
                message = f"it selects no pod of the set; {near.label} have {labels}"
                remedy = "give the labels of the pods' template, in the same namespace"
                yield one.error(one.place(*path), message, remedy=remedy)
    for one in case.of_kind("ServiceMonitor"):
        services = [other for other in case.of_kind("Service") if are_together(other.namespace, _namespace_of(one))]
        selector = one.at("spec", "selector")
        if any(selects(selector, _labels(other)) for other in services):
            continue
        is_meant = any(_is_slip(selector, _labels(other)) for other in services)
        if services and (is_meant or case.selected_by(selector, _namespace_of(one))):
            message = "it selects no Service of the set"
            remedy = "give labels of the Service itself, not of its pods"
            yield one.error(one.place("spec", "selector"), message, remedy=remedy)


@check_manifests("TK131", "a port that a Service sends to is one of the pods'")
def service_ports_exist(case: Manifests) -> Iterator[Finding]:
    """A targetPort by name is looked for in the pods' containers; where none has it, the Service has no endpoints. By
    number it is taken as it is, and refused connections are all that is seen.

    Source: kubernetes: pkg/api/v1/pod (FindPort).
    """
    for one in case.of_kind("Service"):
        pods = case.selected_by(one.at("spec", "selector"), one.namespace) if one.at("spec", "selector") else []
        for port in items_at(one.node, "spec", "ports") if pods else ():
            target = at(port, "targetPort") or at(port, "port")
            if isinstance(target, Scalar):
                place = place_at(port, "targetPort" if at(port, "targetPort") else "port")
                problem, remedy = _unknown_port(target, pods), "name a containerPort of the pods"
                is_known = target.whole_number is None or all(pod.server and pod.server.listens for pod in pods)
                if problem and is_known:
                    yield one.error(place, problem, remedy=remedy)
                elif problem:  # a container may listen on what it does not declare
                    yield one.warning(place, problem, remedy=remedy)


@check_manifests("TK132", "a port that a monitor scrapes exists")
def monitor_ports_exist(case: Manifests) -> Iterator[Finding]:
    """A PodMonitor names a port of a container, a ServiceMonitor one of a Service; another name scrapes nothing.

    Source: prometheus-operator: Documentation/api-reference (PodMetricsEndpoint.port, Endpoint.port).
    """
    for one in case.of_kind(*MONITORS):
        is_of_pods = one.kind == "PodMonitor"
        names = _pod_ports(case, one) if is_of_pods else _service_ports(case, one)
        key = "podMetricsEndpoints" if is_of_pods else "endpoints"
        for endpoint in items_at(one.node, "spec", key) if names else ():
            name = text_at(endpoint, "port")
            if name and name not in names:
                whose = "the pods' containers" if is_of_pods else "the Services"
                message = f"none of {whose} has a port '{name}'.{did_you_mean(name, names)}"
                yield one.error(place_at(endpoint, "port"), message, remedy=f"name one of {', '.join(sorted(names))}")


@check_manifests("TK133", "a policy's ports are the pods'")
def policy_ports_exist(case: Manifests) -> Iterator[Finding]:
    """A NetworkPolicy that names a port which no container has lets nothing in there."""
    for one in case.of_kind("NetworkPolicy"):
        pods = case.selected_by(one.at("spec", "podSelector"), one.namespace)
        for rule in items_at(one.node, "spec", "ingress") if pods else ():
            for port in items_at(rule, "ports"):
                target = at(port, "port")
                if (
                    isinstance(target, Scalar)
                    and not text_at(port, "endPort")
                    and (problem := _unknown_port(target, pods))
                ):
                    yield one.error(place_at(port, "port"), problem, remedy="name a containerPort of the pods")


@check_manifests("TK134", "a name is spelled like the object's", phase=Phase.START)
def names_are_spelled_alike(case: Manifests) -> Iterator[Finding]:
    """A pod waits for a ConfigMap, a Secret, a claim or an account that is not there. What the set does not hold may
    be in the cluster; a name that is nearly one of the set's is taken for a slip.

    Source: kubernetes: Volumes, Secrets, ServiceAccounts (a pod whose parts are missing does not start).
    """
    for pod in case.pods:
        for kind, scalar in _named(pod):
            known = [other.name for other in case.of_kind(kind) if are_together(other.namespace, pod.owner.namespace)]
            if scalar.text not in known and (near := nearly(scalar.text, known)):
                message = f"there is no {kind} '{scalar.text}' in the set. Did you mean '{near}'?"
                yield pod.owner.error(scalar.place, message, remedy="spell both alike")


@check_manifests("TK135", "a mount names a volume", phase=Phase.APPLY)
def mounts_have_volumes(case: Manifests) -> Iterator[Finding]:
    """A pod with a mount of a volume that it does not have is refused.

    Source: kubernetes: pkg/apis/core/validation (ValidateVolumeMounts).
    """
    for pod in case.pods:
        claims = items_at(pod.owner.node, "spec", "volumeClaimTemplates")
        claims += items_at(pod.owner.node, "spec", "leaderWorkerTemplate", "volumeClaimTemplates")
        known = {*pod.volumes, *(text_at(claim, "metadata", "name") for claim in claims)}
        for container in () if pod.is_runtime else (*pod.init_containers, *pod.containers):
            for mount in items_at(container.node, "volumeMounts"):
                name = text_at(mount, "name")
                if name not in known:
                    message = f"{container.name} mounts '{name}', which is no volume.{did_you_mean(name, known)}"
                    yield pod.owner.error(place_at(mount, "name"), message, remedy="name one of the pod's volumes")


@check_manifests("TK136", "a route leads to a Service's port")
def routes_lead_somewhere(case: Manifests) -> Iterator[Finding]:
    """A route to a Service that is not there, or to a port that it does not have, answers 5xx."""
    services = {one.name: one for one in case.of_kind("Service")}
    for route in case.of_kind(*_ROUTES):
        for backend in _backends(route):
            name, number = text_at(backend, "name"), number_at(backend, "port")
            number = number if number is not None else number_at(backend, "port", "number")
            service = services.get(name)
            if service is None:
                if near := nearly(name, services):
                    message = f"there is no Service '{name}' in the set. Did you mean '{near}'?"
                    yield route.error(place_at(backend, "name"), message, remedy="spell both alike")
                continue
            ports = {number_at(port, "port") for port in items_at(service.node, "spec", "ports")}
            if number is not None and number not in ports:
                message = f"{service.label} has no port {number}"
                yield route.error(place_at(backend, "port"), message, remedy="name one of the Service's ports")


@check_manifests("TK137", "a pod's rules of placement are about itself")
def spreading_is_about_itself(case: Manifests) -> Iterator[Finding]:
    """A topologySpreadConstraint counts the pods that its selector takes: where these are not the pod's own kind, it
    spreads nothing.
    """
    for pod in case.pods:
        for constraint in items_at(pod.spec, "topologySpreadConstraints"):
            selector = at(constraint, "labelSelector")
            if selector is None or not selects(selector, pod.labels):
                message = "the constraint's labelSelector does not take the pods themselves"
                place = place_at(constraint, "labelSelector")
                yield pod.owner.warning(place, message, remedy="give labels of the pod's own template")


def nearly(word: str, known: Iterable[str]) -> str:
    """Return the known name that is two slips of a letter away at the most, empty where none is.

    Of a short name every fourth letter may be one: llm is no slip of vllm. Names that differ by their digits alone are
    taken for two of one kind.
    """
    letters = _NUMBER.sub("", word)
    return next((one for one in known if _NUMBER.sub("", one) != letters and _slips(word, one) <= _most(word, one)), "")


def _most(one: str, other: str) -> int:
    return min(_MOST_SLIPS, len(one) // 4, len(other) // 4)


def _is_slip(selector: Node | None, labels: Mapping[str, str]) -> bool:
    """Whether a selector asks for some labels, all but for slips of the pen."""
    wanted = wanted_labels(selector).items() - labels.items()
    return bool(wanted) and all(
        any(_is_alike(key, known) and _is_alike(value, labels[known]) for known in labels) for key, value in wanted
    )


def _is_alike(word: str, known: str) -> bool:
    return word == known or bool(nearly(word, [known]))


def _slips(one: str, other: str) -> int:
    """Return how many letters are put in, left out or exchanged between two words (Levenshtein)."""
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        above, row[0] = row[0], number
        for place, opposite in enumerate(other, 1):
            above, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, above + (letter != opposite))
    return row[-1]


def _unknown_port(target: Scalar, pods: list[Pod]) -> str:
    """Return what is wrong with a port of some pods, by name or number, empty where nothing is."""
    number = target.whole_number
    names = {name for pod in pods for name in pod.port_names}
    if number is None or (target.is_quoted and not target.text.isdecimal()):
        return (
            ""
            if target.text in names
            else f"no container has a port '{target.text}'.{did_you_mean(target.text, names)}"
        )
    known = {known for pod in pods for known in pod.port_numbers}
    listed = ", ".join(map(str, sorted(known)))
    return f"no container has a port {number}; known are {listed}" if known and number not in known else ""


def _namespace_of(one: Object) -> str:
    """Return the namespace that an object looks into, empty where that is any."""
    chosen = one.at("spec", "namespaceSelector")
    names = texts_at(chosen, "matchNames")
    if chosen is not None and (text_at(chosen, "any") == "true" or len(names) != 1):
        return ""
    return names[0] if names else one.namespace


def _labels(one: Object) -> dict[str, str]:
    return words_at(one.node, "metadata", "labels")


def _pod_ports(case: Manifests, one: Object) -> set[str]:
    pods = case.selected_by(one.at("spec", "selector"), _namespace_of(one))
    return {name for pod in pods for name in pod.port_names}


def _service_ports(case: Manifests, one: Object) -> set[str]:
    services = [other for other in case.of_kind("Service") if selects(one.at("spec", "selector"), _labels(other))]
    return {text_at(port, "name") for other in services for port in items_at(other.node, "spec", "ports")} - {""}


def _named(pod: Pod) -> Iterator[tuple[str, Scalar]]:
    """Yield the objects that a pod names: the kind, and the name."""
    paths: list[tuple[str, Node | None]] = [("ServiceAccount", at(pod.spec, "serviceAccountName"))]
    for volume in pod.volumes.values():
        paths += [
            ("ConfigMap", at(volume, "configMap", "name")),
            ("Secret", at(volume, "secret", "secretName")),
            ("PersistentVolumeClaim", at(volume, "persistentVolumeClaim", "claimName")),
        ]
    for container in (*pod.init_containers, *pod.containers):
        for source in items_at(container.node, "envFrom"):
            paths += [("ConfigMap", at(source, "configMapRef", "name")), ("Secret", at(source, "secretRef", "name"))]
        for variable in items_at(container.node, "env"):
            source = at(variable, "valueFrom") or variable
            paths += [
                ("ConfigMap", at(source, "configMapKeyRef", "name")),
                ("Secret", at(source, "secretKeyRef", "name")),
            ]
    paths += [("Secret", at(secret, "name")) for secret in items_at(pod.spec, "imagePullSecrets")]
    yield from ((kind, node) for kind, node in paths if isinstance(node, Scalar) and node.is_given)


def _backends(route: Object) -> Iterator[Node]:
    for rule in items_at(route.node, "spec", "rules"):
        for backend in items_at(rule, "backendRefs"):
            if text_at(backend, "kind") in ("", "Service") and not text_at(backend, "namespace"):
                yield backend
        for path in items_at(rule, "http", "paths"):
            if (service := at(path, "backend", "service")) is not None:
                yield service
