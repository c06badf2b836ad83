"""Rules on tritonserver's command line: options, ports, and where the repository is."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tritonsmith.generator.catalog.options import OPTIONS, OPTIONS_SINCE
from tritonsmith.generator.checks.manifests.case import Manifests
from tritonsmith.generator.checks.manifests.nodes import at, items_at, place_at, text_at, texts_at
from tritonsmith.generator.checks.manifests.pods import Container, Pod
from tritonsmith.generator.checks.manifests.queries import endpoints
from tritonsmith.generator.checks.registry import check_manifests
from tritonsmith.generator.findings import Finding, Phase, Place
from tritonsmith.generator.spec.tree import Scalar
from tritonsmith.generator.suggest import did_you_mean

_OLD = {
    "model-store": "--model-repository",
    "strict-model-config": "--disable-auto-complete-config",
    "response-cache-byte-size": "--cache-config=local,size=...",
    "trace-file": "--trace-config triton,file=...",
    "trace-level": "--trace-config level=...",
    "trace-rate": "--trace-config rate=...",
    "trace-count": "--trace-config count=...",
    "trace-log-frequency": "--trace-config triton,log-frequency=...",
}
_NO = ("false", "0")
_RELEASE = re.compile(r"nvcr\.io/nvidia/tritonserver:([0-9]{2}\.[0-9]{2})-")
# Source: core: filesystem/implementations/s3.h (the expression for private stores).
_STORES = re.compile(
    r"(gs://[^/\s]+(/\S*)?|as://[^/\s]+/[^/\s]+(/\S*)?"
    r"|s3://((https?://)?[0-9a-zA-Z\-.]+:[0-9]+/)?[0-9a-z.\-]+(/[0-9a-zA-Z.\-_/]*)?)"
)


@check_manifests("TK700", "tritonserver knows its options", phase=Phase.START)
def options_are_known(case: Manifests) -> Iterator[Finding]:
    """An option that tritonserver does not know, or not yet in its image's release, ends its start.

    Source: server: src/command_line_parser.cc.
    """
    for pod, server in case.servers:
        release = _RELEASE.search(server.image)
        for name in _names(server):
            since = OPTIONS_SINCE.get(f"--{name}", "")
            if name and name not in OPTIONS and "$" not in name and (near := did_you_mean(name, OPTIONS)):
                message = f"tritonserver has no option --{name}.{near}"
                yield pod.owner.error(_argument(server, name), message, remedy="see `tritonserver --help`")
            elif release and since > release[1]:
                message = f"--{name} is of {since}: the tritonserver of {release[1]} does not know it"
                remedy = f"leave it out, or take an image of {since}"
                yield pod.owner.error(_argument(server, name), message, remedy=remedy)


@check_manifests("TK701", "options are the ones of today")
def options_are_current(case: Manifests) -> Iterator[Finding]:
    """Older names still work, with a warning in the log, and go one day.

    Source: server: src/command_line_parser.cc (deprecated options).
    """
    for pod, server in case.servers:
        for name in _names(server):
            if name in _OLD:
                message = f"--{name} is an old name"
                yield pod.owner.note(_argument(server, name), message, remedy=_OLD[name])


@check_manifests("TK702", "a repository is not polled")
def repositories_are_not_polled(case: Manifests) -> Iterator[Finding]:
    """Polling loads what is half written: each file of an upload may be met before the next. It is not meant for
    production; explicit mode, or new pods, change what is served.

    Source: server: docs/user_guide/model_management.md (poll mode).
    """
    for pod, server in case.servers:
        mode = server.start.option("model-control-mode") or ""
        if mode == "poll":
            message = "the repository is polled: what is being written there is loaded by halves"
            yield pod.owner.warning(_argument(server, "model-control-mode"), message, remedy="explicit, or none")


@check_manifests("TK703", "a server in explicit mode is told what to load")
def explicit_servers_load(case: Manifests) -> Iterator[Finding]:
    """In explicit mode without --load-model a new pod is ready and serves nothing until somebody asks it to load.

    Source: server: docs/user_guide/model_management.md (explicit mode).
    """
    for pod, server in case.serving:
        explicit = server.start.option("model-control-mode") == "explicit"
        if explicit and not server.start.values("load-model"):
            message = "explicit mode without --load-model: each new pod is ready and serves nothing"
            yield pod.owner.warning(_argument(server, "model-control-mode"), message, remedy="--load-model=*")


@check_manifests("TK704", "the ports that are declared are the ones that Triton listens on")
def ports_agree(case: Manifests) -> Iterator[Finding]:
    """A port's number stands in the command line, in the container and in probes; where they disagree nobody answers.

    Source: server: src/command_line_parser.cc (http-port, grpc-port, metrics-port, allow-metrics).
    """
    for pod, server in case.serving:
        for name, number in server.port_names.items():
            protocol = next((one for one in ("http", "grpc", "metrics") if one in name.split("-")), "")
            listens = server.listens.get(protocol)
            if listens is not None and number is not None and listens != number:
                message = f"port '{name}' is {number}, and Triton's {protocol} port is {listens}"
                port = next(port for port in server.ports if text_at(port, "name") == name)
                yield pod.owner.error(place_at(port, "containerPort"), message, remedy=f"--{protocol}-port={number}")
            elif protocol and listens is None and server.start.server and _is_off(server, protocol):
                message = f"port '{name}' is declared, and --allow-{protocol}=false closes it"
                yield pod.owner.error(_argument(server, f"allow-{protocol}"), message, remedy="leave the option out")


@check_manifests("TK705", "what is scraped is exported")
def metrics_are_exported(case: Manifests) -> Iterator[Finding]:
    """A monitor of a server with --allow-metrics=false finds nothing.

    Source: server: src/command_line_parser.cc (allow-metrics).
    """
    monitored = [one for one, _, _ in endpoints(case)]
    for pod, server in case.serving:
        if monitored and _is_off(server, "metrics"):
            message = f"{monitored[0].label} scrapes it, and --allow-metrics=false closes the port"
            yield pod.owner.error(_argument(server, "allow-metrics"), message, remedy="leave the option out")


@check_manifests("TK706", "a server is ready when its models are")
def readiness_is_strict(case: Manifests) -> Iterator[Finding]:
    """--strict-readiness=false answers that the server is ready while models have failed or still load.

    Source: server: src/command_line_parser.cc (strict-readiness).
    """
    for pod, server in case.serving:
        if (server.start.option("strict-readiness") or "").lower() in _NO:
            message = "ready is answered before models are, or though they failed"
            yield pod.owner.warning(_argument(server, "strict-readiness"), message, remedy="leave the option out")


@check_manifests("TK707", "a server has a repository", phase=Phase.START)
def servers_have_repositories(case: Manifests) -> Iterator[Finding]:
    """A server does not start without --model-repository; what is not in the image lies in a volume around it.

    Source: server: src/command_line_parser.cc (model-repository).
    """
    for pod, server in case.serving:
        if server.start.server is None:
            continue
        given = [*server.start.values("model-repository"), *server.start.values("model-store")]
        place = server.start_place
        if not given:
            yield pod.owner.error(
                place, "tritonserver is given no model repository", remedy="--model-repository=/models"
            )
        for path in dict.fromkeys(given):
            claimed = {mount: one for mount, one in server.mounts.items() if _holds_files(pod, text_at(one, "name"))}
            if path.startswith("/") and "$" not in path and claimed and server.mount_over(path) is None:
                near = did_you_mean(path, claimed)
                message = f"the repository {path} is in no volume; mounted are {', '.join(sorted(claimed))}.{near}"
                yield pod.owner.warning(place, message, remedy="mount the repository's volume there")


@check_manifests("TK708", "a store's address can be read", phase=Phase.START)
def stores_are_addresses(case: Manifests) -> Iterator[Finding]:
    """Triton takes s3://bucket/path, or s3://host:port/bucket/path for a store of one's own, with a bucket of a-z, 0-9,
    '.' and '-'; gs://bucket/path; as://account/container/path.

    Source: core: src/filesystem/implementations/s3.h, gcs.h, as.h.
    """
    for pod, server in case.servers:
        for option in ("model-repository", "model-store"):
            for value in server.start.values(option):
                if "://" in value and "$" not in value and not _STORES.fullmatch(value):
                    message = f"{value} is no store that Triton reads"
                    remedy = (
                        "s3://bucket/path, s3://host:port/bucket/path, gs://bucket/path, as://account/container/path"
                    )
                    yield pod.owner.error(_argument(server, option), message, remedy=remedy)


@check_manifests("TK709", "a copy of a store has room")
def copies_have_room(case: Manifests) -> Iterator[Finding]:
    """Triton copies each model of a store to the node's disk at every start; a pod that asks for no ephemeral storage
    is evicted when that is full.

    Source: core: filesystem (LocalizePath); kubernetes: Local ephemeral storage.
    """
    for pod, server in case.servers:
        stored = server.start.option("model-repository") or server.start.option("model-store") or ""
        if "://" in stored and server.resource("requests", "ephemeral-storage") is None and not pod.is_runtime:
            message = f"{stored} is copied to the node's disk at each start, and no ephemeral-storage is requested"
            place = server.place("resources") if at(server.node, "resources") else server.place("name")
            yield pod.owner.warning(place, message, remedy="request the repository's size as ephemeral-storage")


@check_manifests("TK710", "the image is told to start tritonserver", phase=Phase.START)
def images_are_told_a_program(case: Manifests) -> Iterator[Finding]:
    """NVIDIA's image starts what its arguments name: options alone are no program.

    Source: server: build.py, the image's nvidia_entrypoint.sh (exec "$@").
    """
    for pod, server in case.serving:
        words = [*texts_at(server.node, "command"), *texts_at(server.node, "args")]
        if words and words[0].startswith("--") and "nvidia/tritonserver" in server.image:
            message = f"the image is told to run '{words[0]}', which is no program"
            yield pod.owner.error(server.place("args"), message, remedy="tritonserver as the first of args")


def _names(server: Container) -> list[str]:
    """Return the names of the options that some rank is given."""
    return list(dict.fromkeys(name for options in server.start.server_options for name, _ in options))


def _argument(server: Container, option: str) -> Place:
    """Return where an option of the command line was written."""
    for key in ("args", "command"):
        for item in items_at(server.node, key):
            if isinstance(item, Scalar) and re.search(rf"--{re.escape(option)}\b", item.text):
                return item.place
    return server.start_place


def _is_off(server: Container, protocol: str) -> bool:
    return (server.start.option(f"allow-{protocol}") or "true").lower() in _NO


def _holds_files(pod: Pod, name: str) -> bool:
    """Whether a volume can hold a repository."""
    volume = pod.volumes.get(name)
    return any(at(volume, kind) is not None for kind in ("persistentVolumeClaim", "image", "nfs", "hostPath", "csi"))
