"""The generated container, built and run by rootless podman on a small base image that stands for NVIDIA's.

The base is made here, without a network: empty folders, this machine's /usr, and the embedded server at the place where
NVIDIA's images have theirs. All else is as `deploy --container` writes it.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sysconfig
import tarfile
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tritonsmith.backends.deploy.container.write import write_container
from tritonsmith.backends.server.ports import choose_ports
from tritonsmith.backends.toolchain.find import find_toolchain

pytestmark = [pytest.mark.live, pytest.mark.slow]

WriteModel = Callable[..., Path]
WAITS = """
import time

import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        time.sleep(0.5)
        x = [pb.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        return [pb.InferenceResponse([pb.Tensor("y", values * 2)]) for values in x]
"""
BASE = "localhost/base:1"
PASSWD = "root:x:0:0::/root:/bin/bash\ntriton-server:x:1000:1000::/tmp:/bin/bash\n"
LEFT_OUT = shutil.ignore_patterns("site-packages", "test", "config-*", "*.a", "__pycache__", "idlelib", "ensurepip")


@dataclass(frozen=True)
class Podman:
    """Podman of an ordinary user, with storage of its own."""

    user: str
    folder: Path

    def __call__(self, *words: str | Path) -> str:
        """Run it and return what it says on stdout."""
        status = self.attempt(*words)
        assert status == 0, (self.folder / "err").read_text()
        return (self.folder / "out").read_text().strip()

    def attempt(self, *words: str | Path) -> int:
        """Run it and return its status; its output goes to files, since its pause process inherits it."""
        argv: list[str | Path] = ["podman", "--root", self.folder / "storage", "--runroot", self.folder / "run"]
        argv += ["--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "file", *words]
        as_user = (
            ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--init-groups"] if os.getuid() == 0 else []
        )
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder)}
        with (self.folder / "out").open("w+b") as out, (self.folder / "err").open("w+b") as err:
            done = subprocess.run(
                [*as_user, *argv],
                cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=120, check=False,
            )  # fmt: skip
        return done.returncode


def why_not() -> str:
    """Return why podman cannot run here as an ordinary user, empty where it can."""
    lacking = [tool for tool in ("podman", "runc", "newuidmap", "slirp4netns", "setpriv") if not shutil.which(tool)]
    if lacking:
        return f"{' and '.join(lacking)} not installed"
    if not users_with_subordinates():
        return "no ordinary user here has subordinate ids (/etc/subuid)"
    return ""


def users_with_subordinates() -> list[str]:
    """Return the users that podman can run as: those who may map further ids; ourselves alone unless we are root."""
    try:
        named = [line.partition(":")[0] for line in Path("/etc/subuid").read_text().splitlines()]
    except OSError:
        return []
    known = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    return [name for name in named if known.get(name, 0) and os.getuid() in (0, known[name])]


@pytest.fixture
def podman() -> Iterator[Podman]:
    if reason := why_not():
        pytest.skip(reason)
    user = users_with_subordinates()[0]
    folder = Path(tempfile.mkdtemp(prefix="tritonsmith-podman-", dir="/var/tmp"))
    os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    tool = Podman(user, folder)
    try:
        try:
            import_base(tool)
            tool("run", "--rm", "--volume=/usr:/usr:ro", BASE, "true")
        except AssertionError as problem:
            pytest.skip(f"podman cannot run a container here: {problem}")
        yield tool
    finally:
        tool.attempt("rm", "--all", "--force", "--time", "0")
        tool.attempt("unshare", "rm", "-rf", folder / "storage")
        tool.attempt("system", "migrate")  # ends its pause process
        shutil.rmtree(folder, ignore_errors=True)


def link_or_copy(source: str, target: str) -> str:
    """Give a file a second name, or a copy where that is on another disk or not ours to name."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def programs(podman: Podman) -> list[str]:
    """Return volumes with what NVIDIA's image has in itself: this machine's /usr, a Python, the server."""
    tools, opt = find_toolchain(), podman.folder / "opt"
    server, stdlib = opt / "tritonserver", Path(sysconfig.get_path("stdlib"))
    python = opt / "python" / "lib" / stdlib.name
    shutil.copytree(stdlib, python, ignore=LEFT_OUT, copy_function=link_or_copy)
    for package in (Path(np.__file__).parent, Path(np.__file__).parents[1] / "numpy.libs"):
        target = python / "site-packages" / package.name
        shutil.copytree(package, target, ignore=LEFT_OUT, copy_function=link_or_copy)
    shutil.copy(tools.libpython, opt / "python" / "lib")
    (opt / "python" / "bin").mkdir()
    shutil.copy(shutil.which("python3", path=sysconfig.get_config_var("BINDIR")) or "", opt / "python" / "bin")
    shutil.copytree(tools.python_backend, server / "backends" / "python", copy_function=link_or_copy)
    shutil.copy(tools.python_stub, server / "backends" / "python")
    shutil.copytree(tools.wheel_libraries, server / "lib", copy_function=link_or_copy)
    (server / "bin").mkdir()
    shutil.copy(tools.tritonserver, server / "bin")
    return ["--volume=/usr:/usr:ro", f"--volume={opt}:/opt/nvidia:ro"]


def import_base(podman: Podman) -> None:
    """Make the base image: folders and links, no program."""
    root = podman.folder / "root"
    for name in ("usr", "etc", "tmp", "proc", "dev", "sys", "opt/nvidia"):
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc" / "passwd").write_text(PASSWD)
    for name in ("bin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    (root / "opt" / "tritonserver").symlink_to("nvidia/tritonserver")
    with tarfile.open(podman.folder / "base.tar", "w") as tar:
        tar.add(root, arcname=".")
    path = "PATH=/opt/nvidia/python/bin:/opt/tritonserver/bin:/usr/bin"
    libraries = "LD_LIBRARY_PATH=/opt/nvidia/python/lib:/opt/tritonserver/lib"
    podman("import", "--change", f"ENV {path}", "--change", f"ENV {libraries}", podman.folder / "base.tar", BASE)


def run_options(service: Mapping[str, Any]) -> Sequence[str]:
    """Return what a compose file says of its service, as podman's own options."""
    options = [f"--cap-drop={name}" for name in service["cap_drop"]]
    options += [f"--security-opt={name.split(':')[0]}" for name in service["security_opt"]]
    options += [f"--tmpfs={path}" for path in service["tmpfs"]]
    return [*options, f"--read-only={str(service['read_only']).lower()}", f"--shm-size={service['shm_size']}"]


def ask(url: str, values: list[float]) -> list[float]:
    """Ask the model over a connection that is closed afterwards."""
    x = {"name": "x", "datatype": "FP32", "shape": [1, len(values)], "data": values}
    request = urllib.request.Request(f"{url}/v2/models/waiting/infer", json.dumps({"inputs": [x]}).encode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: list[float] = json.load(answer)["outputs"][0]["data"]
        return found


def wait_until_ready(url: str) -> None:
    deadline_s = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"{url}/v2/health/ready", timeout=5):
                return
        except OSError:
            assert time.monotonic() < deadline_s
            time.sleep(0.1)


def test_the_container_serves_as_no_root_and_drains_when_it_is_stopped(
    podman: Podman, tmp_path: Path, write_model: WriteModel
) -> None:
    write_model(tmp_path / "models", "waiting", WAITS)
    deploy, models = podman.folder / "deploy", podman.folder / "models"
    shutil.copytree(tmp_path / "models", models)
    write_container(models, deploy, is_dry=False, is_forced=False)
    service = yaml.safe_load((deploy / "compose.yaml").read_text())["services"]["triton"]
    contexts = service["build"]["additional_contexts"]
    volumes = programs(podman)
    podman(
        "build", "--format=docker", "--isolation=chroot", "--network=host", *volumes, f"--build-arg=BASE_IMAGE={BASE}",
        *(f"--build-context={name}={deploy / path}" for name, path in contexts.items()),
        "--tag=localhost/served:1", deploy,
    )  # fmt: skip
    port = choose_ports("127.0.0.1", {"http": 0})["http"]
    options = run_options(service)
    podman("run", "--detach", "--name=c", *options, *volumes, f"--publish=127.0.0.1:{port}:8000", "localhost/served:1")
    url = f"http://127.0.0.1:{port}"
    wait_until_ready(url)
    assert ask(url, [1.5, 2.0]) == [3.0, 4.0]
    argv, user = podman("exec", "c", "sh", "-c", "cat /proc/1/cmdline; echo; id -u").splitlines()
    assert (argv.split("\0")[0], user) == ("tritonserver", "1000")
    answers: list[list[float]] = []
    late = threading.Thread(target=lambda: answers.append(ask(url, [5.0])))
    late.start()
    time.sleep(0.2)  # it is in the model now
    podman("stop", f"--time={service['stop_grace_period'].removesuffix('s')}", "c")
    late.join()
    assert answers == [[10.0]]
    assert podman("inspect", "--format={{.State.ExitCode}}", "c") == "0"
