"""The ConfigMap of the scripts that start an engine's ranks."""

from __future__ import annotations

from tritonsmith.generator.manifests.kubernetes.core import Manifest, metadata
from tritonsmith.generator.manifests.ranks import has_ranks, scripts_of
from tritonsmith.generator.manifests.workload import Workload


def rank_scripts(workload: Workload) -> list[Manifest]:
    """Return the ConfigMap of the scripts that the pods run; none where the server is one process."""
    if not has_ranks(workload):
        return []
    data = scripts_of(workload)
    return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(workload, "-ranks"), "data": data}]
