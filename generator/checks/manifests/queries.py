"""Queries of Prometheus in a set: rules, triggers, an adapter's; read as text as far as the rules need it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tritonsmith.generator.checks.manifests.case import Manifests
from tritonsmith.generator.checks.manifests.nodes import at, entries_at, items_at, place_at, seconds, text_at
from tritonsmith.generator.checks.manifests.objects import Object, selects
from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.findings import Finding, Place, error, note, warning
from tritonsmith.generator.spec.tree import Node, Scalar, parse_documents

HPA, KEDA = "HorizontalPodAutoscaler", "ScaledObject"
_CUSTOM = ("pods", "object", "external")
SCRAPE_S = 30.0  # Prometheus' interval where a monitor names none; prometheus-operator's own default
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_WINDOW = re.compile(r"\[\s*([0-9a-z]+)\s*\]")


@dataclass(frozen=True)
class Query:
    """A query: its text, where it stands and whose it is, and the name under which its result is kept, if any."""

    text: str
    place: Place
    owner: str
    record: str = ""

    @property
    def metrics(self) -> list[str]:
        """Triton's metrics in it."""
        return re.findall(r"\bnv_[a-z0-9_]+", self.text)

    @property
    def windows_s(self) -> list[float]:
        """The ranges that it looks back over, in seconds."""
        return [span for found in _WINDOW.findall(self.text) if (span := seconds(found)) is not None]

    def calls(self, *functions: str) -> Iterator[str]:
        """Yield the arguments of each call of some functions, as text."""
        grouping = r"((by|without)\s*\([^()]*\)\s*)?"
        for match in re.finditer(rf"\b({'|'.join(functions)})\s*{grouping}\(", self.text):
            yield _closed(self.text, match.end())

    def error(self, message: str, *, remedy: str) -> Finding:
        """Return an error about it."""
        return error(message, self.place, key=self.owner, remedy=remedy)

    def warning(self, message: str, *, remedy: str) -> Finding:
        """Return a warning about it."""
        return warning(message, self.place, key=self.owner, remedy=remedy)

    def note(self, message: str, *, remedy: str) -> Finding:
        """Return a note about it."""
        return note(message, self.place, key=self.owner, remedy=remedy)


def queries(case: Manifests) -> list[Query]:
    """Return every query of a set."""
    return case.once(_queries)


def custom_metrics(case: Manifests) -> Iterator[tuple[Object, Node, str]]:
    """Yield the metrics of HPAs that are no resource of a pod: the HPA, the metric's part, its name."""
    for one in case.of_kind(HPA):
        for metric in items_at(one.node, "spec", "metrics"):
            for kind in _CUSTOM:
                part = at(metric, kind)
                name = text_at(part, "metric", "name") or text_at(part, "metricName")
                if part is not None and name:
                    yield one, part, name


def followed(case: Manifests) -> Iterator[tuple[Object, Place, list[Query]]]:
    """Yield what autoscalers ask for: the autoscaler, where it asks, and the queries that the answer is made of."""
    for one, metric, name in custom_metrics(case):
        yield one, place_at(metric, "metric", "name"), _within(case, name)
    for one in case.of_kind(KEDA):
        for query in queries(case):
            if query.owner == one.label:
                yield one, query.place, [query, *_within(case, query.text)]


def _within(case: Manifests, text: str) -> list[Query]:
    """Return the queries whose results a text names, and those whose results these name."""
    found: list[Query] = []
    texts = [text]
    for one in texts:
        words = set(_NAME.findall(one))
        made = [query for query in queries(case) if query.record in words and query not in found]
        found += made
        texts += [query.text for query in made]
    return found


def adapter_rules(case: Manifests) -> list[Node]:
    """Return the rules of prometheus-adapter: of its chart's values, or of a ConfigMap that holds its configuration."""
    return case.once(_adapter_rules)


def has_default_rules(case: Manifests) -> bool:
    """Whether the adapter brings every series of a pod, under its own name."""
    return any(text_at(node, *path, "rules", "default") == "true" for node in case.values for path in _VALUES)


def scrape_s(case: Manifests) -> float | None:
    """Return the longest interval at which the set's monitors scrape Triton, None where no monitor does."""
    found = [seconds(text) or SCRAPE_S for _, _, text in endpoints(case)]
    return max(found, default=None)


def endpoints(case: Manifests) -> Iterator[tuple[Object, Node, str]]:
    """Yield the endpoints of monitors that scrape Triton's pods, each with its interval as written."""
    pods = [pod for pod, _ in case.servers]
    for one in case.of_kind("PodMonitor", "ServiceMonitor"):
        selector = one.at("spec", "selector")
        if one.kind == "PodMonitor":
            is_tritons = any(selects(selector, pod.labels) for pod in pods)
        else:
            services = {id(service): service for pod in pods for service in case.services_of(pod)}
            is_tritons = any(selects(selector, _labels(service)) for service in services.values())
        key = "podMetricsEndpoints" if one.kind == "PodMonitor" else "endpoints"
        for endpoint in items_at(one.node, "spec", key) if is_tritons else ():
            yield one, endpoint, text_at(endpoint, "interval")


_VALUES: tuple[tuple[str, ...], ...] = ((), ("prometheus-adapter",), ("adapter",))


def _labels(one: Object) -> dict[str, str]:
    return {key: text_at(node) for key, node in entries_at(one.node, "metadata", "labels").items()}


def _queries(case: Manifests) -> list[Query]:
    return [*_of_rules(case), *_of_triggers(case), *_of_the_adapter(case)]


def _of_rules(case: Manifests) -> Iterator[Query]:
    for one in case.of_kind("PrometheusRule"):
        for group in items_at(one.node, "spec", "groups"):
            for rule in items_at(group, "rules"):
                yield Query(text_at(rule, "expr"), place_at(rule, "expr"), one.label, text_at(rule, "record"))


def _of_triggers(case: Manifests) -> Iterator[Query]:
    for one in case.of_kind("ScaledObject", "ScaledJob"):
        for trigger in items_at(one.node, "spec", "triggers"):
            if query := text_at(trigger, "metadata", "query"):
                yield Query(query, place_at(trigger, "metadata", "query"), one.label)


def _of_the_adapter(case: Manifests) -> Iterator[Query]:
    for rule in adapter_rules(case):
        query, series = text_at(rule, "metricsQuery"), text_at(rule, "seriesQuery")
        if query:
            whole = query.replace("<<.Series>>", series.partition("{")[0]).replace("<<.LabelMatchers>>", "")
            yield Query(whole, place_at(rule, "metricsQuery"), "adapter", text_at(rule, "name", "as"))


def _adapter_rules(case: Manifests) -> list[Node]:
    roots = [at(node, *path, "rules") for node in case.values for path in _VALUES]
    for one in case.of_kind("ConfigMap"):
        for value in entries_at(one.node, "data").values():
            if isinstance(value, Scalar) and "seriesQuery" in value.text:
                roots += [at(_moved(node, value.place), "rules") for node in _documents(value.text)]
    lists = [node for root in roots for node in (root, at(root, "custom"), at(root, "external"))]
    return [rule for node in lists for rule in items_at(node) if text_at(rule, "seriesQuery")]


def _documents(text: str) -> list[Node]:
    try:
        return parse_documents(text, "", [])
    except SpecError:
        return []


def _moved(node: Node, place: Place) -> Node:
    """Return a tree that was text within a value, every part where that value stands."""
    from tritonsmith.generator.spec.tree import from_data, to_data

    return from_data(to_data(node), place)


def _closed(text: str, start: int) -> str:
    """Return what stands between an opened bracket and the one that closes it."""
    depth = 1
    for position in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if not depth:
            return text[start:position]
    return text[start:]
