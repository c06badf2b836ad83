"""What is scaled, on what and how fast; what Prometheus scrapes; what Grafana draws."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import yaml

from tests.generator.manifests.kubernetes.shapes import BAKED, SHAPES, workload
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.manifests.kubernetes import rules
from tritonsmith.generator.manifests.kubernetes.adapter import FILE, adapter_values
from tritonsmith.generator.manifests.kubernetes.core import Manifest
from tritonsmith.generator.manifests.kubernetes.dashboard import dashboards, panels
from tritonsmith.generator.manifests.kubernetes.monitoring import pod_monitors, prometheus_rules
from tritonsmith.generator.manifests.kubernetes.scaling import (
    METRICS,
    horizontal_pod_autoscalers,
    quantity,
    scaled_objects,
)
from tritonsmith.generator.manifests.workload import Workload, plan_workload
from tritonsmith.generator.repository.core import Repository
from tritonsmith.generator.spec.settings import Server

ASLEEP = {"minimum": 0, "maximum": 4, "by": "keda", "wake_on": "sum(rate(gateway_requests[1m]))"}


def hpa(shape: str, **autoscale: Any) -> Manifest:
    """Return the spec of a shape's HPA."""
    [document] = horizontal_pod_autoscalers(workload(shape, autoscale={"maximum": 4, **autoscale}))
    spec: Manifest = document["spec"]
    return spec


def keda(shape: str, **autoscale: Any) -> Manifest:
    """Return the spec of a shape's ScaledObject."""
    [document] = scaled_objects(workload(shape, autoscale={"maximum": 4, "by": "keda", **autoscale}))
    spec: Manifest = document["spec"]
    return spec


def metric_of(spec: Manifest) -> tuple[str, str]:
    """Return an HPA's metric and its target."""
    [metric] = spec["metrics"]
    return metric["pods"]["metric"]["name"], metric["pods"]["target"]["averageValue"]


def test_nothing_scales_what_asks_for_nothing() -> None:
    plain = workload("cpu ensemble")
    assert (horizontal_pod_autoscalers(plain), scaled_objects(plain), adapter_values(plain)) == ([], [], {})


def test_models_are_scaled_on_their_queues_and_engines_on_what_waits_in_them() -> None:
    assert metric_of(hpa("cpu ensemble")) == (rules.RATIO, "1")
    assert metric_of(hpa("tp4")) == (rules.WAITING, "4")
    assert metric_of(hpa("tp4", on="kv_cache")) == (rules.KV_CACHE, "800m")
    assert metric_of(hpa("tp4", on="queue_to_compute", target=1.25)) == (rules.RATIO, "1250m")


@pytest.mark.parametrize(("value", "text"), [(1, "1"), (0.8, "800m"), (2.5, "2500m"), (0.001, "1m"), (40, "40")])
def test_a_target_is_written_as_kubernetes_writes_numbers(value: float, text: str) -> None:
    assert quantity(value) == text


def test_turning_an_autoscaler_on_keeps_the_replicas_that_there_were() -> None:
    assert hpa("one gpu")["minReplicas"] == 2
    assert keda("one gpu", minimum=1)["minReplicaCount"] == 1
    [document] = horizontal_pod_autoscalers(workload("one gpu", replicas=9, autoscale={"maximum": 4}))
    assert document["spec"]["minReplicas"] == 4


def test_an_engine_of_several_nodes_is_scaled_by_its_groups() -> None:
    for spec in (hpa("tp8 on two nodes"), keda("tp8 on two nodes")):
        assert spec["scaleTargetRef"]["kind"] == "LeaderWorkerSet"
    [monitor] = pod_monitors(workload("tp8 on two nodes"))
    assert monitor["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] == "server"  # leaders alone


def test_every_metric_that_can_be_scaled_on_is_recorded() -> None:
    recorded = {rule["record"] for rule in rules.recording_rules(workload("tp4"))}
    assert {metric.record for metric in METRICS.values()} <= recorded


@pytest.mark.parametrize("on", ["waiting", "kv_cache"])
def test_engine_metrics_are_refused_where_no_engine_publishes_them(on: str) -> None:
    with pytest.raises(RepositoryError, match="publishes no nv_trt_llm metrics") as caught:
        hpa("cpu ensemble", on=on)
    assert caught.value.hint == "scale on queue_to_compute"


def test_an_engine_is_scaled_on_what_waits_in_it_also_where_a_laptop_serves_it() -> None:
    models, _, _ = SHAPES["one gpu"]
    settings = {"triton": "25.05", "deploy": BAKED | {"autoscale": {"maximum": 4}}}
    found = plan_workload(Repository("chat", {model.name: model for model in models}, settings=settings))
    assert found.launch is None
    [document] = horizontal_pod_autoscalers(found)
    assert metric_of(document["spec"]) == (rules.WAITING, "4")


def behind_llm_api(**autoscale: Any) -> Workload:
    """Return an LLM behind TensorRT-LLM's LLM API, which publishes nothing of what waits."""
    llm = workload("tp4", autoscale={"maximum": 4, **autoscale})
    return replace(llm, needs=replace(llm.needs, engines=()))


def test_the_llm_api_is_scaled_only_on_what_the_user_insists_on() -> None:
    with pytest.raises(RepositoryError, match="LLM API is in no metric of Triton's"):
        horizontal_pod_autoscalers(behind_llm_api())
    with pytest.raises(RepositoryError, match="publishes no nv_trt_llm metrics"):
        horizontal_pod_autoscalers(behind_llm_api(on="waiting"))
    assert horizontal_pod_autoscalers(behind_llm_api(on="queue_to_compute"))


@pytest.mark.parametrize("metrics", [{"enabled": False}, {"config": {"counter_latencies": "false"}}])
def test_scaling_without_counters_is_refused(metrics: dict[str, Any]) -> None:
    blind = replace(
        workload("cpu ensemble", autoscale={"maximum": 4}), server=Server.model_validate({"metrics": metrics})
    )
    with pytest.raises(RepositoryError, match="publish no counters to scale on"):
        horizontal_pod_autoscalers(blind)


def test_what_answers_no_metrics_is_neither_scraped_nor_drawn() -> None:
    off = replace(workload("cpu ensemble"), server=Server.model_validate({"metrics": {"enabled": False}}))
    assert (pod_monitors(off), prometheus_rules(off), dashboards(off)) == ([], [], [])


def test_replicas_double_at_most_and_not_before_the_new_ones_can_be_ready() -> None:
    slow = hpa("one gpu", maximum=9)["behavior"]
    [percent, pods] = slow["scaleUp"]["policies"]
    budget_s = workload("one gpu").startup_s
    assert (percent["value"], pods["value"]) == (100, 1)
    assert percent["periodSeconds"] == pods["periodSeconds"] >= budget_s
    assert slow["scaleDown"]["stabilizationWindowSeconds"] >= 2 * budget_s


def test_a_start_of_hours_stays_within_what_an_hpa_takes() -> None:
    slowest = workload("one gpu", autoscale={"maximum": 9}, start_margin_s=20_000)
    [document] = horizontal_pod_autoscalers(slowest)
    behavior = document["spec"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 3600
    assert {policy["periodSeconds"] for policy in behavior["scaleUp"]["policies"]} == {1800}


def test_keda_keeps_what_runs_where_prometheus_is_lost() -> None:
    spec = keda("one gpu", minimum=2)
    assert spec["fallback"] == {"failureThreshold": 3, "replicas": 2, "behavior": "currentReplicasIfHigher"}
    [trigger] = spec["triggers"]
    assert trigger["metadata"]["ignoreNullValues"] == "false"  # no answer is a failure, not an idle fleet


def test_a_fleet_of_none_is_woken_by_what_is_seen_outside_its_pods() -> None:
    spec = keda("one gpu", **ASLEEP)
    load, wake = spec["triggers"]
    assert load["metadata"]["ignoreNullValues"] == "true"  # without pods it is the rule
    assert wake["metadata"]["query"] == ASLEEP["wake_on"]
    assert float(wake["metadata"]["threshold"]) >= 1e9  # it asks for one replica, never for more
    assert spec["minReplicaCount"] == 0


def test_the_adapter_serves_every_record_that_an_hpa_of_some_region_asks_for() -> None:
    regions = {"eu": {"autoscale": {"maximum": 9, "on": "kv_cache"}}, "us": {"autoscale": {"maximum": 2, "by": "keda"}}}
    values = adapter_values(workload("tp4", autoscale={"maximum": 4}, regions=regions))
    custom = yaml.safe_load(values[FILE])["rules"]["custom"]
    assert [rule["name"]["as"] for rule in custom] == [rules.WAITING, rules.KV_CACHE]


def test_a_pod_monitor_states_its_interval_and_names_a_port_of_the_pod() -> None:
    for shape in ("cpu ensemble", "tp4"):
        found = workload(shape)
        [monitor] = pod_monitors(found)
        [endpoint] = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["interval"] == "15s"
        assert endpoint["port"] in found.ports
    openai = workload("one gpu", openai=True)
    assert pod_monitors(openai)[0]["spec"]["podMetricsEndpoints"][0]["port"] == "openai"


def test_windows_are_multiples_of_the_scrape_interval() -> None:
    [document] = prometheus_rules(workload("cpu ensemble"), interval_s=2)
    text = json.dumps(document)
    assert "[8s]" in text
    assert "[60s]" not in text


def titles(found: Workload, **server: Any) -> set[str]:
    """Return the titles of a dashboard's panels."""
    return {panel.title for panel in panels(replace(found, server=Server.model_validate(server)))}


def test_a_dashboard_draws_what_its_servers_publish() -> None:
    cpu, gpu = workload("cpu ensemble"), workload("tp4")
    assert "GPU utilisation" not in titles(cpu)
    assert {"GPU utilisation", "KV cache used, by pod", "Waiting in the engine, by pod"} <= titles(gpu)
    both = {"metrics": {"config": {"histogram_latencies": "true", "summary_latencies": "true"}}}
    assert {"Time to the first response", "Quantiles of the request time"} <= titles(cpu, **both) - titles(cpu)


def test_a_dashboard_is_json_of_which_no_two_panels_overlap() -> None:
    [document] = dashboards(workload("tp4"))
    drawn = json.loads(document["data"]["dashboard.json"])
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in drawn["panels"]}
    assert len(places) == len(drawn["panels"]) == len({panel["id"] for panel in drawn["panels"]})
    assert dashboards(workload("tp4")) == [document]
    assert document["metadata"]["labels"]["grafana_dashboard"] == "1"
