"""Rules on memory: /dev/shm above all, which Python models and NCCL talk through, and which counts as the pod's."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from tritonsmith.generator.checks.manifests.case import Manifests
from tritonsmith.generator.checks.manifests.nodes import (
    entries_at,
    in_words,
    items_at,
    place_at,
    quantity,
    quantity_at,
    text_at,
)
from tritonsmith.generator.checks.manifests.pods import SHM, Container, Pod
from tritonsmith.generator.checks.manifests.sharing import names_mps
from tritonsmith.generator.checks.registry import check_manifests
from tritonsmith.generator.findings import Finding, Phase

_ROOM = Fraction(512 << 20)  # bytes that a server needs beside its shared memory at the very least
_DEFAULT_SHM = 64 << 20  # bytes of a container's /dev/shm where nothing is mounted
_ADD_SHM = "an emptyDir with medium: Memory and a sizeLimit, mounted at /dev/shm"


@check_manifests("TK240", "shared memory is mounted where the server looks")
def shared_memory_is_mounted(case: Manifests) -> Iterator[Finding]:
    """A volume for shared memory that only an init container mounts, or that lies elsewhere than at /dev/shm, leaves
    the server with the 64 MiB of every container: Python models and NCCL fail when these are full.

    Source: python_backend: README (shared memory); container runtimes' own /dev/shm.
    """
    for pod, server in case.servers:
        for name, volume in pod.memory_volumes.items():
            mounts = {path for path, mount in server.mounts.items() if text_at(mount, "name") == name}
            is_meant = "shm" in name.lower() or any(SHM in one.mounts for one in _mounting(pod, name))
            if is_meant and SHM not in mounts and SHM not in server.mounts:
                others = [one.name for one in _mounting(pod, name)]
                where = f"only {', '.join(others)} does" if others and server.name not in others else "nothing does"
                message = f"{server.name} does not mount '{name}' at {SHM}: {where}"
                yield pod.owner.warning(volume.place, message, remedy=f"mount it at {SHM} in {server.name}")


@check_manifests("TK241", "memory that is a volume has a limit")
def memory_volumes_are_limited(case: Manifests) -> Iterator[Finding]:
    """An emptyDir of memory without a sizeLimit grows to the node's half, or to the pod's limit, and ends the pod.

    Source: kubernetes: Volumes (emptyDir.sizeLimit).
    """
    for pod, _ in case.servers:
        for name, volume in pod.memory_volumes.items():
            if not text_at(volume, "emptyDir", "sizeLimit"):
                message = f"'{name}' is memory without a sizeLimit"
                yield pod.owner.warning(
                    place_at(volume, "emptyDir"), message, remedy="sizeLimit: 2Gi, or what it needs"
                )


@check_manifests("TK242", "shared memory is counted in the memory limit")
def shared_memory_is_counted(case: Manifests) -> Iterator[Finding]:
    """What lies in an emptyDir of memory is charged to the container that wrote it: volumes as large as its limit get
    it killed before they are full.

    Source: kubernetes: Volumes (emptyDir, medium: Memory).
    """
    for pod, server in case.servers:
        limit = server.resource("limits", "memory")
        names = {text_at(mount, "name") for mount in server.mounts.values()}
        sizes = {
            name: quantity_at(one, "emptyDir", "sizeLimit") for name, one in pod.memory_volumes.items() if name in names
        }
        total = sum((size for size in sizes.values() if size is not None), Fraction(0))
        if limit is None or not total:
            continue
        place, remedy = server.place("resources", "limits", "memory"), "add the volumes' size to the memory limit"
        if total >= limit:
            message = f"volumes of {in_words(total)} in memory, and a limit of {in_words(limit)} for all"
            yield pod.owner.error(place, message, remedy=remedy)
        elif limit - total < _ROOM:
            message = f"beside {in_words(total)} of volumes in memory the server has {in_words(limit - total)}"
            yield pod.owner.warning(place, message, remedy=remedy)


@check_manifests("TK243", "processes that share memory have enough of it")
def shared_memory_is_there(case: Manifests) -> Iterator[Finding]:
    """Python models exchange tensors with their processes, and ranks with each other, through /dev/shm: a container's
    own has 64 MiB, of which each Python instance takes 1 MiB at its start and as much as its tensors need.

    Source: python_backend: README (shm-default-byte-size), NCCL: environment (shared memory).
    """
    for pod, server in case.servers:
        default = _python_shm_bytes(server)
        volume = server.volume_at(SHM)
        limit = quantity_at(volume, "emptyDir", "sizeLimit")
        if limit is not None and default is not None and default > limit:
            message = f"one Python instance takes {in_words(Fraction(default))} of {in_words(limit)} at {SHM}"
            yield pod.owner.error(server.start_place, message, remedy="raise the volume's sizeLimit")
        is_mounted = any(path == SHM for path in server.mounts) or any("shm" in name for name in pod.memory_volumes)
        is_daemons = bool(server.gpus) and names_mps(pod)  # MPS's own, half of the node's memory
        if not is_mounted and not is_daemons and (why := _shares_memory(server)):
            message = f"{why}, and {SHM} is the container's own {_DEFAULT_SHM >> 20} MiB"
            yield pod.owner.warning(server.place("name"), message, remedy=_ADD_SHM)


@check_manifests("TK244", "a server says what memory it needs")
def memory_is_asked_for(case: Manifests) -> Iterator[Finding]:
    """Without a request a pod is placed where there is no room, and without a limit it takes the node's memory; it is
    the first to be evicted.

    Source: kubernetes: Pod Quality of Service Classes.
    """
    for pod, server in case.servers:
        if pod.owner.kind == "Pod":
            continue
        missing = [side for side in ("requests", "limits") if server.resource(side, "memory") is None]
        if server.resource("limits", "memory") is not None:
            missing = []  # the request is then the limit
        if missing and not pod.is_runtime:
            message = f"{server.name} has no memory {' and no '.join(missing)}"
            place = server.place("resources") if entries_at(server.node, "resources") else server.place("name")
            yield pod.owner.warning(place, message, remedy="request and limit what the models and /dev/shm need")


@check_manifests("TK245", "an amount is one", phase=Phase.APPLY)
def amounts_can_be_read(case: Manifests) -> Iterator[Finding]:
    """An amount is a number with k, M, G or Ki, Mi, Gi behind it; a small m is a thousandth, of a byte too.

    Source: kubernetes: apimachinery/pkg/api/resource/quantity.go.
    """
    for pod in case.pods:
        for container in (*pod.init_containers, *pod.containers):
            for side in ("requests", "limits"):
                for name in entries_at(container.node, "resources", side):
                    text = text_at(container.node, "resources", side, name)
                    is_thousandth = text.endswith("m") and name != "cpu"
                    if quantity(text) is None or is_thousandth:
                        message = f"'{text}' is no amount of {name}"
                        place = container.place("resources", side, name)
                        yield pod.owner.error(place, message, remedy="for example 16Gi of memory, 500m of cpu")
            yield from _limits_below_requests(pod, container)


def _limits_below_requests(pod: Pod, container: Container) -> Iterator[Finding]:
    for name in entries_at(container.node, "resources", "requests"):
        asked, limit = container.resource("requests", name), container.resource("limits", name)
        if asked is not None and limit is not None and asked > limit:
            message = f"{name}: {text_at(container.node, 'resources', 'requests', name)} is asked for, above its limit"
            yield pod.owner.error(container.place("resources", "requests", name), message, remedy="raise the limit")


def _mounting(pod: Pod, name: str) -> list[Container]:
    containers = (*pod.init_containers, *pod.containers)
    return [
        one for one in containers if any(text_at(mount, "name") == name for mount in items_at(one.node, "volumeMounts"))
    ]


def _python_shm_bytes(server: Container) -> int | None:
    for value in server.start.values("backend-config"):
        setting = value.removeprefix("python,")
        if setting != value and setting.startswith("shm-default-byte-size="):
            size = setting.partition("=")[2]
            return int(size) if size.isdecimal() else None
    return None


def _shares_memory(server: Container) -> str:
    """Return why a server needs shared memory, empty where nothing says so."""
    if any(value.startswith("python,") for value in server.start.values("backend-config")):
        return "the Python backend is configured"
    if (server.start.ranks or 1) > 1 or sum(server.gpus.values()) > 1:
        return "several ranks share memory"
    return "its image has Python models" if server.has_engines else ""
