"""Rules on images."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith.generator.checks.manifests.case import Manifests
from tritonsmith.generator.checks.manifests.kustomize import split_image
from tritonsmith.generator.checks.manifests.pods import LWS
from tritonsmith.generator.checks.registry import check_manifests
from tritonsmith.generator.findings import Finding, Phase

_MOVING = ("latest", "main", "master", "nightly", "stable", "edge")


@check_manifests("TK730", "an image has a tag that does not move")
def images_have_tags(case: Manifests) -> Iterator[Finding]:
    """A tag that moves, and no tag is `latest`, gives each pod the image of the day on which it starts: two releases
    of Triton in one fleet, and no way back.
    """
    for pod, server in case.servers:
        _, tag, digest = split_image(server.image)
        if server.image and not digest and (not tag or tag in _MOVING):
            message = f"'{server.image}' {'has no tag' if not tag else 'moves'}"
            yield pod.owner.warning(server.place("image"), message, remedy="name a release, and its digest")


@check_manifests("TK731", "an image is pinned by its digest")
def images_are_pinned(case: Manifests) -> Iterator[Finding]:
    """Even the tag of a release can be pushed again; a digest cannot."""
    for pod, server in case.servers:
        _, tag, digest = split_image(server.image)
        if tag and tag not in _MOVING and not digest:
            message = f"'{server.image}' is not pinned by a digest"
            yield pod.owner.note(
                server.place("image"), message, remedy="add @sha256:...; deploy: {digest: ...} writes it"
            )


@check_manifests("TK732", "the ranks of an engine run one image", phase=Phase.START)
def ranks_run_one_image(case: Manifests) -> Iterator[Finding]:
    """Ranks of two releases of TensorRT-LLM, or of MPI, do not find each other.

    Source: TensorRT-LLM: docs (multi-node: the same image on each node).
    """
    for one in case.of_kind(LWS):
        ranks = {pod.role: rank for pod in case.pods if pod.owner is one for rank in pod.containers if rank.gpus}
        leader, worker = ranks.get("leader"), ranks.get("worker")
        if leader and worker and leader.image != worker.image:
            message = f"the leader runs {leader.image}, the workers {worker.image}"
            yield one.error(worker.place("image"), message, remedy="give both the same image")
