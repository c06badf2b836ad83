"""Start tritonserver itself on a repository in a store, as a pod would, and say what it has loaded."""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tritonsmith.backends.client.control import Control
from tritonsmith.backends.deploy.store.fetch import Manifest
from tritonsmith.backends.server import log
from tritonsmith.backends.server.leftovers import run_folder
from tritonsmith.backends.server.ports import with_ports
from tritonsmith.backends.server.view import make_backends
from tritonsmith.backends.toolchain.find import find_toolchain
from tritonsmith.generator.errors import ServerError
from tritonsmith.generator.manifests.server import ServerFolders, ServerOptions, server_argv
from tritonsmith.generator.repository.walk import BYTECODE, walk, whole

START_LIMIT_S = 120.0


@dataclass(frozen=True)
class Started:
    """A server that was started on a store: where it answers, or why it refused; `copies` is where its models lie."""

    http_url: str
    refusal: str
    copies: Path


@contextmanager
def server_from(url: str) -> Iterator[Started]:
    """Start tritonserver on a URL, with its own defaults, until it is ready or has ended; it ends with the block.

    Raises: ServerError where it does neither.
    """
    toolchain = find_toolchain()
    options = with_ports(ServerOptions(http_port=0, grpc_port=0, metrics_port=0, exit_timeout_secs=2))
    with run_folder() as run:
        make_backends(toolchain, run / "backends")
        copies, log_file = run / "copies", run / "log"
        copies.mkdir()
        argv = server_argv(
            options, toolchain.tritonserver, ServerFolders(url, run / "backends", toolchain.cache_folder)
        )
        argv.append(f"--backend-config=python,shm-region-prefix-name={run.name}-")
        environment = {
            **toolchain.environment(),
            "TRITON_AWS_MOUNT_DIRECTORY": str(copies),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        with log_file.open("wb") as sink:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, env=environment, cwd=run
            )
        try:
            http_url = f"127.0.0.1:{options.http_port}"
            yield Started(http_url, _wait(process, Control(http_url), log_file), copies)
        finally:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], control: Control, log_file: Path) -> str:
    """Wait until a server is live, which it is once all models are loaded; return why it ended, if it did."""
    deadline_s = time.monotonic() + START_LIMIT_S
    while not control.is_live():
        if process.poll() is not None:
            text = log.read_since(log_file, 0)
            return "\n".join(log.last_errors(text) or text.splitlines()[-4:])
        if time.monotonic() > deadline_s:
            raise ServerError(f"tritonserver neither answered nor ended within {START_LIMIT_S:g} s")
        time.sleep(0.02)
    return ""


def unlike(started: Started, manifest: Manifest) -> list[str]:
    """Return in what a server's models are not those of a manifest, all of them and none beside; copies by content.

    Of each Triton has a copy, but of ensembles, of which it reads the configuration alone.
    """
    control = Control(started.http_url)
    states = {state.name: state.state for state in control.index()}
    wanted = {path.partition("/")[0] for path in manifest.files if "/" in path}
    faults = [f"{name} is {states.get(name, 'absent')}" for name in wanted if states.get(name) != "READY"]
    faults += [f"{name} is served, too" for name in states.keys() - wanted]
    contents, copies = {name: _content(name, manifest) for name in wanted}, _copies(started.copies)
    faults += [f"{copy} is no model of the repository" for copy in copies if copy not in contents.values()]
    loaded = [name for name in wanted if states.get(name) == "READY"]
    with_files = [name for name in loaded if control.config(name).get("platform") != "ensemble"]
    faults += [f"{name} was not copied from the store" for name in with_files if contents[name] not in copies]
    return faults


def _content(model: str, manifest: Manifest) -> str:
    inside = {
        path.partition("/")[2]: stored.sha256 for path, stored in manifest.files.items() if path.startswith(f"{model}/")
    }
    return _line(inside)


def _copies(folder: Path) -> list[str]:
    """Return what Triton has copied, a line per model."""
    found = []
    for copy in sorted(folder.iterdir()):
        paths, _ = whole(walk(copy, {BYTECODE}))
        found.append(_line({path: hashlib.sha256((copy / path).read_bytes()).hexdigest() for path in paths}))
    return found


def _line(hashes: dict[str, str]) -> str:
    return ", ".join(f"{path} {sha256[:12]}" for path, sha256 in sorted(hashes.items()))
