"""A repository as a sweep's pods have it: one server, measured from beside it, with room for all variants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.manifests.kubernetes.placement import products
from tritonsmith.generator.manifests.kubernetes.refusals import require_possible
from tritonsmith.generator.manifests.memory import cpus, memory_mib
from tritonsmith.generator.manifests.workload import Workload, plan_workload
from tritonsmith.generator.repository.core import Repository
from tritonsmith.perf.document import SweepPlan
from tritonsmith.perf.executors.kubernetes.core import Wish
from tritonsmith.perf.variants import all_variants, changed_configs

GENERATOR_CPUS, GENERATOR_MIB = 2, 2048  # for perf_analyzer and what drives it, beside a server

SINCE = (1, 29)  # backoffLimitPerIndex and sidecars are on by default


def planned_workload(repository: Repository, plan: SweepPlan) -> Workload:
    """Return a repository's workload, with what its hungriest variants need: more instances take more of a pod.

    Raises: RepositoryError where its LLMs cannot be ranks of one start; UsageError for a variant that cannot be.
    """
    configs = {name: model.config for name, model in repository.models.items() if model.config is not None}
    workload, variants = plan_workload(repository), all_variants(plan).values()
    needs = [plan_workload(_changed(repository, changed_configs(one, configs))).needs for one in variants]
    most = {name: max(getattr(one, name) for one in needs) for name in ("python_instances", "cpu_instances", "gpus")}
    return replace(workload, needs=replace(workload.needs, **most))


def _changed(repository: Repository, configs: Mapping[str, ModelConfig]) -> Repository:
    models = {
        name: replace(model, config=configs[name]) if name in configs else model
        for name, model in repository.models.items()
    }
    return replace(repository, models=models)


def measured_workload(workload: Workload, wish: Wish) -> Workload:
    """Return the workload of a sweep's pods.

    Triton itself is measured, not a front end before it, and the repository is in the pod, where it can be compared
    with the plan's. Without a sidecar the cell's container is the server's, with what the load generator takes.

    Raises: UsageError for a server that no single pod is, or whose repository the cell cannot see; RepositoryError for
    a deployment that cannot be.
    """
    if workload.deploy.kubernetes_version < SINCE:
        raise UsageError(
            f"Kubernetes {workload.deploy.kubernetes} does not retry a Job's indices one by one",
            hint="deploy: {kubernetes: '1.29'} in the spec, where the cluster is so new",
        )
    if workload.needs.nodes > 1:
        raise UsageError(
            f"{workload.name} needs {workload.needs.nodes} nodes for one server, and an index of the Job is one pod",
            hint="deploy it, and measure from a pod beside it: sweep --url HOST:PORT",
        )
    source = workload.deploy.repository
    if wish.is_sidecar and not (source.claim or source.store or source.volume):
        raise UsageError(
            "--sidecar needs a repository that both containers see, and deploy.repository names no place",
            hint="deploy: {repository: {claim: ...}}, or a store, or a volume, in the spec",
        )
    changes: dict[str, Any] = {
        "openai": False,
        "gateway": None,
        "repository": source.model_copy(update={"fetch": "init"}),
    }
    if not wish.is_sidecar:
        changes |= {"cpus": cpus(workload) + GENERATOR_CPUS, "memory_mib": memory_mib(workload) + GENERATOR_MIB}
        changes |= {"image": wish.image, "digest": None}
    found = replace(workload, deploy=workload.deploy.model_copy(update=changes))
    # what fetches is the cells' image, which can
    require_possible(replace(found, deploy=found.deploy.model_copy(update={"image": found.deploy.image or wish.image})))
    return found


def machines_of(workload: Workload, wish: Wish) -> str:
    """Return on what kind of machines, served by what, cells are measured: those of others are not mixed with them."""
    server = workload.image if wish.is_sidecar else "the embedded server"
    gpus = f"{workload.needs.gpus} {workload.gpu_resource} of {' or '.join(products(workload)) or 'any kind'}"
    return f"any of a Kubernetes cluster, {gpus if workload.needs.gpus else 'no GPU'}, {server}"
