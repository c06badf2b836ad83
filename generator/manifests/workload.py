"""What servers of one repository need, on Kubernetes and elsewhere: worked out once, before any file is written."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass, field

from tritonsmith.generator.catalog.releases import EMBEDDED, NEWEST, RELEASES, Release
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.manifests.launch import Launch, plan_launch
from tritonsmith.generator.manifests.needs import Needs, needs_of, runs_tensorrt_llm
from tritonsmith.generator.manifests.openai import EXIT_S, OPENAI_PORT
from tritonsmith.generator.manifests.server import PORTS
from tritonsmith.generator.manifests.sharing.share import WHOLE, resource_of
from tritonsmith.generator.repository.core import Repository
from tritonsmith.generator.spec.deploy import Deploy
from tritonsmith.generator.spec.settings import Hardware, Server
from tritonsmith.generator.spec.sharing import Sharing

MIB = 1 << 20
PULL_S = 600  # that a node takes to get a pod's images, 20 GB of them
LONGEST_NAME = 40
GRACE_MARGIN_S = 10  # between Triton's own exit timeout and the kubelet's SIGKILL


@dataclass(frozen=True)
class Workload:
    """One repository's deployment: what the user said, what the models need, and the times that follow.

    Seconds: `startup_s` is a server's budget from start to ready, `begin_s` a pod's, which may have to copy the
    repository before, `ready_s` that of a pod whose images are not on the node; `grace_s` is what it is given from its
    end's begin to SIGKILL: pre_stop_s + exit_s + a margin.
    """

    name: str
    release: Release
    server: Server
    hardware: Hardware
    deploy: Deploy
    needs: Needs
    launch: Launch | None = None
    sharing: Sharing = field(default_factory=Sharing)

    @property
    def image(self) -> str:
        """The image, pinned where the spec pins it."""
        image = self.deploy.image or (self.launch and self.release.tensorrt_llm_image) or self.release.image
        return f"{image}@{self.deploy.digest}" if self.deploy.digest else image

    @property
    def gpu_resource(self) -> str:
        """What a pod asks the device plugin for: as `deploy` says it, else the share or slice of `sharing`."""
        said = self.deploy.gpus.resource
        return said if said != WHOLE or not self.sharing.is_shared else resource_of(self.sharing)

    @property
    def ports(self) -> dict[str, int]:
        """The ports of a pod that answers, by the names under which Services, probes and monitors find them."""
        ports = {"http": PORTS["http"], "grpc": PORTS["grpc"]}
        if self.deploy.openai:  # NVIDIA's front end answers /metrics itself, and nothing listens at 8002
            return {**ports, "openai": OPENAI_PORT}
        return {**ports, "metrics": PORTS["metrics"]} if self.server.metrics.enabled else ports

    @property
    def metrics_port(self) -> str:
        """The name of the pod's port that answers /metrics; empty where the spec turned metrics off."""
        return next((name for name in ("metrics", "openai") if name in self.ports), "")

    @property
    def startup_s(self) -> int:
        """How long a server may take from its start until it is ready."""
        return self.read_s + self.deploy.start_margin_s

    @property
    def begin_s(self) -> int:
        """How long a pod may take from its creation until it is ready: the repository's copy, its server's start."""
        source = self.deploy.repository
        is_copied = source.store is not None and source.fetch == "init"
        return (self.read_s if is_copied else 0) + self.startup_s

    @property
    def ready_s(self) -> int:
        """The same where the node has to get the images first."""
        return PULL_S + self.begin_s

    @property
    def read_s(self) -> int:
        """How long it takes to read the repository."""
        return math.ceil(self.needs.repository_bytes / MIB / self.deploy.load_mib_per_s)

    @property
    def exit_s(self) -> int:
        """How long requests may take to end after SIGTERM.

        NVIDIA's front end waits for them without a limit of its own, and then starts Triton's default exit timeout.
        """
        return max(EXIT_S if self.deploy.openai else 0, self.server.exit_timeout_s)

    @property
    def drain_s(self) -> int:
        """How long a server may take from SIGTERM to its end."""
        return self.exit_s + GRACE_MARGIN_S

    @property
    def grace_s(self) -> int:
        """How long a pod may take to end."""
        return sum(self.grace_parts.values())

    @property
    def grace_parts(self) -> dict[str, int]:
        """What `grace_s` is the sum of."""
        return {"pre_stop_s": self.deploy.pre_stop_s, "exit_s": self.exit_s, "margin": GRACE_MARGIN_S}

    @property
    def grpc_connection_age_ms(self) -> int:
        """After how long the server has a gRPC client connect anew, give or take a tenth.

        A connection stays with its pod when that leaves the endpoints, and a server that ends answers what still comes
        with NOT_FOUND. A third of pre_stop_s leaves the rest to the news that the pod left. There is no floor:
        with pre_stop_s of a second and an age of one, requests were lost.
        """
        return self.deploy.pre_stop_s * 1000 // 3


def plan_workload(repository: Repository) -> Workload:
    """Return a repository's deployment, as its lock's settings and its files say.

    Raises: RepositoryError where its LLMs cannot be ranks of one start, or its release is not known; UsageError where a
        file cannot be looked at.
    """
    settings = repository.settings
    name = settings.get("triton", EMBEDDED)
    if name not in RELEASES:
        message = f"the repository is for Triton {name}, a release that this tritonsmith does not know"
        raise RepositoryError(message, where=repository.name, hint=f"known are those up to {NEWEST}")
    hardware = Hardware.model_validate(settings.get("hardware", {}))
    launch = plan_launch(repository)
    if launch is not None and not runs_tensorrt_llm(repository, hardware):
        launch = None
    return Workload(
        name=kubernetes_name(repository.name),
        release=RELEASES[name],
        server=Server.model_validate(settings.get("server", {})),
        hardware=hardware,
        deploy=Deploy.model_validate(settings.get("deploy", {})),
        needs=needs_of(repository, hardware, launch),
        launch=launch,
        sharing=Sharing.model_validate(settings.get("sharing", {})),
    )


def kubernetes_name(name: str) -> str:
    """Return a repository's name as Services take it too: at most 40 of a-z, 0-9 and '-', a letter first.

    A longer one ends with its digest's begin, so that no two become one.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    plain = plain if plain[:1].isalpha() else f"models-{plain}".strip("-")
    if len(plain) <= LONGEST_NAME:
        return plain
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{plain[: LONGEST_NAME - len(digest) - 1].strip('-')}-{digest}"
