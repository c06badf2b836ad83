"""What the rules on manifests look at: the objects that are applied together, and the pods they make."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar, cast

from tritonsmith.generator.checks.manifests.nodes import text_at, words_at
from tritonsmith.generator.checks.manifests.objects import Object, Problem, are_together, selects
from tritonsmith.generator.checks.manifests.pods import Container, Pod, pods_of
from tritonsmith.generator.spec.tree import Node

Kept = TypeVar("Kept")
_SURROUNDINGS = ("Service", "NetworkPolicy", "PodDisruptionBudget", "HorizontalPodAutoscaler", "ScaledObject")


@dataclass(frozen=True, eq=False)
class Manifests:
    """A set of objects that are applied together; `values` are YAML documents beside them that are no objects.

    `problems` are what reading them met, `folders` those that were read.
    """

    objects: tuple[Object, ...]
    values: tuple[Node, ...] = ()
    problems: tuple[Problem, ...] = ()
    folders: tuple[Path, ...] = ()

    @cached_property
    def pods(self) -> list[Pod]:
        """The pods that the objects make."""
        configs = {one.name: words_at(one.node, "data") for one in self.of_kind("ConfigMap")}
        users = self.of_kind("InferenceService")
        return [pod for one in self.objects for pod in pods_of(one, configs, users)]

    @property
    def servers(self) -> Iterator[tuple[Pod, Container]]:
        """Yield the pods that run Triton, and the container that does."""
        for pod in self.pods:
            if pod.server is not None:
                yield pod, pod.server

    @property
    def serving(self) -> Iterator[tuple[Pod, Container]]:
        """Yield the pods to which requests come."""
        return ((pod, server) for pod, server in self.servers if pod.serves)

    @property
    def fleet(self) -> Iterator[tuple[Pod, Container]]:
        """Yield the pods to which requests come and whose surroundings are in the set: no KServe makes them."""
        return ((pod, server) for pod, server in self.serving if not pod.is_runtime)

    @cached_property
    def has_surroundings(self) -> bool:
        """Whether more than workloads is in the set: of a lone file of one nothing around it can be missed."""
        return bool(self.of_kind(*_SURROUNDINGS))

    def of_kind(self, *kinds: str) -> list[Object]:
        """Return the objects of some kinds."""
        return [one for one in self.objects if one.kind in kinds]

    def selected_by(self, selector: Node | None, namespace: str) -> list[Pod]:
        """Return the pods that a selector takes in a namespace."""
        return [pod for pod in self.pods_in(namespace) if selects(selector, pod.labels)]

    def pods_in(self, namespace: str) -> list[Pod]:
        """Return the pods that can be in a namespace."""
        return [pod for pod in self.pods if are_together(pod.owner.namespace, namespace)]

    def services_of(self, pod: Pod) -> list[Object]:
        """Return the Services that select a pod."""
        services = [one for one in self.of_kind("Service") if one.at("spec", "selector") is not None]
        return [one for one in services if pod in self.selected_by(one.at("spec", "selector"), one.namespace)]

    @cached_property
    def scalers(self) -> list[tuple[Object, Node]]:
        """The autoscalers, each with the reference to what it scales."""
        found = [
            (one, one.at("spec", "scaleTargetRef")) for one in self.of_kind("HorizontalPodAutoscaler", "ScaledObject")
        ]
        return [(one, reference) for one, reference in found if reference is not None]

    def scalers_of(self, pod: Pod) -> list[Object]:
        """Return the autoscalers of the object that makes a pod."""
        return [
            scaler
            for scaler, reference in self.scalers
            if text_at(reference, "name") == pod.owner.name
            and (text_at(reference, "kind") or "Deployment") == pod.owner.kind
            and are_together(scaler.namespace, pod.owner.namespace)
        ]

    def once(self, work: Callable[[Manifests], Kept]) -> Kept:
        """Return what a function makes of it: worked out when it is first asked for, and kept."""
        if work not in self._kept:
            self._kept[work] = work(self)
        return cast(Kept, self._kept[work])

    @cached_property
    def _kept(self) -> dict[Callable[[Manifests], object], object]:
        return {}
