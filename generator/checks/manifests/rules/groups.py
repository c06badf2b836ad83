"""Rules on engines over several nodes: LeaderWorkerSets, and Deployments for each rank."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tritonsmith.generator.catalog.labels import LWS_INDEX, LWS_SUBGROUP_TOPOLOGY, LWS_TOPOLOGY
from tritonsmith.generator.checks.manifests.case import Manifests
from tritonsmith.generator.checks.manifests.nodes import at, number_at, words_at
from tritonsmith.generator.checks.manifests.objects import selects
from tritonsmith.generator.checks.manifests.pods import LWS, Pod
from tritonsmith.generator.checks.registry import check_manifests
from tritonsmith.generator.findings import Finding, Phase

_TEMPLATE = ("spec", "leaderWorkerTemplate")
_RANK = re.compile(r"(-|^)(leader|worker|rank)-?[0-9]*$")
_PLACED_TOGETHER = (LWS_TOPOLOGY, LWS_SUBGROUP_TOPOLOGY)
_GANGS = ("kueue.x-k8s.io/queue-name", "scheduling.k8s.io/group-name", "pod-group.scheduling.sigs.k8s.io/name")


@check_manifests("TK330", "a group has a GPU for each rank", phase=Phase.START)
def groups_have_the_ranks(case: Manifests) -> Iterator[Finding]:
    """The ranks of an engine are spread over a group: its size times a pod's GPUs is the number of ranks.

    Source: TensorRT-LLM: triton_backend/scripts/launch_triton_server.py; lws: leaderworkerset_types.go (size).
    """
    for pods in _groups(case):
        leader = pods["leader"]
        gpus = leader.gpus + (leader.size - 1) * pods.get("worker", leader).gpus
        ranks = leader.server.start.ranks if leader.server else None
        if ranks is not None and gpus and ranks != gpus:
            each = pods.get("worker", leader).gpus
            message = f"{ranks} ranks, and a group of {leader.size} pods with {each} GPUs each has {gpus}"
            place = leader.owner.place(*_TEMPLATE, "size")
            yield leader.owner.error(place, message, remedy="size times GPUs is the number of ranks")


@check_manifests("TK331", "a group is started anew as a whole")
def groups_restart_together(case: Manifests) -> Iterator[Finding]:
    """Ranks do not come back into a running engine: when one pod of a group restarts, the others wait for ever.
    RecreateGroupOnPodRestart starts all again; releases of LeaderWorkerSet before it was the default need it written.

    Source: lws: leaderworkerset_types.go (RestartPolicyType).
    """
    for one in case.of_kind(LWS):
        policy = one.text(*_TEMPLATE, "restartPolicy")
        place, remedy = one.place(*_TEMPLATE, "restartPolicy"), "restartPolicy: RecreateGroupOnPodRestart"
        if (number_at(one.node, *_TEMPLATE, "size") or 1) < 2 or policy.startswith("Recreate"):
            continue
        if policy:
            message = f"restartPolicy {policy} leaves the other ranks waiting when one restarts"
            yield one.warning(place, message, remedy=remedy)
        else:
            message = "no restartPolicy is given, and older releases then restart one pod alone"
            yield one.note(place, message, remedy=remedy)


@check_manifests("TK332", "a leader does not wait for workers that wait for it", phase=Phase.START)
def leaders_do_not_wait(case: Manifests) -> Iterator[Finding]:
    """With LeaderReady the workers are made when the leader is ready; a leader that starts their ranks becomes ready
    when they run. LeaderCreated, the default, makes them at once.

    Source: lws: leaderworkerset_types.go (StartupPolicyType), KEP-135.
    """
    for one in case.of_kind(LWS):
        policy = one.text("spec", "startupPolicy")
        if (number_at(one.node, *_TEMPLATE, "size") or 1) < 2:
            continue
        if policy == "LeaderReady" and any(
            pods["leader"].owner is one and pods["leader"].gpus for pods in _groups(case)
        ):
            message = "the leader is ready when the workers' ranks run, and they are made when it is ready"
            yield one.error(one.place("spec", "startupPolicy"), message, remedy="startupPolicy: LeaderCreated")
        elif not policy:
            message = "no startupPolicy says when the workers are made"
            yield one.note(one.place("spec"), message, remedy="startupPolicy: LeaderCreated")


@check_manifests("TK333", "the pods of a group are placed together or not at all")
def groups_are_placed_together(case: Manifests) -> Iterator[Finding]:
    """Half a group holds GPUs and serves nothing. Gang scheduling, or a topology for each group alone, keeps two groups
    from blocking each other, and a group's ranks near each other.

    Source: lws: docs/examples (exclusive-topology), config API (gangSchedulingManagement).
    """
    for one in case.of_kind(LWS):
        annotations, labels = words_at(one.node, "metadata", "annotations"), words_at(one.node, "metadata", "labels")
        marks = (*annotations, *labels)
        if (number_at(one.node, *_TEMPLATE, "size") or 1) > 1 and not any(
            mark in (*_PLACED_TOGETHER, *_GANGS) for mark in marks
        ):
            message = "nothing places a group together"
            remedy = f"{_PLACED_TOGETHER[0]}: <node label>, or LeaderWorkerSet's gang scheduling"
            yield one.note(one.place("metadata"), message, remedy=remedy)


@check_manifests("TK334", "ranks are not Deployments of their own")
def ranks_are_a_group(case: Manifests) -> Iterator[Finding]:
    """A Deployment for each rank knows nothing of the others: they are placed one by one, and none is restarted when
    another is.

    Source: lws: README (why a group is one replica).
    """
    ranks = [pod for pod in case.pods if pod.owner.kind in ("Deployment", "StatefulSet") and _is_rank(pod)]
    for pod in ranks[1:] and ranks[:1]:
        names = ", ".join(other.owner.name for other in ranks)
        message = f"{names} are the ranks of one engine, and nothing places or restarts them together"
        yield pod.owner.warning(pod.owner.place("metadata", "name"), message, remedy="one LeaderWorkerSet")


@check_manifests("TK335", "requests come to the leader of a group")
def requests_come_to_leaders(case: Manifests) -> Iterator[Finding]:
    """A group's workers answer nothing: a Service that selects them too loses a request for each that it sends there.

    Source: lws: docs/examples (role: leader; worker-index).
    """
    for pods in _groups(case):
        leader, worker = pods["leader"], pods.get("worker")
        for service in case.services_of(leader) if worker and leader.size > 1 else ():
            selector = service.at("spec", "selector")
            is_headless = service.text("spec", "clusterIP") == "None" and at(service.node, "spec", "ports") is None
            if worker and selects(selector, worker.labels) and not is_headless:
                message = f"it selects the workers of {leader.owner.label} too, which answer no request"
                remedy = f'select {LWS_INDEX}: "0", or a label of the leader alone'
                yield service.error(service.place("spec", "selector"), message, remedy=remedy)


def _groups(case: Manifests) -> Iterator[dict[str, Pod]]:
    """Yield each LeaderWorkerSet's pods by role."""
    for one in case.of_kind(LWS):
        pods = {pod.role: pod for pod in case.pods if pod.owner is one}
        if "leader" in pods:
            yield pods


def _is_rank(pod: Pod) -> bool:
    is_named = bool(_RANK.search(pod.owner.name)) or any("rank" in key for key in pod.labels)
    return is_named and (pod.gpus > 0 or pod.server is not None)
