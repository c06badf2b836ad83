"""Rules on `sharing:`: what excludes what, what spans no shares, and what of a share a server may take.

Source: k8s-device-plugin 1b826ac: README (Shared Access to GPUs), api/config/v1, cmd/mps-control-daemon; NVIDIA's
guides of MIG and MPS.
"""

from __future__ import annotations

from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup

from tritonsmith.generator.catalog.gpus import Gpu, gpu_named
from tritonsmith.generator.catalog.mig import MIB, mig_profile
from tritonsmith.generator.checks.case import Case, ModelCase
from tritonsmith.generator.checks.registry import check_case
from tritonsmith.generator.checks.rules.instances import AUTO, GPU, groups_of, kind_of
from tritonsmith.generator.checks.rules.llm.llmapi import Document, documents_of
from tritonsmith.generator.checks.rules.llm.llms import Llm, llms_of
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.findings import Finding, Phase, error, warning
from tritonsmith.generator.manifests.sharing.share import KV_FRACTION, WHOLE, Share, kv_fraction, resource_of, share_of
from tritonsmith.generator.repository.core import Content, File
from tritonsmith.generator.spec.deploy import Deploy
from tritonsmith.generator.spec.settings import Hardware
from tritonsmith.generator.spec.sharing import Sharing

_KEY = "sharing"
_FRACTION, _TOKENS = "kv_cache_free_gpu_mem_fraction", "max_tokens_in_paged_kv_cache"
_ENDS = (".engine", ".plan", ".onnx", ".pt", ".savedmodel")  # what is loaded onto a GPU as it is
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


@check_case("TS543", "MPS shares whole GPUs", phase=Phase.START)
def mps_and_mig_exclude_each_other(case: Case) -> Iterator[Finding]:
    """The device plugin does not start MPS on a node whose GPUs are cut into MIG slices.

    Source: k8s-device-plugin: internal/plugin/mps.go ("sharing using MPS is not supported for MIG devices").
    """
    resource = deploy_of(case).gpus.resource
    if case.once(sharing_of).mode == "mps" and resource.startswith(f"{_prefix()}mig-"):
        message = f"sharing: mps, and deploy.gpus.resource is {resource}: MPS does not share MIG slices"
        slice_ = resource.removeprefix(f"{_prefix()}mig-").removesuffix(".shared")
        yield error(message, key=_KEY, remedy=f"sharing: mig:{slice_}; or leave gpus.resource out")


@check_case("TS544", "pods ask for what is handed out", phase=Phase.START)
def resources_are_the_sharings(case: Case) -> Iterator[Finding]:
    """Shares are handed out as nvidia.com/gpu.shared, slices under their own names: a pod that asks for another name is
    never placed, or gets a whole GPU.

    Source: k8s-device-plugin: README (renameByDefault; MIG strategies).
    """
    sharing, said = case.once(sharing_of), deploy_of(case).gpus.resource
    is_mps_on_mig = sharing.mode == "mps" and said.startswith(f"{_prefix()}mig-")  # TS543
    if sharing.is_shared and said not in (WHOLE, resource_of(sharing)) and not is_mps_on_mig:
        message = f"deploy.gpus.resource is {said}, and sharing: {sharing} is handed out as {resource_of(sharing)}"
        yield error(message, key=_KEY, remedy="leave gpus.resource out")


@check_case("TS545", "a GPU can be cut into the slice", phase=Phase.START)
def slices_are_the_gpus(case: Case) -> Iterator[Finding]:
    """Only some GPUs can be cut, each into slices of its own; the same name may be another number on another GPU.

    Source: mig-parted: deployments/systemd/config-default.yaml; NVIDIA's MIG user guide.
    """
    sharing, name = case.once(sharing_of), hardware_of(case).gpu
    if sharing.mode == "mig" and name:
        try:
            mig_profile(name, sharing.profile)
        except UsageError as problem:
            yield error(problem.message, key=_KEY, remedy=problem.hint or "sharing: none")


@check_case("TS546", "engines that take turns on a GPU leave each other memory", phase=Phase.START)
def engines_leave_memory(case: Case) -> Iterator[Finding]:
    """An engine takes nine tenths of the memory that it finds free, and time-slicing parts none: the first takes it
    all, and the next does not start. A MIG slice and MPS's limit are all that an engine sees.

    Source: TensorRT-LLM: docs of memory usage (kv_cache_free_gpu_mem_fraction); k8s-device-plugin: README.
    """
    sharing = case.once(sharing_of)
    if sharing.mode != "time-slicing":
        return
    most = 1 / sharing.shares
    for llm in case.once(llms_of):
        if llm.fraction() > most and not llm.whole(_TOKENS):
            fraction = _best_fraction(case, _bytes_of(llm.model), most)
            message = f"{_takes(llm.fraction(), _FRACTION)}, and {sharing.shares} servers take turns on a GPU"
            yield llm.error(_FRACTION, message, f'{_FRACTION}: "{fraction:g}"; or {_TOKENS}')
    for document in case.once(documents_of):
        part, name = _cache_part(document), "kv_cache_config.free_gpu_memory_fraction"
        if part > most:
            fraction = _best_fraction(case, _bytes_of(document.model), most)
            message = f"{_takes(part, name)}, and {sharing.shares} servers take turns on a GPU"
            yield document.model.error("", message, remedy=f"{name}: {fraction:g} in {document.path}; or max_tokens")


@check_case("TS547", "what a server loads fits its share", phase=Phase.START)
def files_fit_the_share(case: Case) -> Iterator[Finding]:
    """The weights lie in a GPU's memory as they lie in the file; a share that is smaller cannot take them.

    Source: TensorRT-LLM: docs of memory usage ("close to the engine size"); k8s-device-plugin:
    cmd/mps-control-daemon/mps/daemon.go (the limit).
    """
    share, sharing = case.once(_share), case.once(sharing_of)
    if share is None or not sharing.is_shared:
        return
    sizes = {model.name: _bytes_of(model) * _copies(model) for model in case.models()}
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
    if sum(_copies(model) for model in case.models() if _is_on_gpu(model)) <= 1:
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
        if model.config.backend == "python" and (count := sum(max(1, group.count) for group in _on_gpu(model))):
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


def _prefix() -> str:
    return WHOLE.removesuffix("gpu")


def _words(sharing: Sharing) -> str:
    return "MIG slices" if sharing.mode == "mig" else f"shares of a GPU ({sharing})"


def _ranks(llm: Llm) -> int:
    built = llm.engine.spread.world_size if llm.engine else 1
    return max([built, *map(len, llm.groups("gpu_device_ids"))])


def _takes(fraction: float, name: str) -> str:
    return f"an engine takes {fraction:g} of the free memory ({name})"


def _cache_part(document: Document) -> float:
    cache = document.below("kv_cache_config")
    part = cache.get("free_gpu_memory_fraction", KV_FRACTION)
    is_bounded = isinstance(cache.get("max_tokens"), int)
    return 0.0 if is_bounded or isinstance(part, bool) or not isinstance(part, int | float) else float(part)


def _best_fraction(case: Case, weights: float, most: float) -> float:
    """Return the fraction that keeps an engine of so many bytes in its share; a bound where the GPU is not known."""
    share = case.once(_share)
    exact = kv_fraction(share, weights + _BESIDE_BYTES) if share is not None else 0.0
    return exact or int(most * KV_FRACTION * 100) / 100


def _bytes_of(model: ModelCase) -> float:
    """Return the bytes of the files that become weights on one GPU, where the repository holds them."""
    if not _is_on_gpu(model):
        return 0.0
    files = [file for path, file in model.model.files.items() if path.endswith(_ENDS)]
    return float(sum(map(_size, files)))


def _size(file: File) -> int:
    try:
        return len(file.data) if isinstance(file, Content) else file.path.stat().st_size
    except OSError:
        return 0


def _is_on_gpu(model: ModelCase) -> bool:
    return model.config.backend == "tensorrtllm" or bool(_on_gpu(model))


def _copies(model: ModelCase) -> int:
    """Return a model's instances on a GPU; an engine's groups are on the CPU, and it is there once."""
    return sum(max(1, group.count) for group in _on_gpu(model)) or 1


def _on_gpu(model: ModelCase) -> list[ModelInstanceGroup]:
    """Return the groups that are on a GPU; a Python model is only where its configuration says so."""
    if model.is_ensemble:
        return []
    groups = [group for _, group in groups_of(model)] or [ModelInstanceGroup(kind=AUTO)]
    is_python = model.config.backend == "python"
    return [group for group in groups if (group.kind if is_python else kind_of(group, model.target.gpus)) == GPU]
