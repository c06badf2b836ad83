"""Configurations changed on a live server, and undone by whoever changed them.

An override sticks until somebody loads the model otherwise. A server that we started takes its overrides along when
it ends, as it does with us. On another's, what was served is written down before the first change (`undoing`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.configs import as_json, as_submitted
from tritonsmith.backends.client.stages import load_stages
from tritonsmith.backends.server.embedded import Server
from tritonsmith.backends.server.leftovers import STUB, run_processes
from tritonsmith.generator import console
from tritonsmith.generator.errors import ServerError
from tritonsmith.perf.served import Served
from tritonsmith.perf.target import Target
from tritonsmith.perf.undoing import Undoing, undoing_of

LOAD_WIDTH = 4  # models, at once
WATCH_S = 0.1
FRESH = "tritonsmith_generation"  # a metric tag: the one difference that Triton honours and no model sees


class Overrides:
    """The configurations that one command has brought onto a server; `current` are those that it has now.

    The base of every change is what was served, so that a change of an instance count alone stays cheap.
    """

    def __init__(self, target: Target, served: Served, undoing: Undoing | None) -> None:
        self.target = target
        self.original = served
        self.base = {name: as_submitted(config) for name, config in served.items()}
        self.current = dict(self.base)
        self._undoing = undoing

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
            if self._undoing:
                for name in names:
                    self._undoing.note(self.original, name, wanted[name])
            self._at_once(names, lambda name: self.target.load(name, as_json(wanted[name]), where=where), wanted)
        return bool(stages)

    def undo(self) -> None:
        """Let the server serve what it did; what it does not take stays written down, for the next command.

        Raises: ServerError.
        """
        for names in [] if self._is_dead() else self._stages(self.base):
            self._at_once(names, lambda name: self.target.restore(name, self.original[name]), self.base)
        if self._undoing:
            self._undoing.remove()

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
        """Return what is to be loaded, one stage after the other, in the order that Triton accepts."""
        changed = [name for name, config in wanted.items() if config != self.current[name]]
        return load_stages(wanted, self.current, changed)

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
        undoing = None
        if target.server is not None:
            stack.enter_context(_processes_end_with(target.server))
        else:
            undoing = stack.enter_context(undoing_of(target))
        changes = Overrides(target, served, undoing)
        try:
            yield changes
        finally:
            try:
                changes.undo()
            except ServerError as problem:
                if target.server is None and target.control.is_live():
                    console.say(f"warning: {target.http_url} keeps a changed configuration: {problem.message}")
                    console.tip("the next sweep or tune of this server tries again to undo it")


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
