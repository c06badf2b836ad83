"""Rules on queries: what they divide, over which time, and whether Triton has what they ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tritonsmith.generator.catalog.metrics import COUNTERS, GAUGES, HISTOGRAMS, SUMMARIES
from tritonsmith.generator.checks.manifests.case import Manifests
from tritonsmith.generator.checks.manifests.queries import (
    SCRAPE_S,
    Query,
    endpoints,
    followed,
    queries,
    scrape_s,
)
from tritonsmith.generator.checks.registry import check_manifests
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.suggest import did_you_mean

_KNOWN = (*COUNTERS, *GAUGES, *SUMMARIES, *HISTOGRAMS)
_EVENTS = ("request_success", "request_failure", "exec_count", "inference_count", "num_hits", "num_misses")
_AGGREGATIONS = re.compile(r"\b(sum|avg|max|min|topk|quantile|count|group)(_over_time)?\s*(by|without|\()")
_SAMPLES = 4  # scrapes in a window, so that one may be lost and a rate still has two


@check_manifests("TK450", "a rate of requests is divided by as it is")
def rates_are_not_clamped(case: Manifests) -> Iterator[Finding]:
    """clamp_min(rate(requests), 1) divides by one request per second wherever there are fewer, as with language models
    there are: with one request in 6 s, each queued for 6 s, it says one second.

    Source: tutorials: Deployment/Kubernetes, its rules; evaluated with promtool.
    """
    for query in queries(case):
        for inner in query.calls("clamp_min"):
            value, _, least = inner.rpartition(",")
            is_of_events = any(word in value for word in _EVENTS) and "_us" not in value
            if is_of_events and _number(least) >= 1:
                message = f"below {_number(least):g} request/s this divides by {_number(least):g} in place of the rate"
                yield query.warning(message, remedy="divide by (rate(...) > 0)")


@check_manifests("TK451", "a ratio is one value for a pod")
def ratios_are_aggregated(case: Manifests) -> Iterator[Finding]:
    """Triton counts for each model by itself. A ratio without sum by (pod) is one series for each, which an adapter
    adds up: the threshold of the autoscaler that follows it then depends on how many models there are.

    Source: prometheus-adapter: docs/config.md (default query); measured on an ensemble: 77.7 for a true 12.9.
    """
    for query in dict.fromkeys(query for _, _, asked in followed(case) for query in asked):
        counted = [name for name in query.metrics if name in COUNTERS]
        if "/" in query.text and len(counted) > 1 and not _AGGREGATIONS.search(query.text):
            message = "a ratio for each model, of which an autoscaler sees the sum"
            remedy = "sum by (namespace, pod) of both sides, then divide"
            yield query.warning(message, remedy=remedy)


@check_manifests("TK452", "a counter is asked for its rate")
def counters_have_rates(case: Manifests) -> Iterator[Finding]:
    """delta() and deriv() are for gauges: a counter that starts again at 0 with its server makes them negative.

    Source: Prometheus: functions (delta, rate).
    """
    for query in queries(case):
        for inner in query.calls("delta", "idelta", "deriv"):
            counters = [name for name in COUNTERS if name in inner]
            if counters:
                message = f"delta of {counters[0]}, a counter: negative when a server restarts"
                yield query.warning(message, remedy="use rate() or increase()")


@check_manifests("TK453", "a gauge is not asked for its rate")
def gauges_have_no_rates(case: Manifests) -> Iterator[Finding]:
    """rate() takes every fall of a gauge for a restart.

    Source: Prometheus: functions (rate).
    """
    for query in queries(case):
        for inner in query.calls("rate", "irate", "increase"):
            gauges = [name for name in GAUGES if name in inner]
            if gauges:
                message = f"the rate of {gauges[0]}, a gauge: every fall counts as a restart"
                yield query.warning(message, remedy="use its value, or avg_over_time()")


@check_manifests("TK454", "a window holds enough scrapes")
def windows_hold_scrapes(case: Manifests) -> Iterator[Finding]:
    """A rate needs two samples in its window. With fewer than four scrapes in it one that is lost leaves a hole, and
    with fewer than two the rate is never there.

    Source: Prometheus: functions (rate); prometheus-operator: 30 s where a monitor says no interval.
    """
    interval_s = scrape_s(case)
    for query in queries(case) if interval_s else ():
        spans = [span for span in query.windows_s if span < _SAMPLES * (interval_s or SCRAPE_S)]
        if spans and query.metrics:
            shortest = min(spans)
            message = f"a window of {shortest:g} s with a scrape every {interval_s or SCRAPE_S:g} s"
            remedy = f"a window of {_SAMPLES} scrapes: scrape more often, or look back further"
            if shortest < 2 * (interval_s or SCRAPE_S):
                yield query.error(f"{message} never holds two samples for certain", remedy=remedy)
            else:
                yield query.warning(message, remedy=remedy)


@check_manifests("TK455", "a monitor says how often it scrapes")
def monitors_have_intervals(case: Manifests) -> Iterator[Finding]:
    """Without an interval it is Prometheus' own, 30 s by default, and every window of a rule depends on it.

    Source: prometheus-operator: api-reference (PodMetricsEndpoint.interval).
    """
    for one, endpoint, interval in endpoints(case):
        if not interval:
            message = "no interval: Prometheus' own, 30 s unless it is told otherwise"
            yield one.note(endpoint.place, message, remedy="interval: 15s")


@check_manifests("TK456", "Triton has the metrics that are asked for")
def metrics_exist(case: Manifests) -> Iterator[Finding]:
    """A query for a metric that there is not is an empty result, which raises no alert and scales nothing.

    Source: server: docs/user_guide/metrics.md; core: metric_model_reporter.cc; tensorrtllm_backend: README.
    """
    for query in queries(case):
        for name in dict.fromkeys(query.metrics):
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            is_part = base in (*SUMMARIES, *HISTOGRAMS)
            if name not in _KNOWN and not is_part and (near := did_you_mean(name, _KNOWN)):
                yield query.error(f"Triton has no metric {name}.{near}", remedy="see Triton's /metrics")


@check_manifests("TK457", "quantiles are not added up")
def summaries_are_not_aggregated(case: Manifests) -> Iterator[Finding]:
    """The quantiles of a summary belong to one model of one pod; their average over several is no quantile.

    Source: Prometheus: histograms and summaries.
    """
    for query in queries(case):
        for inner in query.calls("sum", "avg"):
            found = [name for name in SUMMARIES if re.search(rf"{name}(?!_sum|_count)\b", inner)]
            if found:
                message = f"the quantiles of {found[0]} of several pods have no sum and no average"
                yield query.warning(message, remedy="max(), or a histogram and histogram_quantile()")


@check_manifests("TK458", "a query can be read")
def queries_can_be_read(case: Manifests) -> Iterator[Finding]:
    """One rule that Prometheus cannot parse keeps its whole group from being loaded.

    Source: Prometheus: recording rules (syntax); `promtool check rules` says more.
    """
    for query in queries(case):
        if (fault := _unbalanced(query)) and query.owner != "adapter":
            yield query.error(f"{fault} in the query", remedy="`promtool check rules` shows where")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _unbalanced(query: Query) -> str:
    text = re.sub(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'', "", query.text)
    if not text.strip():
        return "nothing"
    for opening, closing in ("()", "{}", "[]"):
        if text.count(opening) != text.count(closing):
            return f"{text.count(opening)} '{opening}' and {text.count(closing)} '{closing}'"
    return ""
