"""Rules on the network: who reaches a server, on which port, and over which connections."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith.generator.catalog.options import DEFAULT_PORTS
from tritonsmith.generator.checks.manifests.case import Manifests
from tritonsmith.generator.checks.manifests.nodes import at, items_at, number_at, text_at, texts_at
from tritonsmith.generator.checks.manifests.objects import Object, are_together, selects
from tritonsmith.generator.checks.manifests.pods import Container, Pod
from tritonsmith.generator.checks.manifests.queries import endpoints
from tritonsmith.generator.checks.registry import check_manifests
from tritonsmith.generator.findings import Finding, Place
from tritonsmith.generator.spec.tree import Node, Scalar

_OUTSIDE = ("LoadBalancer", "NodePort")
_POLICY = "NetworkPolicy"


@check_manifests("TK520", "a policy says who reaches a server")
def servers_have_policies(case: Manifests) -> Iterator[Finding]:
    """Every pod of a cluster reaches every other where no NetworkPolicy is: with Triton's ports come its models, its
    settings and, in explicit mode, loading and unloading.

    Source: kubernetes: Network Policies; server: docs/customization_guide/deploy.md.
    """
    for pod, server in case.fleet:
        if case.has_surroundings and not _policies(case, pod):
            message = f"no {_POLICY} selects {pod.label}: every pod of the cluster reaches them"
            yield pod.owner.warning(
                pod.owner.place("metadata", "name"), message, remedy=f"a {_POLICY} for {_ports(server)}"
            )


@check_manifests("TK521", "metrics stay inside")
def metrics_stay_inside(case: Manifests) -> Iterator[Finding]:
    """Triton's metrics tell models, versions and load, without asking who wants to know: a LoadBalancer or a NodePort
    shows them to all.

    Source: server: docs/customization_guide/deploy.md (endpoints).
    """
    for one in case.of_kind("Service"):
        if one.text("spec", "type") not in _OUTSIDE:
            continue
        pods = case.selected_by(one.at("spec", "selector"), one.namespace) if one.at("spec", "selector") else []
        servers = [pod.server for pod in pods if pod.server is not None]
        for port in items_at(one.node, "spec", "ports") if servers else ():
            if any(_is_metrics(port, server) for server in servers):
                message = f"a {one.text('spec', 'type')} shows Triton's metrics outside"
                yield one.warning(port.place, message, remedy="leave the metrics port to a ClusterIP Service")


@check_manifests("TK522", "a gRPC client sees more than one server")
def grpc_is_balanced(case: Manifests) -> Iterator[Finding]:
    """A ClusterIP chooses a pod for each connection, and a gRPC channel keeps its connection: all calls of a client go
    to one pod. A headless Service, a proxy that speaks HTTP/2 or a gateway spreads them.

    Source: kubernetes: Services (headless); gRPC: load balancing.
    """
    for pod, server in case.fleet:
        services = case.services_of(pod)
        grpc = [
            (one, port) for one in services for port in items_at(one.node, "spec", "ports") if _is_grpc(port, server)
        ]
        is_headless = any(one.text("spec", "clusterIP") == "None" for one, _ in grpc)
        names = {one.name for one, _ in grpc}
        is_routed = any(_names_service(route, names) for route in case.of_kind("GRPCRoute", "VirtualService"))
        for one, port in grpc if not is_headless and not is_routed else ():
            if one.text("spec", "type") in ("", "ClusterIP"):
                message = "a gRPC channel stays with the pod that it first came to"
                yield one.note(port.place, message, remedy="a second Service with clusterIP: None for gRPC clients")


@check_manifests("TK523", "a policy lets in what Services and monitors send")
def policies_let_requests_in(case: Manifests) -> Iterator[Finding]:
    """A pod that a policy selects takes what its rules allow and nothing else: a port that is left out is closed, to
    Prometheus too. Where Prometheus runs is not in the set, so that whom a rule lets in is not judged.

    Source: kubernetes: Network Policies (isolation).
    """
    for pod, _ in case.fleet:
        policies = [one for one in _policies(case, pod) if _isolates(one)]
        allowed = _allowed(policies, pod)
        for one, place, number in _sent(case, pod) if policies and allowed is not None else ():
            if number is not None and allowed is not None and number not in allowed:
                names = ", ".join(policy.name for policy in policies)
                message = f"port {number} of {pod.label} is closed by {_POLICY} {names}"
                yield one.error(place, message, remedy=f"let {number} in, or leave it out of the {one.kind}")


def _sent(case: Manifests, pod: Pod) -> Iterator[tuple[Object, Place, int | None]]:
    """Yield the ports of a pod that a Service sends to or a PodMonitor scrapes; a ServiceMonitor's are a Service's."""
    for service in case.services_of(pod):
        for port in items_at(service.node, "spec", "ports"):
            yield service, port.place, _target(port, pod)
    for one, endpoint, _ in endpoints(case):
        if one.kind == "PodMonitor" and selects(one.at("spec", "selector"), pod.labels):
            named = at(endpoint, "port") or at(endpoint, "portNumber") or at(endpoint, "targetPort")
            yield one, endpoint.place, _number(named, pod)


def _policies(case: Manifests, pod: Pod) -> list[Object]:
    policies = [one for one in case.of_kind(_POLICY) if are_together(one.namespace, pod.owner.namespace)]
    return [one for one in policies if selects(one.at("spec", "podSelector"), pod.labels)]


def _isolates(policy: Object) -> bool:
    types = texts_at(policy.node, "spec", "policyTypes")
    return not types or "Ingress" in types


def _allowed(policies: list[Object], pod: Pod) -> set[int] | None:
    """Return the ports that some policies let in, None where that is all."""
    allowed: set[int] = set()
    for policy in policies:
        for rule in items_at(policy.node, "spec", "ingress"):
            ports = items_at(rule, "ports")
            if not ports:
                return None
            for port in ports:
                first, last = _number(at(port, "port"), pod), number_at(port, "endPort")
                if first is None:
                    return None
                allowed |= set(range(first, min(last or first, 65535) + 1))
    return allowed


def _target(port: Node, pod: Pod) -> int | None:
    return _number(at(port, "targetPort") or at(port, "port"), pod)


def _number(node: Node | None, pod: Pod) -> int | None:
    if not isinstance(node, Scalar):
        return None
    return node.whole_number if node.whole_number is not None else pod.port_names.get(node.text)


def _is_metrics(port: Node, server: Container) -> bool:
    metrics = server.listens.get("metrics", server.port_names.get("metrics") or DEFAULT_PORTS["metrics"])
    return _target(port, server.pod) == metrics


def _is_grpc(port: Node, server: Container) -> bool:
    grpc = server.listens.get("grpc", server.port_names.get("grpc") or DEFAULT_PORTS["grpc"])
    return _target(port, server.pod) == grpc


def _ports(server: Container) -> str:
    listens = server.listens or DEFAULT_PORTS
    return " and ".join(str(number) for name, number in listens.items() if name != "metrics")


def _names_service(route: Object, names: set[str]) -> bool:
    rules = items_at(route.node, "spec", "rules")
    return any(text_at(backend, "name") in names for rule in rules for backend in items_at(rule, "backendRefs"))
