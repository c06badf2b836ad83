"""Rules on `sharing:`: what excludes what, what spans no shares, and what of a share a server may take.

Source: k8s-device-plugin 1b826ac: README (Shared Access to GPUs), api/config/v1, cmd/mps-control-daemon; NVIDIA's
guides of MIG and MPS.
"""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith.generator.catalog.gpus import Gpu, gpu_named
from tritonsmith.generator.catalog.mig import MIB, MIG_RESOURCE, cut_problem, mig_profile
from tritonsmith.generator.checks.case import Case
from tritonsmith.generator.checks.registry import check_case
from tritonsmith.generator.checks.rules.instances import groups_of
from tritonsmith.generator.checks.rules.llm.llmapi import documents_of
from tritonsmith.generator.checks.rules.llm.llms import Llm, llms_of
from tritonsmith.generator.checks.rules.on_gpu import caches_of, copies, groups_on_gpu, weights_of
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.findings import Finding, Phase, error, warning
from tritonsmith.generator.manifests.sharing.share import (
    KV_FRACTION,
    Share,
    kv_fraction,
    resource_problem,
    share_of,
)
from tritonsmith.generator.spec.deploy import Deploy
from tritonsmith.generator.spec.settings import Hardware
from tritonsmith.generator.spec.sharing import Sharing

_KEY = "sharing"
_DEVICES = "gpu_device_ids"
_HUNDREDTHS = 100  # in which fractions are written
# Beside the weights: a CUDA context with its libraries, activations. As aiconfigurator counts them on whole GPUs: more.
_BESIDE_BYTES = 1 << 30


@check_case("TS540", "who shares a GPU has one", phase=Phase.START)
def sharing_has_a_gpu(case: Case) -> Iterator[Finding]:
    """Without a GPU there is nothing to share, and no pod asks for one."""
    sharing = case.once(sharing_of)
    if sharing.is_shared and case.target.gpus == 0:
        message = f"sharing: {sharing}, and the spec's hardware has no GPU"
        yield warning(message, key=_KEY, remedy="hardware: {gpu: NAME}; or sharing: none")


@check_case("TS541", "an engine of several ranks has whole GPUs", phase=Phase.START)
def ranks_have_whole_gpus(case: Case) -> Iterator[Finding]:
    """Tensor and pipeline parallelism exchange data at every step. A process sees one MIG slice, slices do not reach
    each other, and two shares may be of the same GPU: then the ranks only take turns, with the memory of one.

    Source: NVIDIA's MIG user guide (no peer-to-peer between instances); k8s-device-plugin: README (a share is access).
    """
    sharing = case.once(sharing_of)
    if not sharing.is_shared:
        return
    remedy = "sharing: none; or an engine of one rank"
    for llm in case.once(llms_of):
        if (ranks := _ranks(llm)) > 1:
            yield llm.model.error("parameters", f"{ranks} ranks do not run on {_words(sharing)}", remedy=remedy)
    for document in case.once(documents_of):
        if document.ranks > 1:
            message = (
                f"{document.ranks} ranks do not run on {_words(sharing)} ({document.says('tensor_parallel_size')})"
            )
            yield document.model.error("", message, remedy=remedy)


@check_case("TS542", "a shared GPU is asked for once", phase=Phase.START)
def shares_are_asked_for_once(case: Case) -> Iterator[Finding]:
    """Two shares of a GPU are no more of it than one, so that the device plugin refuses a pod that asks for two:
    "maximum request size for shared resources is 1". Of two MIG slices a process sees one.

    Source: k8s-device-plugin: README (failRequestsGreaterThanOne; MPS sets it by itself).
    """
    sharing = case.once(sharing_of)
    for model in case.models() if sharing.is_shared else ():
        for path, group in groups_of(model):
            if beyond := [number for number in group.gpus if number > 0]:
                message = f"the group names GPU {beyond[0]}, and a pod has one of {_words(sharing)}"
                yield model.error(f"{path}.gpus", message, remedy="gpus: [0], and more replicas; or sharing: none")
    for llm in case.once(llms_of) if sharing.is_shared else ():
        numbers = [number for group in llm.groups(_DEVICES) for number in group]
        if _ranks(llm) == 1 and max(numbers, default=0) > 0:
            message = f"{_DEVICES} is {max(numbers)}, and a pod has one of {_words(sharing)}"
            yield llm.error(_DEVICES, message, f'{_DEVICES}: "0", and more replicas; or sharing: none')


@check_case("TS543", "MPS shares whole GPUs", phase=Phase.START)
def mps_and_mig_exclude_each_other(case: Case) -> Iterator[Finding]:
    """The device plugin does not start MPS on a node whose GPUs are cut into MIG slices.

    Source: k8s-device-plugin: internal/plugin/mps.go ("sharing using MPS is not supported for MIG devices").
    """
    resource = deploy_of(case).gpus.resource
    if case.once(sharing_of).mode == "mps" and resource.startswith(MIG_RESOURCE):
        message = f"sharing: mps, and deploy.gpus.resource is {resource}: MPS does not share MIG slices"
        slice_ = resource.removeprefix(MIG_RESOURCE).removesuffix(".shared")
        yield error(message, key=_KEY, remedy=f"sharing: mig:{slice_}; or leave gpus.resource out")


@check_case("TS544", "pods ask for what is handed out", phase=Phase.START)
def resources_are_the_sharings(case: Case) -> Iterator[Finding]:
    """Shares are handed out as nvidia.com/gpu.shared, slices under their own names: a pod that asks for another name is
    never placed, or gets a whole GPU.

    Source: k8s-device-plugin: README (renameByDefault; MIG strategies).
    """
    sharing, said = case.once(sharing_of), deploy_of(case).gpus.resource
    is_mps_on_mig = sharing.mode == "mps" and said.startswith(MIG_RESOURCE)  # TS543
    if (message := resource_problem(sharing, said)) and not is_mps_on_mig:
        yield error(message, key=_KEY, remedy="leave gpus.resource out")


@check_case("TS545", "a GPU can be cut into the slice", phase=Phase.START)
def slices_are_the_gpus(case: Case) -> Iterator[Finding]:
    """Only some GPUs can be cut, each into slices of its own; the same name may be another number on another GPU.

    Source: mig-parted: deployments/systemd/config-default.yaml; NVIDIA's MIG user guide.
    """
    sharing, name, deploy = case.once(sharing_of), hardware_of(case).gpu, deploy_of(case)
    if sharing.mode != "mig" or not name:
        return
    try:
        mig_profile(name, sharing.profile)
    except UsageError as problem:
        yield error(problem.message, key=_KEY, remedy=problem.hint or "sharing: none")
        return
    named = {"deploy.gpus": deploy.gpus.products} | {
        f"deploy.regions.{key}": one.products for key, one in deploy.regions.items()
    }
    for key, products in named.items():
        if message := cut_problem(name, sharing.profile, products):
            yield error(
                f"{key}.products: {message}", key=_KEY, remedy="products that are cut alike, or a spec for each"
            )


@check_case("TS546", "engines that take turns on a GPU leave each other memory", phase=Phase.START)
def engines_leave_memory(case: Case) -> Iterator[Finding]:
    """An engine takes nine tenths of the memory that it finds free, and time-slicing parts none: the first takes it
    all, and the next does not start. A MIG slice and MPS's limit are all that an engine sees.

    Source: TensorRT-LLM: docs of memory usage (kv_cache_free_gpu_mem_fraction); k8s-device-plugin: README.
    """
    sharing, caches = case.once(sharing_of), case.once(caches_of)
    if sharing.mode != "time-slicing" or not caches:
        return
    share, weights = case.once(_share), sum(case.once(weights_of).values())
    most = kv_fraction(share, weights, 1.0) if share is not None else 1 / sharing.shares
    taken = sum(cache.fraction for cache in caches)
    is_too_large = share is not None and weights > share.memory_bytes  # TS547
    if is_too_large or taken <= most:
        return
    best = _best_fraction(sharing, share, weights, len(caches))
    for cache in caches:
        beside = f" beside {taken - cache.fraction:g} of others" if len(caches) > 1 else ""
        message = (
            f"an engine takes {cache.fraction:g} of the free memory ({cache.name}){beside}, and "
            f"{sharing.shares} servers take turns on a GPU: {most:.2f} of it is a server's"
        )
        remedy = cache.remedy.format(best) if best else "fewer shares: beside the weights nothing of one is left"
        yield cache.model.error(cache.key, message, remedy=remedy)


@check_case("TS547", "what a server loads fits its share", phase=Phase.START)
def files_fit_the_share(case: Case) -> Iterator[Finding]:
    """The weights lie in a GPU's memory as they lie in the file; a share that is smaller cannot take them.

    Source: TensorRT-LLM: docs of memory usage ("close to the engine size"); k8s-device-plugin:
    cmd/mps-control-daemon/mps/daemon.go (the limit).
    """
    share, sharing = case.once(_share), case.once(sharing_of)
    if share is None or not sharing.is_shared:
        return
    sizes = case.once(weights_of)
    total = sum(sizes.values())
    if total > share.memory_bytes:
        largest = max(sizes, key=lambda name: sizes[name])
        message = (
            f"the models are {total / MIB:.0f} MiB (most of it {largest}), and sharing: {sharing} gives a server "
            f"{share.memory_bytes / MIB:.0f} MiB ({share.arithmetic})"
        )
        yield error(message, key=_KEY, remedy="fewer shares, a larger slice, or sharing: none")


@check_case("TS548", "who shares by instances has several")
def instances_are_several(case: Case) -> Iterator[Finding]:
    """`sharing: instances` is one server whose models or instances share a GPU: with one there is nothing to share."""
    if case.once(sharing_of).mode != "instances" or case.target.gpus == 0:
        return
    if sum(map(copies, case.models())) <= 1:
        message = "sharing: instances, and one instance of one model is all that is on the GPU"
        yield warning(message, key=_KEY, remedy="instance_group: [{count: 2}], more models, or sharing: none")


@check_case("TS549", "MPS limits a server of one process")
def mps_limits_processes(case: Case) -> Iterator[Finding]:
    """MPS's limit of memory holds for each process that uses the GPU: a server whose Python models run on it in
    processes of their own may take several shares, and the neighbours find nothing.

    Source: k8s-device-plugin: issue 720.
    """
    if case.once(sharing_of).mode != "mps":
        return
    for model in case.models():
        if model.config.backend == "python" and (count := sum(max(1, group.count) for group in groups_on_gpu(model))):
            message = f"{count} process{'es'[: 2 * (count != 1)]} of a Python model on a GPU that MPS shares: each may "
            message += "take a whole share beside the server's own"
            yield model.warning("instance_group", message, remedy="KIND_CPU; or fewer shares than would fit")


def sharing_of(case: Case) -> Sharing:
    """Return how the repository's servers share a GPU."""
    return Sharing.model_validate(case.repository.settings.get("sharing", {}))


def deploy_of(case: Case) -> Deploy:
    """Return the repository's `deploy:`."""
    return Deploy.model_validate(case.repository.settings.get("deploy", {}))


def hardware_of(case: Case) -> Hardware:
    """Return the repository's `hardware:`."""
    return Hardware.model_validate(case.repository.settings.get("hardware", {}))


def _gpu(case: Case) -> Gpu | None:
    try:
        return gpu_named(name) if (name := hardware_of(case).gpu) else None
    except UsageError:
        return None


def _share(case: Case) -> Share | None:
    gpu = _gpu(case)
    try:
        return share_of(case.once(sharing_of), gpu) if gpu is not None else None
    except UsageError:  # TS545
        return None


def _words(sharing: Sharing) -> str:
    return "MIG slices" if sharing.mode == "mig" else f"shares of a GPU ({sharing})"


def _ranks(llm: Llm) -> int:
    built = llm.engine.spread.world_size if llm.engine else 1
    return max([built, *map(len, llm.groups(_DEVICES))])


def _best_fraction(sharing: Sharing, share: Share | None, weights: float, engines: int) -> float:
    """Return the part of the free memory that keeps each of a server's engines in its share; 0 where nothing is left.

    `weights` are bytes of all of them; where the GPU is not known, its parts alone count.
    """
    best = KV_FRACTION / sharing.shares if share is None else kv_fraction(share, weights + engines * _BESIDE_BYTES)
    return int(best / engines * _HUNDREDTHS + 1e-9) / _HUNDREDTHS
