"""How a repository is served in NVIDIA's container: the docker command, and what is to be known of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tritonsmith.backends.server import container
from tritonsmith.backends.server.certificates import with_certificates
from tritonsmith.backends.server.engines import require_engines, require_same_tensorrt_llm
from tritonsmith.backends.server.needs import needs_gpu, with_needs
from tritonsmith.backends.server.ports import with_ports
from tritonsmith.backends.server.prepare import read_configs
from tritonsmith.backends.toolchain import machine
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.manifests.container.core import shm_size_mib
from tritonsmith.generator.manifests.launch import SCRIPT, outside_paths, plan_launch
from tritonsmith.generator.manifests.server import MODELS, ServerOptions
from tritonsmith.generator.manifests.workload import plan_workload
from tritonsmith.generator.repository.core import Repository
from tritonsmith.generator.repository.read import read_repository


@dataclass(frozen=True)
class Contained:
    """A docker command, the container's name, and what is to be said before it runs."""

    argv: list[str]
    name: str
    notices: tuple[str, ...]


def plan_container(repository: Path, options: ServerOptions, release: str, openai_port: int | None) -> Contained:
    """Return how a release's container serves a repository, behind NVIDIA's OpenAI front end where a port is given.

    Raises: UsageError, RepositoryError where it cannot; ServerError where a port is in use.
    """
    configs = read_configs(repository)
    # an LLM has a configuration; without any, the server completes them all
    found = read_repository(repository) if configs else Repository(repository.name, {})
    launch = plan_launch(found)
    if launch is not None and launch.nodes > 1:
        message = f"{launch.world_size} ranks need {launch.nodes} machines; --container starts one"
        raise UsageError(message, hint=f"HOSTFILE=hosts bash {repository / SCRIPT}, in the container of each")
    image = container.image_of(release, has_tensorrt_llm=launch is not None)
    require_same_tensorrt_llm(found, release)
    require_engines(found, repository, image)
    name, here = f"tritonsmith-{repository.resolve().name}", machine.gpu_count()
    gpus = here or int(launch is not None or needs_gpu(configs))
    options, additions = with_needs(with_ports(with_certificates(options)), configs)
    named = outside_paths(found, MODELS)
    outside = [path for path in named if path.exists()]
    notices = [*additions, *_notices(sorted(set(named) - set(outside)), is_gpu_elsewhere=gpus > here)]
    outfit = container.Outfit(name, gpus, launch, outside, shm_size_mib(plan_workload(found)))
    if openai_port is None:
        argv = container.docker_argv(repository, options, image, outfit)
        return Contained(argv, name, tuple(notices))
    from tritonsmith.backends.openai.container import container_front_end, front_end_argv

    front = container_front_end(configs, options, release, openai_port, launch)
    argv = front_end_argv(front, repository, options, image, outfit)
    return Contained(argv, name, (*notices, *front.notices))


def _notices(missing: list[Path], *, is_gpu_elsewhere: bool) -> Iterator[str]:
    """Yield what the machine that runs the command must have, and this one lacks."""
    for path in missing:
        yield f"{path} is not on this machine and is not mounted: where it is, add --volume={path}:{path}:ro"
    if is_gpu_elsewhere:
        yield "this machine shows no GPU, and the models need one: --gpus=all is for the machine that has it"
