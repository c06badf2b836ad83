"""Every record and every alert, held by promtool to what it must say of made-up counters."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.generator.manifests.kubernetes.counters import Series, counters, engine, pending, series
from tests.generator.manifests.kubernetes.proved import proved
from tritonsmith.backends.toolchain.prometheus import find_prometheus
from tritonsmith.generator.catalog.releases import RELEASES
from tritonsmith.generator.home import home_folder
from tritonsmith.generator.manifests.kubernetes import rules
from tritonsmith.generator.manifests.kubernetes.adapter import adapter_rule
from tritonsmith.generator.manifests.kubernetes.alerts import alert_rules
from tritonsmith.generator.manifests.kubernetes.core import Manifest
from tritonsmith.generator.manifests.kubernetes.dashboard import panels
from tritonsmith.generator.manifests.kubernetes.monitoring import rule_groups
from tritonsmith.generator.manifests.kubernetes.scaling import METRICS, fleet_query
from tritonsmith.generator.manifests.kubernetes.spill import spill_rules
from tritonsmith.generator.manifests.needs import Needs
from tritonsmith.generator.manifests.workload import Workload
from tritonsmith.generator.spec.deploy import Deploy
from tritonsmith.generator.spec.settings import Hardware, Server

NEEDS = Needs(repository_bytes=1 << 20, python_instances=1, gpus=0, nodes=1, is_llm=False, ensembles=("ens",))
DIGITS = Workload("digits", RELEASES["24.10"], Server(), Hardware(), Deploy(), NEEDS)
CHAT = replace(
    DIGITS,
    name="chat",
    release=RELEASES["25.06"],
    needs=replace(NEEDS, is_llm=True, engines=("tensorrt_llm",)),
)


@pytest.fixture(scope="module")
def promtool() -> Path:
    """Return promtool's path."""
    found = find_prometheus(home_folder())
    if found is None:
        pytest.skip("promtool is missing: Debian's package prometheus has it")
    return found.promtool


@pytest.fixture
def prove(promtool: Path, tmp_path: Path) -> Callable[..., None]:
    """Return a function that evaluates the rules over series (one value each 15 s), and queries at a time in minutes.

    A query's answer is expected as {pod or model: value}; values are compared in thousandths.
    """

    def prove(
        series: Series,
        *cases: tuple[str, float, Mapping[str, float]],
        workload: Workload = DIGITS,
        more: Sequence[Manifest] = (),
    ) -> None:
        (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [*rule_groups(workload), *more]}))
        found = [{"series": name, "values": values} for name, values in series.items()]
        tests = [{"interval": "15s", "input_series": found, "promql_expr_test": [_case(*case) for case in cases]}]
        document = {"rule_files": ["rules.yaml"], "evaluation_interval": "15s", "tests": tests}
        (tmp_path / "test.yaml").write_text(yaml.safe_dump(document))
        done = subprocess.run(
            [promtool, "test", "rules", tmp_path / "test.yaml"], capture_output=True, text=True, timeout=250
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return prove


def _case(query: str, minutes: float, expected: Mapping[str, float]) -> dict[str, Any]:
    names = "model" if query.startswith(("model:", "ALERTS_BY_MODEL")) else "pod"
    query = query.replace("ALERTS_BY_MODEL", "ALERTS")
    samples = [
        {"labels": f'{{{names}="{name}"}}' if name else "{}", "value": value} for name, value in expected.items()
    ]
    return {
        "expr": f"sum by ({names}) (round({query}, 0.001))",
        "eval_time": f"{round(minutes * 60)}s",
        "exp_samples": samples,
    }


def firing(alert: str, of: str = "pod") -> str:
    """Return the query of an alert that fires."""
    return f'{"ALERTS" if of == "pod" else "ALERTS_BY_MODEL"}{{alertname="{alert}",alertstate="firing"}}'


RATIO = "pod:triton_queue_to_compute:ratio"


def test_the_ratio_is_that_of_a_pods_sums_and_an_ensemble_is_not_counted_again(prove: Callable[..., None]) -> None:
    steps = counters("pre", queue="0+900x60", infer="0+100x60") | counters("mlp", queue="0+300x60", infer="0+500x60")
    prove(steps | counters("ens", queue="0+1x60", infer="0+600x60"), (RATIO, 5, {"a": 2}))


def test_a_model_that_calls_others_computes_only_in_them(prove: Callable[..., None]) -> None:
    caller = replace(DIGITS, needs=replace(NEEDS, callers=("bls",)))
    found = counters("bls", queue="0+100x60", infer="0+1000x60") | counters("mlp", queue="0+300x60", infer="0+200x60")
    prove(found, (RATIO, 5, {"a": 2}), workload=caller)


def test_below_one_request_a_second_the_ratio_and_the_averages_stay_true(prove: Callable[..., None]) -> None:
    """One request a minute, which waited for 6 s and was computed in 2; clamped to 1/s, the averages would be 1/60."""
    found = counters("mlp", queue=_each_minute(6e6), infer=_each_minute(2e6), ends=_each_minute(1))
    found |= series("nv_inference_request_duration_us", _each_minute(8.5e6), model="mlp", version="1")
    prove(
        found,
        (RATIO, 9, {"a": 3}),
        ("model:triton_queue_duration_us:average", 9, {"mlp": 6e6}),
        ("model:triton_compute_infer_duration_us:average", 9, {"mlp": 2e6}),
        ("model:triton_request_duration_us:average", 9, {"mlp": 8.5e6}),
    )


def _each_minute(step: float) -> str:
    return " ".join(f"{minute * step:.0f}x3" for minute in range(12))


def test_without_traffic_the_ratio_is_none_waits_and_an_average_is_nothing(prove: Callable[..., None]) -> None:
    found = counters("mlp", queue="700x60", infer="900x60", ends="9x60") | pending("0x60")
    prove(
        found,
        (RATIO, 5, {"a": 0}),
        ("pod:triton_requests:rate", 5, {"a": 0}),
        ("model:triton_queue_duration_us:average", 5, {}),
        ("model:triton_batch_size:average", 5, {}),
        ("model:triton_failures:ratio", 5, {}),
    )


def test_a_single_request_is_seen_for_a_window_and_then_gone(prove: Callable[..., None]) -> None:
    found = counters("mlp", queue="0x8 600x60", infer="0x8 200x60", ends="0x8 1x60") | pending("0x60")
    prove(found, (RATIO, 2, {"a": 0}), (RATIO, 2.75, {"a": 3}), (RATIO, 4, {"a": 0}))


def test_of_two_pods_the_idle_one_has_its_own_ratio(prove: Callable[..., None]) -> None:
    busy = counters("mlp", queue="0+800x60", infer="0+200x60", ends="0+4x60")
    found = busy | counters("mlp", queue="50x60", infer="70x60", ends="1x60", pod="b")
    prove(found | pending("3x60") | pending("0x60", "b"), (RATIO, 5, {"a": 4, "b": 0}))


def test_a_restarted_pod_begins_anew_and_its_ratio_stays_true(prove: Callable[..., None]) -> None:
    found = counters("mlp", queue="0+800x20 0+800x40", infer="0+200x20 0+200x40", ends="0+4x20 0+4x40")
    found |= pending("0x60")
    prove(found, (RATIO, 5, {"a": 4}), (RATIO, 5.5, {"a": 4}), (RATIO, 6.5, {"a": 4}))


def test_a_pod_that_was_scraped_once_has_no_ratio_yet(prove: Callable[..., None]) -> None:
    found = counters("mlp", queue="_x20 0+8x60", infer="_x20 0+2x60", ends="_x20 0+1x60")
    prove(found, (RATIO, 5, {}), (RATIO, 5.25, {"a": 4}))


def test_another_workload_of_the_namespace_is_not_counted(prove: Callable[..., None]) -> None:
    other = counters("mlp", queue="0+90x60", infer="0+10x60", job="letters", pod="other")
    prove(counters("mlp", queue="0+20x60", infer="0+10x60") | other, (RATIO, 5, {"a": 2}))


def test_a_stuck_pod_is_seen_by_what_waits_and_its_ratio_is_unknown(prove: Callable[..., None]) -> None:
    found = counters("mlp", queue="0+80x20 1600x60", infer="0+20x20 400x60", ends="0+4x20 80x60")
    found |= counters("mlp", queue="0+40x80", infer="0+40x80", ends="0+4x80", pod="b")
    found |= pending("2x20 5x60") | pending("4x80", "b")
    prove(
        found,
        (RATIO, 5, {"a": 4, "b": 1}),
        (RATIO, 6.5, {"b": 1}),
        ("pod:triton_pending_requests:sum", 6.5, {"a": 5, "b": 4}),
        (firing("TritonPodStuck"), 9, {}),
        (firing("TritonPodStuck"), 11, {"a": 1}),
    )


def test_a_model_that_is_stuck_beside_one_that_works_is_told(prove: Callable[..., None]) -> None:
    found = counters("mlp", ends="0+4x20 80x60") | pending("2x20 100x60")
    found |= counters("net", ends="0+4x80") | pending("4x80", model="net") | pending("9x80", model="ens")
    prove(found, (firing("TritonPodStuck", "model"), 9, {}), (firing("TritonPodStuck", "model"), 11, {"mlp": 1}))


def test_long_requests_one_at_a_time_are_not_a_stuck_pod(prove: Callable[..., None]) -> None:
    slow = " ".join(f"{number}x11" for number in range(9))  # one ends every 3 minutes, and others wait
    prove(counters("mlp", ends=slow) | pending("4x100"), (firing("TritonPodStuck"), 20, {}))


def test_a_pod_in_which_every_request_fails_is_not_stuck_but_fails(prove: Callable[..., None]) -> None:
    found = counters("mlp") | pending("4x60")
    found |= series("nv_inference_request_failure", "0+3x60", model="mlp", version="1", reason="BACKEND")
    prove(
        found,
        (firing("TritonPodStuck"), 14, {}),
        (firing("TritonRequestsFail", "model"), 14, {"mlp": 1}),
    )


def test_failures_are_counted_without_what_clients_cancelled(prove: Callable[..., None]) -> None:
    found = counters("mlp", ends="0+9x80")
    found |= series("nv_inference_request_failure", "0+1x80", model="mlp", version="1", reason="BACKEND")
    found |= series("nv_inference_request_failure", "0+30x80", model="mlp", version="1", reason="CANCELED")
    prove(
        found,
        ("model:triton_failures:ratio", 6, {"mlp": 0.1}),
        (firing("TritonRequestsFail", "model"), 3, {}),
        (firing("TritonRequestsFail", "model"), 6, {"mlp": 1}),
    )


def test_an_ensembles_failed_request_counts_once_though_triton_counts_it_twice(prove: Callable[..., None]) -> None:
    found = counters("mlp", ends="0+3x60") | counters("ens", ends="0+3x60")
    for model, values in (("mlp", "0+1x60"), ("ens", "0+2x60")):
        found |= series("nv_inference_request_failure", values, model=model, version="1", reason="OTHER")
    prove(found, ("model:triton_failures:ratio", 6, {"mlp": 0.25, "ens": 0.25}))


def test_a_lone_failure_is_no_alert(prove: Callable[..., None]) -> None:
    found = counters("mlp")
    found |= series("nv_inference_request_failure", "0x8 1x80", model="mlp", version="1", reason="OTHER")
    alert = firing("TritonRequestsFail", "model")
    prove(found, ("model:triton_failures:ratio", 4, {"mlp": 1}), *((alert, minute, {}) for minute in range(2, 16)))


def test_requests_that_end_are_counted_by_pod_without_those_of_ensembles(prove: Callable[..., None]) -> None:
    found = counters("mlp", ends="0+30x60") | counters("ens", ends="0+30x60")
    prove(found, ("pod:triton_requests:rate", 5, {"a": 2}))


def test_the_batch_size_is_inferences_by_execution(prove: Callable[..., None]) -> None:
    found = series("nv_inference_count", "0+60x60", model="mlp", version="1")
    found |= series("nv_inference_exec_count", "0+8x60", model="mlp", version="1")
    prove(found, ("model:triton_batch_size:average", 5, {"mlp": 7.5}))


GROWS = 'sum by (queue) (ALERTS{{alertname="TritonQueueGrows",alertstate="firing",queue="{}"}})'


def test_a_queue_that_grows_is_told_and_one_that_is_only_long_is_not(prove: Callable[..., None]) -> None:
    scheduler = GROWS.format("scheduler")
    prove(pending("5+1x80") | pending("2x80", "b"), (scheduler, 9, {}), (scheduler, 12, {"": 1}))
    prove(pending("500x80"), (scheduler, 18, {}))
    prove(pending("40-1x30 0x10 0+1x40"), (scheduler, 12, {}), (scheduler, 18, {}))


def test_what_waits_in_an_engine_is_its_mean_over_a_window(prove: Callable[..., None]) -> None:
    found = engine("0 4 8 4 4 4x60") | engine("6x60", pod="b") | engine("512x60", "max")
    prove(found, ("pod:trtllm_waiting_requests:average", 1, {"a": 4, "b": 6}), workload=CHAT)


def test_an_engines_queue_that_grows_is_told(prove: Callable[..., None]) -> None:
    prove(engine("5+1x80"), (GROWS.format("engine"), 12, {"": 1}), workload=CHAT)


def test_a_full_kv_cache_is_told(prove: Callable[..., None]) -> None:
    found: Series = {}
    for pod, values in (("a", "0.5x20 0.99x60"), ("b", "0.9x80")):
        labels = {"model": "tensorrt_llm", "version": "1"}
        name = "nv_trt_llm_kv_cache_block_metrics"
        found |= series(name, values, pod, "chat", kv_cache_block_type="fraction", **labels)
        found |= series(name, "6239x80", pod, "chat", kv_cache_block_type="max", **labels)
    prove(
        found,
        ("pod:trtllm_kv_cache:fraction", 8, {"a": 0.99, "b": 0.9}),
        (firing("TritonKvCacheFull"), 8, {}),
        (firing("TritonKvCacheFull"), 11, {"a": 1}),
        workload=CHAT,
    )


def test_an_engine_with_requests_that_makes_no_step_is_told(prove: Callable[..., None]) -> None:
    found: Series = {}
    for pod, steps in (("a", "0+9x20 180x60"), ("b", "0+9x80")):
        labels = {"model": "tensorrt_llm", "general_type": "iteration_counter"}
        found |= engine("3x80", "active", pod) | series("nv_trt_llm_general_metrics", steps, pod, "chat", **labels)
    alert = firing("TritonEngineStuck")
    prove(found, (alert, 9, {}), (alert, 11, {"a": 1}), workload=CHAT)
    idle = engine("0x80", "active") | series("nv_trt_llm_general_metrics", "7x80", "a", "chat", **labels)
    prove(idle, (alert, 11, {}), workload=CHAT)


def test_a_pod_that_is_not_ready_longer_than_a_start_takes_is_told(prove: Callable[..., None]) -> None:
    found: Series = {}
    for pod in ("digits-5d8f-x2x4z", "digits-h100-5d8f-x2x4z"):  # the second is another workload's
        name = f'kube_pod_status_ready{{namespace="triton",pod="{pod}",condition="true"}}'
        found |= {name: "1x4 0x60"}
    alert = firing("TritonPodNotReady")
    prove(found, (alert, 13.5, {}), (alert, 15.5, {"digits-5d8f-x2x4z": 1}))
    leader = {'kube_pod_status_ready{namespace="triton",pod="digits-group-0",condition="true"}': "0x60"}
    nodes = replace(DIGITS, needs=replace(NEEDS, nodes=2))
    prove(leader, (alert, 14.5, {"digits-group-0": 1}), workload=nodes)
    predictor = {'kube_pod_status_ready{namespace="triton",pod="digits-predictor-5d8f-x2x4z",condition="true"}': "0x60"}
    kserve = replace(DIGITS, deploy=Deploy(kserve=True))
    prove(predictor, (alert, 14.5, {"digits-predictor-5d8f-x2x4z": 1}), workload=kserve)
    prove(predictor, (alert, 14.5, {}))


def test_missing_metrics_are_told_of_one_pod_and_of_all(prove: Callable[..., None]) -> None:
    alert = firing("TritonMetricsMissing")
    prove(series("up", "1x8 0x60") | series("up", "1x80", "b"), (alert, 5, {}), (alert, 8, {"a": 1}))
    nobody = series("up", "1x80", job="letters")
    prove(nobody, (alert, 4, {}), (alert, 6, {"": 1}))
    sleeping = Deploy.model_validate({"autoscale": {"maximum": 2, "minimum": 0, "by": "keda", "wake_on": "sum(x)"}})
    prove(nobody, (alert, 8, {}), workload=replace(DIGITS, deploy=sleeping))


def test_a_load_that_nearly_takes_a_starts_budget_is_told(prove: Callable[..., None]) -> None:
    name = "nv_model_load_duration_secs"
    found = series(name, "100x9", model="mlp", version="1") | series(name, "90x9", "b", model="mlp", version="1")
    newer = replace(DIGITS, release=RELEASES["24.11"])
    prove(found, (firing("TritonLoadTakesLong"), 1, {"a": 1}), workload=newer)  # 121 s is the budget
    assert "TritonLoadTakesLong" not in [rule["alert"] for rule in alert_rules(DIGITS)]


def test_a_region_spills_the_share_of_its_queues_that_is_above_its_limit(prove: Callable[..., None]) -> None:
    regions = {"eu": {"spill_to": "us", "spill_above": 6}, "us": {}}
    here = replace(DIGITS, deploy=Deploy.model_validate({"regions": regions}))
    [document] = spill_rules(here, "eu")
    found = pending("12x20 24x60") | pending("4x80", "b")  # means of 8 and 14
    share, alert = "region:triton_spill_over:fraction", firing("TritonSpillOver")
    prove(
        found,
        ("region:triton_waiting_per_pod:average", 4, {"": 8}),
        (share, 4, {"": 0.25}),
        (share, 8, {"": 0.5}),  # 8 of 14 would be more than a region may give away
        (alert, 1, {}),
        (alert, 4, {"": 1}),
        more=document["spec"]["groups"],
        workload=here,
    )
    prove(pending("6x80"), (share, 4, {"": 0}), (alert, 8, {}), more=document["spec"]["groups"], workload=here)


def test_keda_counts_a_pod_of_unknown_ratio_as_one_at_its_target(prove: Callable[..., None]) -> None:
    metric = replace(METRICS["queue_to_compute"], target=2)
    found = counters("mlp", queue="9x60", infer="9x60", ends="9x60") | pending("5x60")  # stuck
    found |= counters("mlp", queue="0+90x60", infer="0+30x60", ends="0+4x60", pod="b") | pending("4x60", "b")
    found |= counters("mlp", pod="c") | pending("0x60", "c")  # idle
    prove(found, (fleet_query(DIGITS, metric), 5, {"": 2 + 3 + 0}))


def test_keda_sums_what_waits_in_the_engines(prove: Callable[..., None]) -> None:
    found = engine("4x60") | engine("2x60", pod="b")
    prove(found, (fleet_query(CHAT, METRICS["waiting"]), 5, {"": 6}), workload=CHAT)


def test_the_adapters_query_gives_an_hpa_one_value_per_pod(prove: Callable[..., None]) -> None:
    rule = adapter_rule(RATIO)
    query = rule["metricsQuery"].replace("<<.Series>>", RATIO).replace("<<.GroupBy>>", "pod")
    query = query.replace("<<.LabelMatchers>>", 'pod=~"a|b",namespace="triton"')
    found = counters("mlp", queue="0+90x60", infer="0+30x60") | counters("mlp", pod="b") | pending("0x60", "b")
    prove(found | counters("mlp", queue="0+1x60", infer="0+1x60", pod="c"), (query, 5, {"a": 3, "b": 0}))


@pytest.mark.parametrize("workload", [DIGITS, CHAT], ids=lambda workload: workload.name)
def test_promtool_accepts_every_rule_and_every_query_of_the_dashboard(
    workload: Workload, promtool: Path, tmp_path: Path
) -> None:
    config = {"metrics": {"config": {"histogram_latencies": "true", "summary_latencies": "true"}}}
    workload = replace(workload, server=Server.model_validate(config), needs=replace(workload.needs, gpus=1))
    queries = [query for panel in panels(workload) for query in panel.queries.values()]
    drawn = {"name": "drawn", "rules": [{"record": f"drawn:{n}", "expr": query} for n, query in enumerate(queries)]}
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [*rule_groups(workload), drawn]}))
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_is_proved_here() -> None:
    spilling = replace(CHAT, deploy=Deploy.model_validate({"regions": {"eu": {"spill_to": "us"}, "us": {}}}))
    [spill] = spill_rules(spilling, "eu")
    found = [*rules.recording_rules(CHAT), *alert_rules(CHAT), *spill["spec"]["groups"][0]["rules"]]
    names = {rule.get("record") or rule["alert"] for rule in found}
    assert names - set(proved(Path(__file__).read_text())) == set()
