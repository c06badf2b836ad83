"""Rules on how GPUs are shared: the device plugin's and mig-parted's files, and the pods that ask for shares."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tritonsmith.generator.catalog.mig import MIG, MIG_RESOURCE, layout_problem
from tritonsmith.generator.checks.manifests.case import Manifests
from tritonsmith.generator.checks.manifests.pods import SHM
from tritonsmith.generator.checks.manifests.sharing import (
    METHODS,
    SharingFile,
    below,
    handed_out,
    names_mps,
    sharing_files,
)
from tritonsmith.generator.checks.registry import check_manifests
from tritonsmith.generator.findings import Finding, Phase
from tritonsmith.generator.manifests.kubernetes.schemas.faults import faults
from tritonsmith.generator.manifests.sharing.schemas import file_schema
from tritonsmith.generator.manifests.sharing.share import SHARED, WHOLE
from tritonsmith.generator.spec.sharing import LEAST_SHARES, MOST_MPS_SHARES
from tritonsmith.generator.suggest import did_you_mean

_READERS = {"device_plugin": "the device plugin", "mig_parted": "mig-parted"}
# told with their reason by the rules below
_OWN_RULES = re.compile(r"sharing\.(mps\.resources\.\d+\.name|\w+\.resources\.\d+\.replicas)")


@check_manifests("TK310", "what says how GPUs are shared is read")
def sharing_files_are_read(case: Manifests) -> Iterator[Finding]:
    """The device plugin passes over a key that it does not know, and GPUs stay whole; mig-parted refuses the file.

    Source: k8s-device-plugin: api/config/v1; mig-parted: api/spec/v1/spec.go.
    """
    for file in sharing_files(case):
        for where, what in faults(file.values, file_schema(file.kind)):
            if not _OWN_RULES.fullmatch(where):
                path = tuple(int(step) if step.isdecimal() else step for step in where.split("."))
                message = f"{where or 'the file'}: {what}, to {_READERS[file.kind]}"
                yield file.error(path, message, "as `deploy --kubernetes` writes it of a spec with `sharing:`")


@check_manifests("TK311", "a GPU is shared in one way")
def methods_exclude_each_other(case: Manifests) -> Iterator[Finding]:
    """Time-slicing and MPS exclude each other, for all GPUs of a node: of a file with both, MPS alone is taken.

    Source: k8s-device-plugin: README (Shared Access to GPUs), api/config/v1/sharing.go.
    """
    for file in _plugin_files(case):
        if all(below(file.values, "sharing", method) for method in METHODS):
            message = "sharing has both timeSlicing and mps, of which MPS alone is taken"
            yield file.error(("sharing", "timeSlicing"), message, "a file for each, and a label on each node")


@check_manifests("TK312", "what MPS shares is a whole GPU", phase=Phase.START)
def mps_shares_whole_gpus(case: Manifests) -> Iterator[Finding]:
    """MPS is not supported where GPUs are cut into MIG slices: the device plugin then offers nothing at all.

    Source: k8s-device-plugin: README (With CUDA MPS), internal/plugin/mps.go.
    """
    for file in _plugin_files(case):
        for method, index, resource in file.shared():
            name, path = resource.get("name"), ("sharing", method, "resources", index, "name")
            if method == "mps" and name != WHOLE:
                yield file.error(path, f"MPS shares {WHOLE} alone, not {name}", f"name: {WHOLE}; or timeSlicing")
        strategy = below(file.values, "flags").get("migStrategy", "none")
        if below(file.values, "sharing", "mps") and strategy != "none":
            message = f"migStrategy {strategy} and MPS: with a slice on the node, MPS does not start"
            yield file.error(("flags", "migStrategy"), message, "migStrategy: none")


@check_manifests("TK313", "a shared GPU has as many shares as its method takes", phase=Phase.START)
def shares_are_as_many_as_can_be(case: Manifests) -> Iterator[Finding]:
    """Fewer than two shares are refused, and with them the file; MPS serves no more than 48 clients of a GPU.

    Source: k8s-device-plugin: api/config/v1/replicas.go, cmd/mps-control-daemon/mps/device.go.
    """
    for file in _plugin_files(case):
        for method, index, resource in file.shared():
            count, path = resource.get("replicas"), ("sharing", method, "resources", index, "replicas")
            if not isinstance(count, int) or isinstance(count, bool) or count < LEAST_SHARES:
                yield file.error(
                    path, f"replicas is {count}, and a GPU that is shared has {LEAST_SHARES} at least", "2"
                )
            elif method == "mps" and count > MOST_MPS_SHARES:
                message = f"{count} shares by MPS, which serves {MOST_MPS_SHARES} clients of a GPU"
                yield file.error(path, message, f"replicas: {MOST_MPS_SHARES} at most")


@check_manifests("TK314", "all GPUs of a node are shared alike")
def gpus_are_shared_alike(case: Manifests) -> Iterator[Finding]:
    """`devices` and `rename` are in the file's grammar, and passed over with a warning in the plugin's log: every GPU
    of the node is shared, under its own name or that with .shared.

    Source: k8s-device-plugin: api/config/v1/config.go (DisableResourceNamingInConfig), replicas.go.
    """
    for file in _plugin_files(case):
        for method, index, resource in file.shared():
            for key in ("rename", "devices"):
                if resource.get(key, "all") != "all":
                    path = ("sharing", method, "resources", index, key)
                    yield file.warning(path, f"{key} is passed over", "leave it out; or renameByDefault: true")


@check_manifests("TK315", "a pod asks for one share of a GPU", phase=Phase.START)
def pods_ask_for_one_share(case: Manifests) -> Iterator[Finding]:
    """Two shares may be of one GPU, and are no more of it than one: MPS refuses the pod, time-slicing where
    failRequestsGreaterThanOne says so ("maximum request size for shared resources is 1").

    Source: k8s-device-plugin: README (Shared Access to GPUs), api/config/v1/config.go (the default of MPS).
    """
    for name, is_refused in handed_out(case).items():
        for pod in case.pods:
            for container in pod.containers:
                count = container.gpus.get(name, 0)
                if count > 1:
                    place = container.place("resources", "limits", name)
                    message = f"{count} of {name}, which are shares and may all be of one GPU"
                    tell = pod.owner.error if is_refused else pod.owner.warning
                    yield tell(place, message, remedy="ask for 1, and for more pods")


@check_manifests("TK316", "a GPU can be cut so", phase=Phase.START)
def layouts_fit_a_gpu(case: Manifests) -> Iterator[Finding]:
    """A GPU has seven slices to compute with and eight of memory (some have four), of which each profile takes its own:
    mig-parted fails where they are not enough, and the node has no GPUs until its label says otherwise. A slice that no
    known GPU has is told as a warning: GPUs and drivers are newer than this list.

    Source: NVIDIA's MIG user guide (supported profiles); mig-parted: deployments/systemd/config-default.yaml.
    """
    for file in sharing_files(case):
        configs = below(file.values, "mig-configs") if file.kind == "mig_parted" else {}
        for label, entries in configs.items():
            for index, entry in enumerate(entries if isinstance(entries, list) else []):
                yield from _layout_problems(file, _layout(entry), ("mig-configs", label, index, "mig-devices"))


@check_manifests("TK319", "slices that are shared are handed out", phase=Phase.START)
def shared_slices_are_handed_out(case: Manifests) -> Iterator[Finding]:
    """Slices have names of their own under the strategy `mixed` alone; without it time-slicing passes over them.

    Source: k8s-device-plugin: README (MIG strategies; With CUDA Time-Slicing), internal/rm/rm.go.
    """
    for file in _plugin_files(case):
        strategy = below(file.values, "flags").get("migStrategy", "mixed")  # else an option of the plugin's says it
        for method, index, resource in file.shared():
            name = str(resource.get("name"))
            if method == "timeSlicing" and name.startswith(MIG_RESOURCE) and strategy != "mixed":
                path = ("sharing", method, "resources", index, "name")
                message = f"{name} is to be shared, and migStrategy {strategy} hands out no such name"
                yield file.error(path, message, "migStrategy: mixed")


@check_manifests("TK317", "the shared memory of MPS is not covered", phase=Phase.START)
def mps_memory_is_not_covered(case: Manifests) -> Iterator[Finding]:
    """The device plugin mounts the MPS daemon's memory at /dev/shm of a pod that gets a share. A volume of the pod's
    own hides it, and CUDA finds no device.

    Source: k8s-device-plugin: internal/plugin/mps.go (updateReponse); its issue 805.
    """
    is_mps = any(method == "mps" for file in _plugin_files(case) for method, _, _ in file.shared())
    for pod in case.pods:
        for container in pod.containers:
            asks = any(name in (WHOLE, SHARED) for name in container.gpus)
            if asks and (is_mps or names_mps(pod)) and (mount := container.mounts.get(SHM)) is not None:
                message = f"{container.name} mounts a volume at {SHM}, where MPS's own memory would be"
                yield pod.owner.error(mount.place, message, remedy="leave the mount out: the daemon's is large enough")


@check_manifests("TK318", "ranks do not run on shares", phase=Phase.START)
def ranks_do_not_run_on_shares(case: Manifests) -> Iterator[Finding]:
    """Ranks of an engine exchange data at every step: MIG slices do not reach each other, a process sees one of them,
    and two shares may be of the same GPU.

    Source: NVIDIA's MIG user guide (no peer-to-peer); k8s-device-plugin: README (a share is access).
    """
    shared = {SHARED, *handed_out(case)}
    for pod, server in case.servers:
        names = [name for name in server.gpus if name in shared or name.startswith(MIG_RESOURCE)]
        ranks = server.start.ranks
        if names and ranks is not None and ranks > 1:
            message = f"{ranks} ranks are started on {names[0]}"
            place = server.place("resources", "limits", names[0])
            yield pod.owner.error(place, message, remedy=f"ask for {ranks} of {WHOLE}; or an engine of one rank")


def _layout_problems(file: SharingFile, layout: dict[str, int], path: tuple[str | int, ...]) -> Iterator[Finding]:
    names = {name for profiles in MIG.values() for name in profiles}
    if unknown := [name for name in layout if name not in names]:
        message = f"no known GPU has slices {unknown[0]}.{did_you_mean(unknown[0], names)}"
        yield file.warning(path, message, "compare with what `nvidia-smi mig -lgip` prints on the node")
        return
    problems = {gpu: layout_problem(gpu, layout) for gpu in MIG}
    if layout and all(problems.values()):
        near = max(MIG, key=lambda gpu: sum(name in MIG[gpu] for name in layout))
        words = ", ".join(f"{count} x {name}" for name, count in layout.items())
        message = f"no known GPU can be cut into {words}; of {near}: {problems[near]}"
        yield file.error(path, message, f"of {near}, for example: {_example(near)}")


def _plugin_files(case: Manifests) -> list[SharingFile]:
    return [file for file in sharing_files(case) if file.kind == "device_plugin"]


def _layout(entry: object) -> dict[str, int]:
    devices = below(entry, "mig-devices")
    return {name: count for name, count in devices.items() if isinstance(count, int) and count > 0}


def _example(gpu: str) -> str:
    return ", ".join(f"{profile.most} x {name}" for name, profile in MIG[gpu].items() if "+" not in name)
