"""Configurations changed on a live server, and undone: by whoever changed them, or by the next command after a kill.

An override sticks until somebody loads the model otherwise. A server that we started takes its overrides along when
it ends, as it does with us. On another's, what was served is written down before the first change, in the user's
state folder, and removed when it is served again; whoever measures the same server next looks there first.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.control import Control
from tritonsmith.backends.server.embedded import Server
from tritonsmith.backends.server.leftovers import STUB, run_processes
from tritonsmith.generator import console
from tritonsmith.generator.errors import ServerError, UsageError
from tritonsmith.generator.home import state_folder
from tritonsmith.perf.files import writing
from tritonsmith.perf.served import as_message
from tritonsmith.perf.target import Target, grpc_beside

Served = Mapping[str, Mapping[str, Any]]  # by model its configuration as the server gives it
LOAD_WIDTH = 4  # models, at once
WATCH_S = 0.1
FRESH = "tritonsmith_generation"  # a metric tag: the one difference that Triton honours and no model sees


class Overrides:
    """The configurations that one command has brought onto a server; `current` are those that it has now.

    The base of every change is what was served, so that a change of an instance count alone stays cheap.
    """

    def __init__(self, target: Target, served: Served, journal: Journal | None) -> None:
        self.target = target
        self.original = served
        self.base = {name: as_submitted(config) for name, config in served.items()}
        self.current = dict(self.base)
        self._journal = journal

    def bring(self, changed: Mapping[str, ModelConfig], *, where: str = "", is_fresh: bool = False) -> bool:
        """Load what differs from `changed` over the base; return whether anything was loaded.

        With `is_fresh` every model that is no ensemble starts anew, whether or not it differs: 0.4 to 1.4 s, however
        many instances, where an instance more takes 0.1 s. So does one that loses instances: Triton waits 1.1 s for
        the end of each of them, and for that of a whole model not at all.

        Raises: ServerError where a model does not load; the one before it serves on.
        """
        wanted = {
            name: self._tagged(name, config, is_fresh=is_fresh) for name, config in (self.base | dict(changed)).items()
        }
        stages = self._stages(wanted)
        for names in stages:
            if self._journal:
                for name in names:
                    self._journal.note(self.original, name, wanted[name])
            self._at_once(names, lambda name: self.target.load(name, as_json(wanted[name]), where=where), wanted)
        return bool(stages)

    def undo(self) -> None:
        """Let the server serve what it did; what it does not take stays written down, for the next command.

        Raises: ServerError.
        """
        for names in [] if self._is_dead() else self._stages(self.base):
            self._at_once(names, lambda name: self.target.restore(name, self.original[name]), self.base)
        if self._journal:
            self._journal.remove()

    def _is_dead(self) -> bool:
        """Return whether our own server has ended, and with it all that was changed.

        Its Python processes hold its socket a little longer: asked now, nobody would answer or refuse.
        """
        if self.target.server is None:
            return False
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.target.server.process.wait(timeout=0.02)
        return self.target.server.process.returncode is not None

    def _tagged(self, name: str, config: ModelConfig, *, is_fresh: bool) -> ModelConfig:
        """Return the configuration with the tag that it has now, or with another, which starts all of it anew."""
        now = self.current[name]
        is_computing = not config.ensemble_scheduling.step
        if is_computing and (is_fresh or _instances(config) < _instances(now)):
            return _with_tag(config, "b" if _tag(now) == "a" else "a")
        return _with_tag(config, _tag(now))

    def _stages(self, wanted: Mapping[str, ModelConfig]) -> list[list[str]]:
        """Return what is to be loaded, one stage after the other, in the order that Triton accepts.

        No step may have a smaller largest batch than its ensemble: an ensemble shrinks before its steps and grows
        after them.
        """
        changed = [name for name, config in wanted.items() if config != self.current[name]]
        ensembles = [name for name in changed if wanted[name].ensemble_scheduling.step]
        first = [name for name in ensembles if wanted[name].max_batch_size < self.current[name].max_batch_size]
        steps = [name for name in changed if name not in ensembles]
        last = [[name] for name in reversed(ensembles) if name not in first]  # a pipeline stands before what it holds
        return [stage for stage in ([[name] for name in first] + [steps] + last) if stage]

    def _at_once(self, names: Sequence[str], load: Callable[[str], None], wanted: Mapping[str, ModelConfig]) -> None:
        """Load models side by side; what fails is loaded next time in any case.

        Raises: ServerError, the first.
        """
        problems = []
        with ThreadPoolExecutor(LOAD_WIDTH) as pool:
            loads = {name: pool.submit(load, name) for name in names}
        for name, done in loads.items():
            problem = done.exception()
            self.current[name] = wanted[name] if problem is None else ModelConfig()
            problems += [problem] if problem else []
        if problems:
            raise problems[0]


@contextlib.contextmanager
def overrides(target: Target, served: Served) -> Iterator[Overrides]:
    """Give what brings configurations onto a live server; afterwards all is as it was.

    Raises: UsageError where another command is changing the same server.
    """
    with contextlib.ExitStack() as stack:
        journal = None
        if target.server is not None:
            stack.enter_context(_processes_end_with(target.server))
        else:
            journal = stack.enter_context(_locked(target))
        changes = Overrides(target, served, journal)
        try:
            yield changes
        finally:
            try:
                changes.undo()
            except ServerError as problem:
                if target.server is None and target.control.is_live():
                    console.say(f"warning: {target.http_url} keeps a changed configuration: {problem.message}")
                    console.tip("the next sweep or tune of this server tries again to undo it")


def running_target(url: str, grpc_url: str | None = None) -> Target:
    """Return a server that others started as a target, after undoing what an earlier command left changed on it.

    `url` is as it was typed; gRPC is by default at the port after it.

    Raises: UsageError where the URL has no port; as `undo_leftovers`.
    """
    target = Target(url.removeprefix("http://").rstrip("/"), grpc_url or grpc_beside(url))
    undo_leftovers(target)
    return target


def undo_leftovers(target: Target) -> None:
    """Undo what an earlier command, killed, left changed on a server that is not ours, and say so.

    Where a model meanwhile serves something else than that command had loaded, the server was started anew or somebody
    else changed it: it is left alone.

    Raises: UsageError where another command is changing this server just now; ServerError where it does not take back.
    """
    if target.server is not None or not journal_path(target).exists():
        return
    with _locked(target) as journal:
        entry = journal.read()
        if entry.get("server") == _server_of(target.control):
            for name, config in entry["original"].items():
                _give_back(target, name, config, entry["submitted"].get(name, []))
        journal.remove()


def as_submitted(config: Mapping[str, Any]) -> ModelConfig:
    """Return a served configuration as it is submitted.

    The preferred batch size that Triton fills in, the largest batch, is left out: it would hold where that is changed.
    """
    message = as_message(config)
    if list(message.dynamic_batching.preferred_batch_size) == [message.max_batch_size]:
        message.dynamic_batching.ClearField("preferred_batch_size")
    return message


def as_json(config: ModelConfig) -> dict[str, Any]:
    """Return a configuration as the load API takes it."""
    document: dict[str, Any] = MessageToDict(config, preserving_proto_field_name=True)
    return document


class Journal:
    """What was served on another's server before we changed it: one private file, whole or not there."""

    def __init__(self, path: Path, control: Control) -> None:
        self.path = path
        self.control = control

    def note(self, original: Served, name: str, config: ModelConfig) -> None:
        """Write down that `config` is about to be loaded in place of what was served."""
        entry = self.read() or {"url": self.control.url, "server": _server_of(self.control), "submitted": {}}
        entry["original"] = dict(original)
        known = entry["submitted"].setdefault(name, [])
        if (document := as_json(config)) not in known:
            known.append(document)
            _write_private(self.path, json.dumps(entry, indent=1).encode())

    def read(self) -> dict[str, Any]:
        """Return what is written down; nothing where there is none, or nothing that can be read."""
        try:
            entry: dict[str, Any] = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return {}
        return entry

    def remove(self) -> None:
        """Forget it: all is as it was."""
        self.path.unlink(missing_ok=True)


def journal_path(target: Target) -> Path:
    """Return where overrides on this server are written down."""
    name = hashlib.sha256(target.http_url.encode()).hexdigest()[:16]
    return state_folder() / "overrides" / f"{name}.json"


@contextlib.contextmanager
def _locked(target: Target) -> Iterator[Journal]:
    """Keep other commands of this user off the server meanwhile; the kernel lets go of the lock, however we end."""
    path = journal_path(target)
    with writing(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        hint = "wait until it has ended: what it changes on the server would be measured"
        raise UsageError(f"another command is changing configurations on {target.http_url}", hint=hint) from None
    try:
        yield Journal(path, target.control)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _processes_end_with(server: Server) -> Iterator[None]:
    """End the server's Python processes at once where the server is killed meanwhile.

    They have inherited its sockets: a load, or perf_analyzer, would wait for an answer to the end of its time limit.
    """
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(WATCH_S):
            if server.process.poll() is not None:
                for pid in run_processes(server.prepared.view.parent, (STUB,)):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()


def _give_back(target: Target, name: str, original: Mapping[str, Any], submitted: list[Mapping[str, Any]]) -> None:
    try:
        now = as_submitted(target.control.config(name))
    except ServerError:
        return  # it is not loaded any more
    ours = [as_submitted(config) for config in submitted]
    if now == as_submitted(original) or now not in ours:
        return
    target.restore(name, original)
    console.say(f"note: {target.http_url}: '{name}' is served as before an earlier command, since ended, changed it")


def _server_of(control: Control) -> list[str]:
    metadata = control.server_metadata()
    return [str(metadata.get("name", "")), str(metadata.get("version", ""))]


def _write_private(path: Path, data: bytes) -> None:
    """Write a file for its owner's eyes by rename, and let it reach the disk."""
    stage = path.with_suffix(".stage")
    with writing(path):
        with os.fdopen(os.open(stage, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        stage.replace(path)


def _instances(config: ModelConfig) -> int:
    return sum(max(1, group.count) * max(1, len(group.gpus)) for group in config.instance_group)


def _tag(config: ModelConfig) -> str:
    return str(config.metric_tags.get(FRESH, ""))


def _with_tag(config: ModelConfig, tag: str) -> ModelConfig:
    if not tag:
        return config
    tagged = ModelConfig()
    tagged.CopyFrom(config)
    tagged.metric_tags[FRESH] = tag
    return tagged
