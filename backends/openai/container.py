"""NVIDIA's own front end, which its containers have, in place of ours: it starts the server itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonsmith.backends.server.container import Outfit, docker_run
from tritonsmith.backends.server.ports import choose_ports
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.manifests.launch import Launch
from tritonsmith.generator.manifests.openai import (
    ENVIRONMENT,
    FIRST_RELEASE,
    OPENAI_PORT,
    Configs,
    front_end_command,
    lost_settings,
    only_tokenizer,
    parameter,
    require_one_process,
    tokenizers,
)
from tritonsmith.generator.manifests.server import MODELS, PORTS, ServerOptions


@dataclass(frozen=True)
class ContainerFrontEnd:
    """The command in the container, what it needs around it, and what is lost with it."""

    port: int  # on the host
    command: tuple[str, ...]
    environment: Mapping[str, str]
    notices: tuple[str, ...]


def container_front_end(
    configs: Configs, options: ServerOptions, release: str, port: int, launch: Launch | None = None
) -> ContainerFrontEnd:
    """Return how a release's container answers OpenAI's API for a repository.

    The ports of `options` are chosen already; a `port` of 0 takes a free one. `launch` is how the LLMs' processes are
    started without it.

    Raises: UsageError where it cannot; ServerError where the port is in use; RepositoryError where there is no text
        pipeline, or one tokenizer too many.
    """
    if release < FIRST_RELEASE:
        raise UsageError(
            f"the container of {release} has no OpenAI front end",
            hint=f"--triton {FIRST_RELEASE} is the first that has",
        )
    if options.tls:
        raise UsageError("--openai does not speak TLS, and server.tls asks for it", hint="put a proxy before it")
    require_one_process(launch)
    fixed = {"http": options.http_port, "grpc": options.grpc_port}
    port = choose_ports(options.host, fixed | {"openai": port})["openai"]
    command = front_end_command(MODELS, only_tokenizer(tokenizers(configs, MODELS)), PORTS)
    return ContainerFrontEnd(port, tuple(command), ENVIRONMENT, tuple(_notices(configs, options, launch)))


def front_end_argv(
    front: ContainerFrontEnd,
    repository: Path,
    options: ServerOptions,
    image: str,
    outfit: Outfit,
) -> list[str]:
    """Return the docker command that serves a repository behind NVIDIA's front end; see `docker_argv`."""
    published = {PORTS["http"]: options.http_port, PORTS["grpc"]: options.grpc_port, OPENAI_PORT: front.port}
    argv = docker_run(repository, options, published, outfit)
    argv += [f"--env={key}={value}" for key, value in front.environment.items()]
    return [*argv, image, *front.command]


def _notices(configs: Configs, options: ServerOptions, launch: Launch | None) -> Iterator[str]:
    if launch is not None and launch.mode == "leader" and launch.world_size > 1:
        yield (
            f"NVIDIA's front end is one process: it starts the engine's {launch.world_size} ranks (orchestrator mode), "
            "where without --openai mpirun does (leader mode)"
        )
    if not options.allow_metrics:
        yield "NVIDIA's front end answers /metrics, whatever server.metrics says"
    if lost := lost_settings(options):
        yield f"NVIDIA's front end starts the server without {', '.join(lost)}"
    engines = [name for name, config in configs.items() if config is not None and config.backend == "tensorrtllm"]
    for name in engines:
        if parameter(configs[name], "exclude_input_in_output").lower() != "true":
            yield f"{name}: exclude_input_in_output is not true: NVIDIA's front end then repeats the prompt"
