"""What a container of one repository is: its base image, what is installed into it, how it starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from tritonsmith.generator.catalog.options import known_words
from tritonsmith.generator.catalog.python_packages import (
    BACKEND_MODULES,
    BACKEND_OF_IMAGE,
    ONNXRUNTIME_GPU,
    PACKAGES,
    STORES,
    modules_of_image,
)
from tritonsmith.generator.catalog.releases import NEWEST_WITH_TENSORRT_LLM
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.manifests.command import command
from tritonsmith.generator.manifests.container.imports import imported_modules
from tritonsmith.generator.manifests.launch import outside_paths
from tritonsmith.generator.manifests.memory import shm_mib
from tritonsmith.generator.manifests.openai import ENVIRONMENT
from tritonsmith.generator.manifests.ranks import rank_environment
from tritonsmith.generator.manifests.server import MODELS
from tritonsmith.generator.manifests.workload import Workload, plan_workload
from tritonsmith.generator.repository.core import Repository

# baked: copied into the image; mounted: beside it, read-only; fetched: from a store at the start, by us or by Triton
Source = Literal["baked", "mounted", "fetched", "remote"]
LEAST_SHM_MIB = 1024  # Source: python_backend: README.md, of Docker's default of 64 MiB


@dataclass(frozen=True)
class Container:
    """One repository's container.

    `stand_ins` are the backends that the base image lacks and tritonsmith has in Python; `requirements` are pip's;
    `outside` are paths beyond the repository that its models name, `notices` what a person has to know.
    """

    workload: Workload
    base: str
    source: Source
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    stand_ins: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def image(self) -> str:
        """The name of the image that is built."""
        return self.workload.deploy.image or f"{self.workload.name}:{self.workload.release.name}"

    @property
    def store(self) -> str:
        """The store's URL that is fetched or served from, empty where there is none."""
        return (self.workload.deploy.repository.store or "") if self.source in ("fetched", "remote") else ""


def plan_container(repository: Repository) -> Container:
    """Return a repository's container.

    Raises: RepositoryError where no image has what its models need, or one machine is too few.
    """
    workload = plan_workload(repository)
    outside = tuple(map(str, outside_paths(repository, MODELS)))
    has_tensorrt_llm = workload.launch is not None
    if workload.needs.nodes > 1:
        message = f"an engine's ranks need {workload.needs.nodes} machines; a container is on one"
        raise RepositoryError(message, where=workload.name, hint="deploy --kubernetes writes a LeaderWorkerSet")
    stand_ins = _stand_ins(repository, has_tensorrt_llm=has_tensorrt_llm)
    needed = imported_modules(repository, has_tensorrt_llm=has_tensorrt_llm)
    modules = {*needed, *(module for backend in stand_ins for module in BACKEND_MODULES[backend])}
    lacking = modules - modules_of_image(has_tensorrt_llm=has_tensorrt_llm)
    source = _source(workload)
    return Container(
        workload=workload,
        base=_base(workload, has_tensorrt_llm=has_tensorrt_llm),
        source=source,
        argv=tuple(known_words(command(workload), workload.release.name)),
        environment={**rank_environment(workload), **(ENVIRONMENT if workload.deploy.openai else {})},
        stand_ins=stand_ins,
        requirements=tuple(sorted(_requirements(workload, lacking, source))),
        outside=outside,
        notices=(*_notices(needed, lacking), *_sharing_notices(workload)),
    )


def shm_size_mib(workload: Workload) -> int:
    """Return the size of /dev/shm outside Kubernetes, where it costs nothing until it is used."""
    return max(LEAST_SHM_MIB, shm_mib(workload))


def _base(workload: Workload, *, has_tensorrt_llm: bool) -> str:
    release = workload.release
    if has_tensorrt_llm and not release.tensorrt_llm_image:
        message = f"NVIDIA has no container of Triton {release.name} with TensorRT-LLM"
        raise RepositoryError(message, where=workload.name, hint=f'triton: "{NEWEST_WITH_TENSORRT_LLM}" has one')
    image = release.tensorrt_llm_image if has_tensorrt_llm else release.image
    # of an image of the user's, the digest pins that one
    digest = workload.deploy.digest if not workload.deploy.image else None
    return f"{image}@{digest}" if digest else image


def _source(workload: Workload) -> Source:
    said = workload.deploy.repository
    if said.store:
        return "fetched" if said.fetch == "init" else "remote"
    return "mounted" if said.claim or said.volume else "baked"


def _stand_ins(repository: Repository, *, has_tensorrt_llm: bool) -> tuple[str, ...]:
    used = {model.config.backend for model in repository.models.values() if model.config is not None}
    lacking = BACKEND_MODULES.keys() - {BACKEND_OF_IMAGE[has_tensorrt_llm]}
    return tuple(sorted(used & lacking))


def _requirements(workload: Workload, modules: set[str], source: Source) -> Iterator[str]:
    packages = [PACKAGES[module] for module in modules if module in PACKAGES]
    if workload.needs.gpus:
        packages = [ONNXRUNTIME_GPU if package == PACKAGES["onnxruntime"] else package for package in packages]
    if source == "fetched":
        packages.append(STORES[(workload.deploy.repository.store or "").partition(":")[0]])
    yield from (f"{name}=={version}" for name, version in packages)


def _notices(needed: Mapping[str, set[str]], lacking: set[str]) -> Iterator[str]:
    for module in sorted(lacking & needed.keys() - PACKAGES.keys() - {"tensorrt_llm"}):
        users = " and ".join(sorted(needed[module]))
        yield (
            f"{users} imports {module}, which the image lacks and we know no version of: build FROM an image that has "
            "it (BASE_IMAGE), or bring an environment (EXECUTION_ENV_PATH)"
        )


def _sharing_notices(workload: Workload) -> Iterator[str]:
    if workload.sharing.is_shared and workload.needs.gpus:
        yield (
            f"sharing: {workload.sharing} is what Kubernetes is told: this container gets a whole GPU, in compose.yaml "
            "`device_ids: [MIG-...]` in place of count gives it a slice"
        )
