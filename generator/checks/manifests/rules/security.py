"""Rules on security: who a server runs as, what it may do, and where its keys are."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tritonsmith.generator.checks.manifests.case import Manifests
from tritonsmith.generator.checks.manifests.nodes import at, is_true, items_at, number_at, place_at, text_at, texts_at
from tritonsmith.generator.checks.manifests.pods import Container
from tritonsmith.generator.checks.registry import check_manifests
from tritonsmith.generator.findings import Finding, Place

_SECRET = re.compile(
    r"(SECRET|PASSWORD|PASSWD|TOKEN|API_?KEY|ACCESS_KEY|STORAGE_KEY|PRIVATE_KEY|CREDENTIALS)", re.IGNORECASE
)
_NO_SECRET = re.compile(
    r"(_FILE|_PATH|_NAME|_URL|_ENDPOINT|_DIR|_COUNT|_LIMIT|_LENGTH|_SIZE|TOKENIZER\w*|MAX_\w*TOKENS?\w*)$",
    re.IGNORECASE,
)
_FLAG = re.compile(r"true|false|yes|no|on|off", re.IGNORECASE)
_AMOUNT = re.compile(r"[0-9.]+")  # of tokens; a password may be digits


@check_manifests("TK600", "a server is not root")
def servers_are_not_root(case: Manifests) -> Iterator[Finding]:
    """What breaks out of a container as root is root on the node. Triton's image runs as root unless it is told.

    Source: kubernetes: Pod Security Standards (restricted).
    """
    for pod, server in case.servers:
        user = _number(server, "runAsUser")
        if user == 0:
            place = _place(server, "runAsUser")
            yield pod.owner.warning(place, f"{server.name} runs as root", remedy="runAsNonRoot: true, runAsUser: 1000")
        elif not _flag(server, "runAsNonRoot") and not user and pod.is_whole:
            place = _place(server, "runAsNonRoot")
            message = f"nothing keeps {server.name} from running as root"
            yield pod.owner.warning(place, message, remedy="runAsNonRoot: true, runAsUser: 1000")


@check_manifests("TK601", "a server cannot gain privileges")
def servers_gain_no_privileges(case: Manifests) -> Iterator[Finding]:
    """Privileges may grow unless allowPrivilegeEscalation is false; a privileged container has the node's devices.

    Source: kubernetes: Pod Security Standards (restricted), SecurityContext.
    """
    for pod, server in case.servers:
        if is_true(server.node, "securityContext", "privileged"):
            place = server.place("securityContext", "privileged")
            yield pod.owner.warning(
                place, f"{server.name} is privileged", remedy="leave it out: GPUs need no privileges"
            )
        elif text_at(server.node, "securityContext", "allowPrivilegeEscalation") != "false":
            place = _own_place(server, "allowPrivilegeEscalation")
            message = f"{server.name} may gain privileges"
            yield pod.owner.warning(place, message, remedy="securityContext: {allowPrivilegeEscalation: false}")


@check_manifests("TK602", "a server has no capabilities")
def servers_drop_capabilities(case: Manifests) -> Iterator[Finding]:
    """Serving needs none of the capabilities that a container has by default; ranks over several nodes may need
    IPC_LOCK, which is added.

    Source: kubernetes: Pod Security Standards (restricted).
    """
    for pod, server in case.servers:
        dropped = texts_at(server.node, "securityContext", "capabilities", "drop")
        if "ALL" not in dropped:
            place = _own_place(server, "capabilities")
            message = f"{server.name} keeps capabilities that it does not need"
            yield pod.owner.warning(place, message, remedy="capabilities: {drop: [ALL]}")


@check_manifests("TK603", "a server's system calls are filtered")
def system_calls_are_filtered(case: Manifests) -> Iterator[Finding]:
    """Without a seccomp profile every system call is allowed.

    Source: kubernetes: Pod Security Standards (restricted), seccomp.
    """
    for pod, server in case.servers:
        kind = text_at(server.security("seccompProfile"), "type")
        if kind not in ("RuntimeDefault", "Localhost") and pod.is_whole:
            place = _place(server, "seccompProfile")
            message = f"{server.name} has no seccomp profile"
            yield pod.owner.warning(place, message, remedy="seccompProfile: {type: RuntimeDefault}")


@check_manifests("TK604", "what is written has a place")
def read_only_roots_have_room(case: Manifests) -> Iterator[Finding]:
    """With a read-only root Triton needs /tmp: it copies a store's repository there, and Python models write there.

    Source: core: filesystem/api.cc (MakeTemporaryDirectory); python_backend: environment.cc.
    """
    for pod, server in case.servers:
        if is_true(server.node, "securityContext", "readOnlyRootFilesystem"):
            mount = server.mount_over("/tmp")  # noqa: S108 - the container's
            if mount is None or is_true(mount, "readOnly") or text_at(mount, "mountPath").rstrip("/") == "":
                place = server.place("securityContext", "readOnlyRootFilesystem")
                message = f"the root of {server.name} is read-only, and no volume is mounted at /tmp"
                yield pod.owner.error(place, message, remedy="mount an emptyDir at /tmp")


@check_manifests("TK605", "a server's files stay as they are")
def roots_are_read_only(case: Manifests) -> Iterator[Finding]:
    """A read-only root keeps what breaks into a server from staying there."""
    for pod, server in case.servers:
        if not is_true(server.node, "securityContext", "readOnlyRootFilesystem"):
            place = _own_place(server, "readOnlyRootFilesystem")
            message = f"the root of {server.name} can be written to"
            yield pod.owner.note(place, message, remedy="readOnlyRootFilesystem: true, and an emptyDir at /tmp")


@check_manifests("TK606", "keys are in Secrets")
def keys_are_in_secrets(case: Manifests) -> Iterator[Finding]:
    """A key in an environment variable's value is in the manifest, in its history and in `kubectl describe`."""
    for pod in case.pods:
        for container in (*pod.init_containers, *pod.containers):
            for variable in items_at(container.node, "env"):
                name, value = text_at(variable, "name"), text_at(variable, "value")
                if value and _SECRET.search(name) and not _NO_SECRET.search(name) and not _is_plain(name, value):
                    message = f"{name} is written into the manifest"
                    remedy = "valueFrom: {secretKeyRef: ...}, or an identity of the service account"
                    yield pod.owner.warning(place_at(variable, "value"), message, remedy=remedy)


@check_manifests("TK607", "ranks are not started as root")
def ranks_are_not_root(case: Manifests) -> Iterator[Finding]:
    """Open MPI refuses to run as root, for a reason; --allow-run-as-root is for images that know no other user.

    Source: Open MPI: mpirun(1).
    """
    for pod, server in case.servers:
        words = {word for command in server.start.commands for word in command.words}
        if "--allow-run-as-root" in words and not _flag(server, "runAsNonRoot") and pod.is_whole:
            message = "mpirun is made to run as root"
            yield pod.owner.warning(server.start_place, message, remedy="runAsNonRoot: true, runAsUser: 1000")


@check_manifests("TK608", "a pod does not lean on its node")
def pods_do_not_lean_on_nodes(case: Manifests) -> Iterator[Finding]:
    """What lies in a node's own folder is not on the next node, and a hostPath, hostIPC or hostNetwork opens the node.

    Source: kubernetes: Pod Security Standards (baseline), Volumes (hostPath).
    """
    for pod, _ in case.servers:
        for name, volume in pod.volumes.items():
            if at(volume, "hostPath") is not None:
                message = f"'{name}' is {text_at(volume, 'hostPath', 'path')} of whatever node the pod is on"
                yield pod.owner.warning(place_at(volume, "hostPath"), message, remedy="a claim, or an image volume")
        for flag in ("hostIPC", "hostPID", "hostNetwork"):
            if is_true(pod.spec, flag):
                yield pod.owner.warning(pod.place(flag), f"{flag} shares the node's own", remedy="leave it out")


def _flag(server: Container, name: str) -> bool:
    node = server.security(name)
    return node is not None and text_at(node) == "true"


def _is_plain(name: str, value: str) -> bool:
    """Whether a value is in no case a key: another variable, a path, a flag, or an amount of tokens."""
    is_amount = "TOKEN" in name.upper() and _AMOUNT.fullmatch(value)
    return value.startswith(("$(", "/")) or bool(_FLAG.fullmatch(value) or is_amount)


def _number(server: Container, name: str) -> int | None:
    node = server.security(name)
    return number_at(node) if node is not None else None


def _place(server: Container, name: str) -> Place:
    """Return where a setting of the container or the pod is, or would be."""
    if at(server.node, "securityContext", name) or not at(server.pod.spec, "securityContext"):
        return _own_place(server, name)
    return server.pod.place("securityContext", name)


def _own_place(server: Container, name: str) -> Place:
    return server.place("securityContext", name) if at(server.node, "securityContext") else server.place("name")
