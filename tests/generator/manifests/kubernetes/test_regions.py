import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.generator.manifests.kubernetes.kustomized import applied, documents
from tests.generator.manifests.kubernetes.shapes import DIGEST, workload
from tritonsmith.backends.toolchain.prometheus import find_prometheus
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.home import home_folder
from tritonsmith.generator.manifests.kubernetes.changes import changes
from tritonsmith.generator.manifests.kubernetes.files import render
from tritonsmith.generator.manifests.kubernetes.spill import MOST, spill_rules

WAITING = 'pod:trtllm_waiting_requests:average{namespace="triton",job="chat",pod="%s"}'


def overlay(region: str, shape: str = "one gpu", **deploy: Any) -> list[dict[str, Any]]:
    return applied(render(workload(shape, "regions", **deploy)), f"regions/{region}")


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [document for document in objects if document["kind"] == kind]


def test_a_region_fetches_its_own_copy_of_the_same_content() -> None:
    (deployment,) = of_kind(overlay("eu"), "Deployment")
    (fetching,) = deployment["spec"]["template"]["spec"]["initContainers"]
    assert f"s3://models-eu/chat/{DIGEST}" in fetching["args"]
    assert f"s3://models/chat/{DIGEST}" not in fetching["args"]


def test_a_region_is_scaled_as_it_says_and_else_as_everywhere() -> None:
    everywhere: dict[str, Any] = {"autoscale": {"maximum": 5}}
    (hpa,) = of_kind(overlay("eu", **everywhere), "HorizontalPodAutoscaler")
    assert hpa["spec"]["maxReplicas"] == 5
    fixed = overlay("us", **everywhere)
    assert not of_kind(fixed, "HorizontalPodAutoscaler")
    assert of_kind(fixed, "Deployment")[0]["spec"]["replicas"] == 4
    scaled = overlay("ap", **everywhere)
    assert not of_kind(scaled, "HorizontalPodAutoscaler")
    assert of_kind(scaled, "ScaledObject")[0]["spec"]["maxReplicaCount"] == 9


def test_a_region_s_gpus_are_its_own_with_engines_of_its_own() -> None:
    region = {"products": ("NVIDIA-H200",), "store": "s3://models-h200/chat"}
    (deployment,) = of_kind(overlay("eu", regions={"eu": region}), "Deployment")
    assert "NVIDIA-H200" in str(deployment["spec"]["template"]["spec"]["affinity"])
    with pytest.raises(RepositoryError, match="region eu has NVIDIA-H200: engines run on the GPU"):
        overlay("eu", regions={"eu": {"products": ("NVIDIA-H200",)}})


def test_a_region_where_pods_could_not_run_is_refused() -> None:
    with pytest.raises(RepositoryError, match="nothing that fetches s3://eu/chat"):
        overlay("eu", image="", repository={"claim": "models"}, regions={"eu": {"store": "s3://eu/chat"}})


def test_a_key_with_slashes_and_tildes_is_changed_and_no_other() -> None:
    head = {"apiVersion": "v1", "kind": "ConfigMap"}
    before = {**head, "metadata": {"name": "x", "annotations": {"a/b~c": "1", "a": "1"}}, "data": {"list": ["1", "2"]}}
    after = {**head, "metadata": {"name": "x", "annotations": {"a/b~c": "2", "a": "1"}}, "data": {"list": ["1"]}}
    found = changes([before], [after])
    (patch,) = found.patches
    (operations,) = documents(patch["patch"].encode())
    assert [operation["path"] for operation in operations] == ["/metadata/annotations/a~1b~0c", "/data/list"]  # type: ignore[index]
    assert (found.additions, changes([before], [before]).patches) == ((), ())


def test_a_region_that_spills_nowhere_has_no_rule() -> None:
    assert not spill_rules(workload("one gpu", "regions"), "us")
    assert spill_rules(workload("one gpu", "regions"), "eu")


@pytest.mark.parametrize(
    ("queues", "share"),
    [
        ((0, 0), 0),
        ((3, 3), 0),  # at its limit, which is 3
        ((2, 6), 0.25),  # 4 of each pod's are kept to 3
        ((100, 100), MOST),
    ],
)
def test_what_lies_above_the_limit_is_sent_away_and_never_more_than_half(
    queues: tuple[int, int], share: float, tmp_path: Path
) -> None:
    found = find_prometheus(home_folder())
    if found is None:
        pytest.skip("promtool is missing: Debian's package prometheus has it")
    (rule,) = spill_rules(workload("one gpu", "regions"), "eu")
    series = [{"series": WAITING % pod, "values": f"{depth}x40"} for pod, depth in enumerate(queues)]
    labels = 'region:triton_spill_over:fraction{namespace="triton",job="chat",region="eu",spill_to="us"}'
    asked = {"expr": 'region:triton_spill_over:fraction{job="chat"}', "eval_time": "5m"}
    alerts: list[dict[str, Any]] = [
        {"eval_time": f"{minutes}m", "alertname": "TritonSpillOver", "exp_alerts": []} for minutes in (1, 5)
    ]
    if share:
        exp_labels = {"severity": "warning", "namespace": "triton", "job": "chat", "region": "eu", "spill_to": "us"}
        summary = f"eu: send {100 * share:g}% of new sessions to us"
        description = rule["spec"]["groups"][0]["rules"][-1]["annotations"]["description"]
        said = {"summary": summary, "description": description}
        alerts[1]["exp_alerts"] = [{"exp_labels": exp_labels, "exp_annotations": said}]
    test = {
        "interval": "15s",
        "input_series": series,
        "promql_expr_test": [{**asked, "exp_samples": [{"labels": labels, "value": share}]}],
        "alert_rule_test": alerts,
    }
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": [test]}))
    done = subprocess.run(
        [found.promtool, "test", "rules", tmp_path / "test.yaml"], capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stdout + done.stderr
