"""Engines that span several nodes: a group of pods is one replica."""

import math

from tritonsmith.generator.manifests.kubernetes.core import pod_labels
from tritonsmith.generator.manifests.kubernetes.deployment import deployments
from tritonsmith.generator.manifests.kubernetes.leader_worker_set import leader_worker_sets
from tritonsmith.generator.manifests.kubernetes.network import network_policies
from tritonsmith.generator.manifests.kubernetes.ranks import rank_scripts
from tritonsmith.generator.manifests.kubernetes.services import services
from tritonsmith.generator.manifests.workload import Workload


def test_one_pod_is_a_deployment_and_several_are_a_group(four_gpus: Workload, two_nodes: Workload) -> None:
    assert (len(deployments(four_gpus)), len(leader_worker_sets(four_gpus))) == (1, 0)
    assert (len(deployments(two_nodes)), len(leader_worker_sets(two_nodes))) == (0, 1)


def test_a_group_s_gpus_are_the_ranks(two_nodes: Workload) -> None:
    template = leader_worker_sets(two_nodes)[0]["spec"]["leaderWorkerTemplate"]
    asked = [
        int(template[role]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"])
        for role in ("leaderTemplate", "workerTemplate")
    ]
    assert asked[0] + asked[1] * (template["size"] - 1) == 16
    variables = template["leaderTemplate"]["spec"]["containers"][0]["env"]
    assert {"name": "RANKS_PER_POD", "value": str(math.ceil(16 / template["size"]))} in variables


def test_a_rank_that_fails_recreates_its_group_and_workers_do_not_wait_for_a_leader_that_waits_for_them(
    two_nodes: Workload,
) -> None:
    spec = leader_worker_sets(two_nodes)[0]["spec"]
    assert spec["leaderWorkerTemplate"]["restartPolicy"] == "RecreateGroupOnPodRestart"
    assert spec["startupPolicy"] == "LeaderCreated"


def test_workers_serve_nobody_and_are_ended_by_the_leader(two_nodes: Workload) -> None:
    template = leader_worker_sets(two_nodes)[0]["spec"]["leaderWorkerTemplate"]
    (worker,) = template["workerTemplate"]["spec"]["containers"]
    assert worker["args"] == ["bash", "/ranks/join.sh"]
    assert not {"ports", "lifecycle", "startupProbe", "livenessProbe", "readinessProbe"} & worker.keys()
    leader = template["leaderTemplate"]
    assert worker["image"] == leader["spec"]["containers"][0]["image"]  # ranks are one version's
    for service in services(two_nodes):
        assert service["spec"]["selector"].items() <= leader["metadata"]["labels"].items()
        assert not service["spec"]["selector"].items() <= template["workerTemplate"]["metadata"]["labels"].items()


def test_no_service_of_ours_has_the_name_of_the_one_that_the_group_makes(two_nodes: Workload) -> None:
    (group,) = leader_worker_sets(two_nodes)
    assert group["metadata"]["name"] not in {service["metadata"]["name"] for service in services(two_nodes)}


def test_only_a_group_s_pods_reach_its_ranks(two_nodes: Workload, four_gpus: Workload) -> None:
    every_port = [rule for rule in network_policies(two_nodes)[0]["spec"]["ingress"] if "ports" not in rule]
    assert every_port == [{"from": [{"podSelector": {"matchLabels": pod_labels(two_nodes)}}]}]
    assert all("ports" in rule for rule in network_policies(four_gpus)[0]["spec"]["ingress"])


def test_metrics_are_for_those_who_watch(four_gpus: Workload) -> None:
    open_rule, metrics = network_policies(four_gpus)[0]["spec"]["ingress"]
    assert [port["port"] for port in open_rule["ports"]] == [8000, 8001]
    assert [port["port"] for port in metrics["ports"]] == [8002]
    assert metrics["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "monitoring"}


def test_pods_have_the_scripts_that_they_run(two_nodes: Workload, four_gpus: Workload, digits: Workload) -> None:
    assert set(rank_scripts(two_nodes)[0]["data"]) == {"start.sh", "first.sh", "agent.sh", "join.sh", "gather.sh"}
    assert set(rank_scripts(four_gpus)[0]["data"]) == {"start.sh", "first.sh"}
    assert rank_scripts(digits) == []
