"""Rules on what a fleet survives: a node that is drained, a zone that is gone, a pod that ends."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith.generator.checks.manifests.case import Manifests
from tritonsmith.generator.checks.manifests.nodes import at, items_at, number_at
from tritonsmith.generator.checks.manifests.objects import Object, are_together, selects
from tritonsmith.generator.checks.manifests.pods import SCALABLE, Pod
from tritonsmith.generator.checks.registry import check_manifests
from tritonsmith.generator.findings import Finding

_PDB = "PodDisruptionBudget"


@check_manifests("TK500", "several servers have a disruption budget")
def fleets_have_budgets(case: Manifests) -> Iterator[Finding]:
    """A node that is drained, for an upgrade say, ends all its pods at once unless a budget says how many may go.

    Source: kubernetes: Specifying a Disruption Budget for your Application.
    """
    for pod, _ in case.fleet:
        if case.has_surroundings and most_replicas(case, pod) > 1 and not _budgets(case, pod):
            message = f"{most_replicas(case, pod)} replicas without a {_PDB}: a drain may end all of them at once"
            yield pod.owner.warning(
                pod.owner.place("metadata", "name"), message, remedy=f"a {_PDB} with maxUnavailable: 1"
            )


@check_manifests("TK501", "a budget lets pods go")
def budgets_let_pods_go(case: Manifests) -> Iterator[Finding]:
    """A budget that spares no pod stops every drain, until somebody deletes it.

    Source: kubernetes: Disruptions (PodDisruptionBudget).
    """
    for pod, _ in case.fleet:
        for budget in _budgets(case, pod):
            least, most = number_at(budget.node, "spec", "minAvailable"), budget.text("spec", "maxUnavailable")
            is_all = budget.text("spec", "minAvailable") == "100%" or (
                least is not None and least >= least_replicas(case, pod)
            )
            if is_all or most in ("0", "0%"):
                said = f"minAvailable {budget.text('spec', 'minAvailable')}" if is_all else f"maxUnavailable {most}"
                message = f"{said} of {least_replicas(case, pod)} replicas lets none go: drains wait for ever"
                yield budget.warning(budget.place("spec"), message, remedy="maxUnavailable: 1")


@check_manifests("TK502", "several servers are spread")
def fleets_are_spread(case: Manifests) -> Iterator[Finding]:
    """The scheduler may put all replicas on one node, or into one zone; what spreads them is said by the pod.

    Source: kubernetes: Pod Topology Spread Constraints.
    """
    for pod, _ in case.fleet:
        spreads = items_at(pod.spec, "topologySpreadConstraints") or at(pod.spec, "affinity", "podAntiAffinity")
        if most_replicas(case, pod) > 1 and not spreads and pod.owner.kind != "DaemonSet":
            message = "no topologySpreadConstraints: one node may hold all replicas"
            yield pod.owner.warning(pod.place("containers"), message, remedy="spread over kubernetes.io/hostname")


@check_manifests("TK503", "one server is enough")
def one_is_enough(case: Manifests) -> Iterator[Finding]:
    """A lone pod that is moved or restarted is an outage for as long as its models load."""
    for pod, _ in case.fleet:
        if most_replicas(case, pod) == 1 and pod.owner.kind in SCALABLE:
            place = pod.owner.place("spec", "replicas") if pod.owner.at("spec", "replicas") else pod.owner.place("spec")
            is_overlays = place.file != pod.owner.place("metadata", "name").file
            if is_overlays or not (case.has_surroundings or pod.owner.at("spec", "replicas")):
                continue  # somebody's decision, or to be said by an autoscaler that is not here
            message = "one replica: a restart is an outage for as long as models load"
            yield pod.owner.note(place, message, remedy="replicas: 2")


def most_replicas(case: Manifests, pod: Pod) -> int:
    """Return how many replicas there can be."""
    highest = [
        number_at(one.node, "spec", name) for one in case.scalers_of(pod) for name in ("maxReplicas", "maxReplicaCount")
    ]
    return max([pod.replicas or 1, *(count for count in highest if count is not None)])


def least_replicas(case: Manifests, pod: Pod) -> int:
    """Return how many replicas there are at the least."""
    scalers = case.scalers_of(pod)
    lowest = [number_at(one.node, "spec", name) for one in scalers for name in ("minReplicas", "minReplicaCount")]
    known = [count for count in lowest if count is not None]
    return min(known) if known else 1 if scalers else pod.replicas or 1


def _budgets(case: Manifests, pod: Pod) -> list[Object]:
    budgets = [one for one in case.of_kind(_PDB) if are_together(one.namespace, pod.owner.namespace)]
    return [one for one in budgets if selects(one.at("spec", "selector"), pod.labels)]
