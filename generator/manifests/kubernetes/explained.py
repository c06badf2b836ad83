"""The README.md of the output: what each file is, what the cluster must have, where every number comes from."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jinja2

from tritonsmith.generator.manifests import memory
from tritonsmith.generator.manifests.kubernetes.alerts import alert_rules
from tritonsmith.generator.manifests.kubernetes.core import object_name, scale_target
from tritonsmith.generator.manifests.kubernetes.picker import SMALLEST_BLOCK, routes_by_prefix
from tritonsmith.generator.manifests.kubernetes.prerequisites import prerequisites
from tritonsmith.generator.manifests.kubernetes.probes import STARTUP_PERIOD_S
from tritonsmith.generator.manifests.kubernetes.scaling import pod_metric, prometheus_address, quantity
from tritonsmith.generator.manifests.kubernetes.security import USER
from tritonsmith.generator.manifests.kubernetes.sharing import share, sharing_commands
from tritonsmith.generator.manifests.kubernetes.sources import is_fetched
from tritonsmith.generator.manifests.kubernetes.spill import DEPTH, FRACTION, MOST
from tritonsmith.generator.manifests.sharing.advice import TRAITS
from tritonsmith.generator.manifests.workload import MIB, Workload
from tritonsmith.generator.spec.deploy import PUSHED

FILE = "README.md"
_TEMPLATE = Path(__file__).with_name(f"{FILE}.j2")
# what each file is, by the end of its path; in this order
ABOUT = {
    "base/service_account.yaml": "the pods' account; it has no rights, and no token is mounted",
    "base/ranks.yaml": "the scripts that start an engine's ranks",
    "base/resource_claim_template.yaml": "the GPUs that each pod claims",
    "base/deployment.yaml": "the servers",
    "base/leader_worker_set.yaml": "the servers: a group of pods is one replica",
    "base/service.yaml": "their address, and a headless one for gRPC clients that balance themselves",
    "base/disruption_budget.yaml": "a node is drained one pod at a time",
    "base/network_policy.yaml": "who may connect",
    "monitoring/pod_monitor.yaml": "what Prometheus scrapes",
    "monitoring/rules.yaml": "what it computes, and its alerts",
    "monitoring/dashboard.yaml": "a Grafana dashboard",
    "scaling/hpa.yaml": "how many replicas there are",
    "scaling/scaled_object.yaml": "how many replicas there are, by KEDA",
    "gateway/route.yaml": "what the gateway lets in, and where it goes",
    "gateway/inference_pool.yaml": "the pods that a prompt may go to",
    "gateway/picker.yaml": "who chooses among them, by prefix, queue and KV cache",
    "sharing/config_map.yaml": "how the GPU operator is to share GPUs; in its own namespace, by an administrator",
    "sharing/cluster_policy.patch.yaml": "the patch of its ClusterPolicy that makes it do so",
    "sharing/device_plugin.config.yaml": "the same for a device plugin without an operator",
    "sharing/mig_parted.config.yaml": "the slices, for nvidia-mig-parted without an operator",
    "kserve/supports.yaml": "what KServe's pods need beside",
    "kserve/serving_runtime.yaml": "KServe: how it is served",
    "kserve/inference_service.yaml": "KServe: what is served, in place of base, scaling and gateway",
    "prometheus-adapter.values.yaml": "values for prometheus-adapter's chart: what the HPA asks for",
    "overlays/production/kustomization.yaml": "all of it but kserve",
    "overlays/staging/kustomization.yaml": "base alone, with one replica, in a namespace of its own",
}


@dataclass(frozen=True)
class Number:
    """A number that was computed: where it stands, what it is, and how it came about."""

    what: str
    value: str
    formula: str


def explained(workload: Workload, files: Collection[str]) -> dict[str, bytes]:
    """Return the README.md; `files` are the other paths of the output."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATE.parent),
        autoescape=False,  # noqa: S701 - Markdown
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(_TEMPLATE.name).render(
        w=workload,
        object_name=object_name(workload),
        scaled_kind=scale_target(workload)["kind"].lower(),
        deploy=workload.deploy,
        about={path: about for path, about in ABOUT.items() if path in files},
        places=[f"regions/{name}" for name in workload.deploy.regions] or ["overlays/production"],
        prerequisites=list(prerequisites(workload)),
        numbers=list(numbers(workload)),
        metric=pod_metric(workload, workload.deploy.autoscale) if workload.deploy.autoscale else None,
        prometheus=prometheus_address(workload, workload.deploy.autoscale) if workload.deploy.autoscale else "",
        alerts=alert_rules(workload) if workload.metrics_port else [],
        pushed_to=PUSHED.sub("", workload.deploy.repository.store or ""),
        # NVIDIA's front end sets itself no limit (uvicorn's timeout_graceful_shutdown), so that the kubelet's holds
        answer_s=workload.drain_s if workload.deploy.openai else workload.exit_s,
        is_group=workload.needs.nodes > 1,
        sharing_commands=sharing_commands(workload),
        traits=TRAITS[workload.sharing.mode],
        user=USER,
        is_fetched=is_fetched(workload),
        by_prefix=routes_by_prefix(workload),
        smallest_block=SMALLEST_BLOCK,
        depth=DEPTH,
        fraction=FRACTION,
        most=MOST,
        spilling={name: found for name, found in workload.deploy.regions.items() if found.spill_to},
    )
    return {FILE: text.encode()}


def numbers(workload: Workload) -> Iterator[Number]:
    """Yield the numbers that were computed, each with its formula."""
    deploy, needs = workload.deploy, workload.needs
    size = needs.repository_bytes / MIB
    failures = math.ceil(workload.startup_s / STARTUP_PERIOD_S)
    yield Number(
        "startup budget",
        f"{workload.startup_s} s",
        f"{workload.read_s} s to read {size:.0f} MiB at {deploy.load_mib_per_s:g} MiB/s (load_mib_per_s) + "
        f"{deploy.start_margin_s} s (start_margin_s); as {failures} probes, {STARTUP_PERIOD_S} s apart",
    )
    words = {"exit_s": _exit(workload)}
    parts = [f"{seconds} s ({words.get(name, name)})" for name, seconds in workload.grace_parts.items()]
    yield Number("grace period", f"{workload.grace_s} s", " + ".join(parts))
    shared = f"{_joined(memory.shm_parts(workload))}; part of the memory below"
    yield Number("shared memory", f"{memory.shm_mib(workload)} MiB", shared)
    yield Number("memory, requested and limit", f"{memory.memory_mib(workload)} MiB", _memory(workload))
    said = "as the spec says" if deploy.cpus else _joined(memory.cpu_parts(workload))
    yield Number("processors, requested", f"{memory.cpus(workload):g}", said)
    if needs.gpus:
        ranks = f"{workload.launch.world_size} ranks / " if workload.launch and needs.nodes > 1 else ""
        of = f"{ranks}{needs.nodes} nodes" if ranks else "what a replica's models name"
        yield Number(f"GPUs of a pod ({workload.gpu_resource})", str(needs.gpus), of)
    found = share(workload)
    if found is not None and workload.sharing.is_shared:
        rule = "more is refused" if found.is_enforced else "which nobody enforces"
        yield Number("GPU memory of a pod", f"{found.memory_bytes // MIB} MiB", f"{found.arithmetic}; {rule}")
    if needs.nodes > 1:
        yield Number("pods of a replica", str(needs.nodes), "ranks / GPUs of a node")
    if deploy.autoscale is not None:
        metric = pod_metric(workload, deploy.autoscale)
        yield Number(
            "replicas",
            f"{deploy.autoscale.minimum} to {deploy.autoscale.maximum}",
            f"ceil(replicas x mean of {metric.record} / {quantity(metric.target)}); within 10 % nothing changes",
        )


def _exit(workload: Workload) -> str:
    if workload.exit_s > workload.server.exit_timeout_s:
        return "Triton's default exit timeout, with which NVIDIA's front end starts it"
    return "server.exit_timeout_s"


def _memory(workload: Workload) -> str:
    if workload.deploy.memory_mib is not None:
        return "memory_mib, as the spec says"
    estimate = f"in steps of {memory.STEP_MIB} MiB: an estimate, replace it by memory_mib"
    return f"{_joined(memory.memory_parts(workload))}; {estimate}"


def _joined(parts: Iterable[memory.Part]) -> str:
    return " + ".join(words for words, _ in parts)
