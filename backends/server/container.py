"""NVIDIA's container for a release, started by Docker on a model repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonsmith.generator import console
from tritonsmith.generator.catalog.releases import NEWEST_WITH_TENSORRT_LLM, RELEASES
from tritonsmith.generator.errors import ServerError, ToolMissingError, UsageError
from tritonsmith.generator.manifests.container.core import LEAST_SHM_MIB
from tritonsmith.generator.manifests.launch import Launch, launch_argv
from tritonsmith.generator.manifests.server import (
    MODELS,
    PORTS,
    ULIMITS,
    ServerFolders,
    ServerOptions,
    inside_container,
    server_argv,
)
from tritonsmith.generator.suggest import did_you_mean


@dataclass(frozen=True)
class Outfit:
    """What a container is given; `launch` says how LLMs' processes are started, `outside` what the models name."""

    name: str
    gpus: int
    launch: Launch | None = None
    outside: Sequence[Path] = ()  # paths on this machine beyond the repository
    shm_mib: int = LEAST_SHM_MIB


def docker_argv(repository: Path, options: ServerOptions, image: str, outfit: Outfit) -> list[str]:
    """Return the docker command that serves a repository read-only; the options' TLS files have absolute paths."""
    host_ports = {"http": options.http_port, "grpc": options.grpc_port, "metrics": options.metrics_port}
    published = {PORTS[key]: port for key, port in host_ports.items() if key != "metrics" or options.allow_metrics}
    argv = docker_run(repository, options, published, outfit)
    server = server_argv(inside_container(options), "tritonserver", ServerFolders(MODELS))
    if outfit.launch is None:
        return [*argv, image, *server]
    environment = [f"--env={name}={value}" for name, value in outfit.launch.environment.items()]
    return [*argv, *environment, image, *launch_argv(outfit.launch, server)]


def docker_run(repository: Path, options: ServerOptions, published: Mapping[int, int], outfit: Outfit) -> list[str]:
    """Return the docker command up to the image; `published` are the host's ports by those in the container.

    What lies outside the repository is mounted where it lies: the outfit's, and files that links in it point to.
    """
    argv = ["docker", "run", "--rm", "--init", f"--name={outfit.name}"]
    argv += [f"--shm-size={outfit.shm_mib}m", *(f"--ulimit={name}={limit}" for name, limit in ULIMITS.items())]
    argv += ["--gpus=all"] if outfit.gpus else []
    argv += [f"--publish={options.host}:{host_port}:{port}" for port, host_port in published.items()]
    argv.append(f"--volume={repository.resolve()}:{MODELS}:ro")
    mounted = [*linked_files(repository), *options.tls.values(), *outfit.outside]
    return argv + [f"--volume={path}:{path}:ro" for path in mounted]


def linked_files(repository: Path) -> list[Path]:
    """Return the files outside the repository that links in it point to by an absolute path."""
    root, found = repository.resolve(), set()
    for folder, _, names in os.walk(root):
        for path in (Path(folder, name) for name in names):
            if path.is_symlink() and path.readlink().is_absolute() and root not in path.readlink().parents:
                found.add(path.readlink())
    return sorted(found)


def image_of(release: str, *, has_tensorrt_llm: bool = False) -> str:
    """Return the image of a release such as 24.10; NVIDIA has one of its own with TensorRT-LLM and its backend.

    Raises: UsageError for a release that is not in the catalog, or has no image with TensorRT-LLM.
    """
    if release not in RELEASES:
        raise UsageError(f"no Triton release '{release}' is known.{did_you_mean(release, RELEASES)}", hint="e.g. 24.10")
    if not has_tensorrt_llm:
        return RELEASES[release].image
    if not RELEASES[release].tensorrt_llm_image:
        hint = f"--triton {NEWEST_WITH_TENSORRT_LLM}; or launch.sh of the repository, in an image of your own"
        raise UsageError(f"NVIDIA has no container of Triton {release} with TensorRT-LLM", hint=hint)
    return RELEASES[release].tensorrt_llm_image


def run_container(argv: list[str], *, name: str, stop_limit_s: int) -> None:
    """Run the docker command until it ends; on Ctrl-C, TERM or HUP the container is stopped, which drains the server.

    Raises: ToolMissingError without docker, ServerError where the container ends by itself.
    """
    if shutil.which("docker") is None:
        raise ToolMissingError(
            "docker is not installed", hint="https://docs.docker.com/engine/install/, or serve without --container"
        )
    console.echo_command(argv)
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        status = process.wait()
    except BaseException:
        _stop(process, name, stop_limit_s)
        raise
    if status == 125:  # docker itself failed: no daemon, no image, a port in use
        raise ToolMissingError("docker could not start the container", hint="see docker's message above")
    raise ServerError(f"the container ended with status {status}", hint="see the server's messages above")


def _stop(process: subprocess.Popen[bytes], name: str, limit_s: int) -> None:
    stop = ["docker", "stop", f"--time={limit_s}", name]
    console.echo_command(stop)
    try:
        subprocess.run(stop, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=limit_s + 10, check=False)
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
