"""`deploy --kubernetes`: a repository's manifests, written as a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.manifests.folder import Written, write_folder
from tritonsmith.generator.manifests.kubernetes.files import render
from tritonsmith.generator.manifests.kubernetes.placement import products
from tritonsmith.generator.manifests.openai import lost_settings
from tritonsmith.generator.manifests.server import options_of
from tritonsmith.generator.manifests.workload import MIB, Workload, plan_workload
from tritonsmith.generator.repository.lock import read_lock
from tritonsmith.generator.repository.names import LOCK_FILE
from tritonsmith.generator.repository.read import read_repository
from tritonsmith.generator.spec.deploy import PUSHED
from tritonsmith.generator.spec.locked import are_settings

LEAST_LLM_BYTES = 16 * MIB  # below, its weights lie elsewhere


@dataclass(frozen=True)
class Manifests:
    """What `deploy --kubernetes` wrote, or would write, for a workload."""

    workload: Workload
    written: Written

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user must know and no manifest can mend."""
        return tuple(_notices(self.workload))


def write_kubernetes(repository: Path, folder: Path, *, is_dry: bool, is_forced: bool) -> Manifests:
    """Write a repository's manifests to a folder, or say what would be written.

    Raises: RepositoryError where there is no repository, it cannot be deployed so, or what somebody edited would be
        lost; UsageError where a disk does not do its part.
    """
    found = read_repository(repository)
    if not are_settings(read_lock(repository).settings):
        hint = "build the repository again, with this tritonsmith"
        raise RepositoryError("the lock's settings cannot be understood", where=str(repository / LOCK_FILE), hint=hint)
    workload = plan_workload(found)
    return Manifests(workload, write_folder(folder, render(workload), is_forced=is_forced, is_dry=is_dry))


def _notices(workload: Workload) -> Iterator[str]:
    needs, deploy = workload.needs, workload.deploy
    if needs.is_llm and needs.repository_bytes < LEAST_LLM_BYTES and "start_margin_s" not in deploy.model_fields_set:
        yield (
            f"the repository holds {needs.repository_bytes / MIB:.1f} MiB, so the weights lie elsewhere: the "
            f"{workload.startup_s} s to start have no time to read them: set deploy.start_margin_s"
        )
    if needs.engine_gpus_per_node not in (0, needs.gpus):
        yield (
            f"the engine was built for nodes of {needs.engine_gpus_per_node} GPUs (mapping.gpus_per_node), and a pod "
            f"has {needs.gpus}: ranks beyond the first pod look for GPUs that are not there"
        )
    if needs.has_engine and not products(workload):
        named = f"of '{workload.hardware.gpu}'" if workload.hardware.gpu else "of its GPU"
        yield f"an engine runs on the GPU it was built for, and no node label {named} is known: deploy.gpus.products"
    if deploy.repository.store and not PUSHED.search(deploy.repository.store):
        yield (
            f"{deploy.repository.store} is no push's URL: pods that start at different times may get different models; "
            "take the one that `deploy --push` prints"
        )
    if deploy.repository.secret:
        yield f"Secret {deploy.repository.secret} in namespace {deploy.namespace} is yours to make"
    if deploy.openai and (lost := lost_settings(options_of(workload.server))):
        yield f"NVIDIA's front end starts the server without {', '.join(lost)}"
    if deploy.replicas == 1 and not deploy.autoscale:
        yield "one replica: while its pod is replaced, nobody answers"
