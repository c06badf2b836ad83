"""Rules on probes: what Triton answers where, and how long it may take to load."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from tritonsmith.generator.checks.manifests.case import Manifests
from tritonsmith.generator.checks.manifests.nodes import at, in_words, number_at, quantity_at, text_at
from tritonsmith.generator.checks.manifests.pods import Container, Pod
from tritonsmith.generator.checks.registry import check_manifests
from tritonsmith.generator.findings import Finding, Phase
from tritonsmith.generator.spec.tree import Scalar
from tritonsmith.generator.suggest import did_you_mean

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
READY, LIVE = "/v2/health/ready", "/v2/health/live"
# What a GET is answered at with 200. Source: server: src/http_server.cc (server_regex_, model_regex_).
_ANSWERED = re.compile(r"/v2(/health/(live|ready)|/models/[^/]+(/versions/[0-9]+)?(/(ready|config|stats))?)?")
_FASTEST_BYTES_PER_S = 1 << 30  # no volume that is shared by pods gives one of them more for long


@check_manifests("TK200", "a probe's port exists", phase=Phase.START)
def probe_ports_exist(case: Manifests) -> Iterator[Finding]:
    """A probe names a port of its own container; another name fails each time.

    Source: kubernetes: pkg/probe (the container's own ports are looked through).
    """
    for pod in case.pods:
        for container in (*pod.init_containers, *pod.containers):
            for probe in PROBES:
                port = at(container.node, probe, "httpGet", "port") or at(container.node, probe, "tcpSocket", "port")
                if isinstance(port, Scalar) and port.whole_number is None and port.text not in container.port_names:
                    hint = did_you_mean(port.text, container.port_names)
                    message = f"{container.name} has no port '{port.text}' for its {probe}.{hint}"
                    yield pod.owner.error(port.place, message, remedy="name one of the container's ports")


@check_manifests("TK201", "a probe asks where Triton answers", phase=Phase.START)
def probes_ask_triton(case: Manifests) -> Iterator[Finding]:
    """Triton answers probes over HTTP at its HTTP port alone: gRPC's is HTTP/2, and metrics' knows only /metrics.

    Source: server: src/http_server.cc (HandleHealth).
    """
    for pod, server in case.serving:
        others = {name: number for name, number in server.listens.items() if name != "http"}
        for probe in PROBES:
            number = _port(server, probe)
            place = server.place(probe, "httpGet", "port")
            for name, other in others.items():
                if number == other:
                    message = f"the {probe} asks port {number}, which is Triton's {name} port"
                    yield pod.owner.error(place, message, remedy="ask the HTTP port")
            is_declared = number in server.port_names.values() or number in {
                number_at(p, "containerPort") for p in server.ports
            }
            if number and server.listens and number not in server.listens.values() and not is_declared:
                message = f"the {probe} asks port {number}, where nothing listens"
                yield pod.owner.error(place, message, remedy="ask Triton's HTTP port")


@check_manifests("TK202", "a probe asks for what Triton answers", phase=Phase.START)
def probes_ask_for_health(case: Manifests) -> Iterator[Finding]:
    """Triton's paths are /v2, /v2/health/ready, /v2/health/live and a model's own; it answers others with 404 or 400.

    Source: server: src/http_server.cc (Handle, HandleServerHealth, HandleModelReady); the KServe protocol v2.
    """
    for pod, server in case.serving:
        for probe in PROBES:
            path = text_at(server.node, probe, "httpGet", "path")
            number = _port(server, probe)
            is_tritons = number is None or number == server.listens.get("http", 8000)
            if path and is_tritons and not _ANSWERED.fullmatch(path):
                message = f"the {probe} asks for {path}, which Triton does not answer"
                place = server.place(probe, "httpGet", "path")
                yield pod.owner.error(place, message, remedy=f"ask for {LIVE if probe == 'livenessProbe' else READY}")


@check_manifests("TK203", "a server is ready before requests come")
def readiness_is_asked(case: Manifests) -> Iterator[Finding]:
    """Without a readiness probe, or with one that asks whether the server lives, requests reach a server whose models
    are still loading.
    """
    for pod, server in case.fleet:
        if at(server.node, "readinessProbe") is None:
            message = f"{server.name} has no readinessProbe: requests come before its models are loaded"
            yield pod.owner.warning(server.place("name"), message, remedy=f"httpGet {READY}")
        elif text_at(server.node, "readinessProbe", "httpGet", "path") == LIVE:
            message = f"readiness is asked at {LIVE}, which says nothing of models"
            yield pod.owner.warning(
                server.place("readinessProbe", "httpGet", "path"), message, remedy=f"ask for {READY}"
            )


@check_manifests("TK204", "a server that loads is not killed")
def loading_is_allowed(case: Manifests) -> Iterator[Finding]:
    """Triton's port opens when its models are loaded. A liveness probe without a startup probe before it counts that
    time as death, and restarts the load for ever.

    Source: server: src/main.cc (endpoints start after the models); tried on 2.51.
    """
    for pod, server in case.fleet:
        live = at(server.node, "livenessProbe")
        if live is not None and at(server.node, "startupProbe") is None:
            budget = budget_s(server, "livenessProbe")
            message = f"without a startupProbe the livenessProbe ends a load after {budget} s"
            yield pod.owner.warning(
                server.place("livenessProbe"),
                message,
                remedy=f"add a startupProbe on {READY} with the time that loading takes",
            )


@check_manifests("TK205", "a busy server is not killed")
def liveness_is_not_readiness(case: Manifests) -> Iterator[Finding]:
    """/v2/health/ready is false while a model is loaded or has failed: as liveness it restarts a server that works.

    Source: server: docs/user_guide/model_management.md; --strict-readiness.
    """
    for pod, server in case.serving:
        if text_at(server.node, "livenessProbe", "httpGet", "path") == READY:
            place = server.place("livenessProbe", "httpGet", "path")
            message = "liveness asks whether every model is ready: a load, or one bad model, restarts the server"
            yield pod.owner.warning(place, message, remedy=f"ask for {LIVE}")


@check_manifests("TK206", "there is time to load what is stored")
def startup_covers_the_load(case: Manifests) -> Iterator[Finding]:
    """The startup probe's delay and failures are all the time there is; what is read within it is taken from the
    claim's size or the ephemeral storage that a store's copy is given, at 1 GiB/s, which few volumes reach.
    """
    for pod, server in case.fleet:
        probe = next((one for one in ("startupProbe", "livenessProbe") if at(server.node, one)), "")
        copied, claimed = _copied(server), _claimed(case, pod, server)
        known = copied or claimed
        if not probe or known is None:
            continue
        budget, needed = budget_s(server, probe), known / _FASTEST_BYTES_PER_S
        if budget < needed:
            place, remedy = server.place(probe), "raise failureThreshold"
            message = f"{budget} s of {probe} for {in_words(known)}: at 1 GiB/s they take {float(needed):.0f} s"
            if copied:
                yield pod.owner.warning(place, message, remedy=remedy)
            else:  # a claim need not be full
                yield pod.owner.note(place, f"{message}, if the claim is full", remedy=remedy)


@check_manifests("TK207", "liveness waits long enough for an answer")
def liveness_is_patient(case: Manifests) -> Iterator[Finding]:
    """A liveness probe that fails at once, or within a second or two, restarts a server under load."""
    for pod, server in case.serving:
        node = at(server.node, "livenessProbe")
        failures, period = number_at(node, "failureThreshold") or 3, number_at(node, "periodSeconds") or 10
        if node is not None and (failures == 1 or failures * period < 5):
            message = f"the livenessProbe restarts the server after {failures * period} s without an answer"
            yield pod.owner.warning(server.place("livenessProbe"), message, remedy="allow 30 s")


def budget_s(server: Container, probe: str) -> int:
    """Return the seconds until a probe gives up on a container that never answers.

    Source: kubernetes: Probe (delay 0, period 10, failures 3 by default).
    """
    node = at(server.node, probe)
    period, failures = number_at(node, "periodSeconds") or 10, number_at(node, "failureThreshold") or 3
    return (number_at(node, "initialDelaySeconds") or 0) + period * failures


def _port(server: Container, probe: str) -> int | None:
    """Return the number of the port that a probe over HTTP asks."""
    port = at(server.node, probe, "httpGet", "port")
    if not isinstance(port, Scalar):
        return None
    return port.whole_number if port.whole_number is not None else server.port_names.get(port.text)


def _repository(server: Container) -> str:
    return server.start.option("model-repository") or server.start.option("model-store") or ""


def _copied(server: Container) -> Fraction | None:
    """Return the bytes that a copy of a store's repository may take, which Triton makes at each start."""
    return server.resource("requests", "ephemeral-storage") if "://" in _repository(server) else None


def _claimed(case: Manifests, pod: Pod, server: Container) -> Fraction | None:
    """Return the size of the claim in which the repository lies."""
    mount = server.mount_over(_repository(server)) if _repository(server) else None
    name = text_at(pod.volumes.get(text_at(mount, "name")), "persistentVolumeClaim", "claimName")
    claims = {one.name: one for one in case.of_kind("PersistentVolumeClaim")}
    return quantity_at(claims[name].node, "spec", "resources", "requests", "storage") if name in claims else None
