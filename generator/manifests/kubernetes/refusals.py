"""What cannot work on Kubernetes, refused by name before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tritonsmith.generator.catalog.releases import NEWEST_WITH_TENSORRT_LLM
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.manifests.kubernetes.sharing import sharing_refusals
from tritonsmith.generator.manifests.kubernetes.sources import is_fetched
from tritonsmith.generator.manifests.memory import least_mib, shm_mib
from tritonsmith.generator.manifests.openai import FIRST_RELEASE, only_tokenizer, require_one_process
from tritonsmith.generator.manifests.sharing.share import WHOLE
from tritonsmith.generator.manifests.workload import Workload

VOLUMES_SINCE, SUB_PATHS_SINCE = (1, 31), (1, 33)  # of image volumes
WRITABLE = "/tmp/"  # noqa: S108 - a pod's own
Refusal = tuple[str, str]  # what cannot be, and what to do


def require_possible(workload: Workload) -> None:
    """Refuse a deployment whose pods could not run, or not as the spec says.

    Raises: RepositoryError with the first thing that cannot be.
    """
    for check in CHECKS:
        for message, hint in check(workload):
            raise RepositoryError(message, where=f"deploy of {workload.name}", hint=hint)
    if workload.deploy.openai:
        require_one_process(workload.launch)
        only_tokenizer(workload.needs.tokenizers)


def _image(workload: Workload) -> Iterator[Refusal]:
    deploy, release = workload.deploy, workload.release
    source = deploy.repository
    if deploy.image:
        return
    if workload.launch and not release.tensorrt_llm_image:
        hint = f"triton: {NEWEST_WITH_TENSORRT_LLM}; or deploy: {{image: one of your own}}"
        yield f"NVIDIA has no image of Triton {release.name} with TensorRT-LLM", hint
    if not (source.claim or source.store or source.volume):
        hint = "deploy: {image: ...} of one that `deploy --container` makes; or deploy: {repository: {claim: ...}}"
        yield "no pod would have the repository: NVIDIA's image has none, and deploy.repository names no place", hint
    if workload.needs.stand_ins:
        hint = "deploy: {image: ...} of one that `deploy --container` makes, with tritonsmith's own"
        yield f"{workload.image} has no {' and no '.join(workload.needs.stand_ins)} backend", hint
    if is_fetched(workload):
        hint = "deploy: {image: ...} of one that `deploy --container` makes; or repository: {fetch: server}"
        yield f"NVIDIA's image has nothing that fetches {source.store} before the server starts", hint


def _volume(workload: Workload) -> Iterator[Refusal]:
    deploy = workload.deploy
    source, version = deploy.repository, deploy.kubernetes
    if source.volume and deploy.kubernetes_version < VOLUMES_SINCE:
        yield f"Kubernetes {version} has no image volumes", "deploy: {kubernetes: '1.31'}; or repository: {claim: ...}"
    if source.volume and source.path and deploy.kubernetes_version < SUB_PATHS_SINCE:
        hint = "deploy: {kubernetes: '1.33'}; or an image with the repository at its root"
        yield f"Kubernetes {version} mounts image volumes whole, not repository.path '{source.path}' alone", hint


def _gpus(workload: Workload) -> Iterator[Refusal]:
    needs, launch, hardware = workload.needs, workload.launch, workload.hardware
    resource = workload.gpu_resource
    if needs.gpus > 1 and resource != WHOLE and not workload.sharing.is_shared:  # which says so itself
        message = f"a pod needs {needs.gpus} GPUs, and of {resource} a process can use one"
        yield message, f"deploy: {{gpus: {{resource: {WHOLE}}}}}"
    if launch is None:
        return
    if launch.nodes > 1 and launch.world_size != launch.nodes * hardware.gpus:
        message = f"{launch.world_size} ranks do not fill {launch.nodes} nodes of {hardware.gpus} GPUs"
        yield message, "hardware: {count: ...} by which the ranks can be divided"
    if launch.nodes > 1 and launch.mode == "leader" and max(launch.gpus) > 0:
        # Source: TensorRT-LLM: runtime/worldConfig.cpp: device ids are those of one node
        message = f"gpu_device_ids names GPUs up to {max(launch.gpus)}, and the engine spans {launch.nodes} nodes"
        yield message, "leave gpu_device_ids out: each rank takes a GPU of its own node"
    if launch.mode in ("spawn", "participants") and needs.gpus > hardware.gpus > 0:
        message = f"the LLMs name GPUs up to {needs.gpus - 1}, and their orchestrator reaches those of one node alone"
        yield message, f"an engine that fits the {hardware.gpus} of a node; or a repository for each"


def _files(workload: Workload) -> Iterator[Refusal]:
    deploy = workload.deploy
    if workload.needs.outside and not deploy.image:
        hint = "engine: {place: copy}; or deploy: {image: ...} of one that has it there"
        yield f"no pod would have {workload.needs.outside[0]}, which a model names", hint
    tls = workload.server.tls
    if tls and not (deploy.image and tls.certificate.startswith("/")):
        hint = "let the gateway speak TLS; or deploy: {image: ...} of one that has them, and absolute paths"
        yield f"no pod would have server.tls.certificate {tls.certificate}", hint
    if tls and deploy.gateway:
        hint = "leave server.tls out: the gateway ends TLS; or leave deploy.gateway out"
        yield "a gateway's routes speak plain gRPC to the pods, and server.tls has them take TLS alone", hint
    tracing = workload.server.tracing
    trace = tracing.config.get("file", "") if tracing and tracing.mode == "triton" else ""
    if trace and not trace.startswith(WRITABLE):
        hint = "server: {tracing: {config: {file: /tmp/trace.json}}}; or mode: opentelemetry"
        yield f"server.tracing writes {trace}, and a pod can write below {WRITABLE} alone", hint


def _memory(workload: Workload) -> Iterator[Refusal]:
    said, least = workload.deploy.memory_mib, least_mib(workload)
    if said is not None and said < least:
        message = f"deploy.memory_mib {said} is too little: {shm_mib(workload)} MiB of it are shared memory"
        yield message, f"at least {least}; or fewer instances"


def _front_end(workload: Workload) -> Iterator[Refusal]:
    deploy = workload.deploy
    if not deploy.openai:
        return
    if workload.server.tls:
        yield "NVIDIA's OpenAI front end speaks no TLS, and server.tls asks for it", "let the gateway speak TLS"
    if not deploy.image and workload.release.name < FIRST_RELEASE:
        message = f"the image of {workload.release.name} has no OpenAI front end"
        yield message, f"triton: '{FIRST_RELEASE}' is the first that has"
    if workload.needs.nodes > 1:
        message = f"NVIDIA's OpenAI front end is one process, and the engine spans {workload.needs.nodes} nodes"
        yield message, "deploy: {openai: false}; or an engine that fits a node"
    if deploy.repository.store and deploy.repository.fetch == "server":
        yield "NVIDIA's OpenAI front end reads tokenizers from files, not from a store", "repository: {fetch: init}"


CHECKS: tuple[Callable[[Workload], Iterator[Refusal]], ...] = (
    *(_image, _volume, _gpus, sharing_refusals, _files, _memory),
    _front_end,
)
