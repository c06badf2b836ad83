"""A folder that the server and we both see: each model's is made anew beside it and exchanged with the old one."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tritonsmith.backends.client.control import Control
from tritonsmith.backends.deploy.live.copies import copy, copy_version, give, link, write
from tritonsmith.backends.deploy.live.core import READY, Change, Content, Plan, Running, Unit, Wanted
from tritonsmith.backends.deploy.live.kept import staying
from tritonsmith.backends.deploy.live.seams import seams
from tritonsmith.backends.deploy.live.upload import Uploads, mark
from tritonsmith.backends.deploy.live.wanted import content_of, require_unchanged
from tritonsmith.backends.server.adapt import Host, fit_to_host, without_newer_fields
from tritonsmith.generator.errors import ServerError, UsageError
from tritonsmith.generator.repository.core import Model
from tritonsmith.generator.repository.exchange import build_lock, move_model, remove_folder
from tritonsmith.generator.repository.hashes import HashCache
from tritonsmith.generator.repository.names import CONFIG_FILE, is_version_folder
from tritonsmith.generator.repository.read import read_model

RECORD = "tritonsmith-deploy.json"  # at the root, where Triton looks at folders alone: the versions that are ours
STAGE = "tritonsmith-deploy"
LOCK = ".tritonsmith-deploy.lock"  # at the root, too: whoever deploys into it finds the same one
LOCK_LIMIT_S = 60.0  # for a build in it, or beside it


class SharedFolder:
    """The model repository of a server, as a folder here; `kept` are the versions that stay, the new one among them.

    Models are made in `new` of the stage; what a model's folder was lies in `old` or in `new` from `put` on, until
    `finish`, so that after a kill at any moment the folders themselves say how far it came.
    """

    def __init__(self, root: Path, control: Control, host: Host | None, kept: int, uploads: Uploads) -> None:
        if not root.is_dir():
            raise UsageError(
                f"--server-repository {root} is no folder", hint="name what the server reads as it is here"
            )
        self.root = root.resolve()
        self.stage = stage_of(self.root)
        self._control = control
        self._host = host
        self._kept = kept
        self._uploads = uploads  # of earlier roll-outs: the way back to what does not lie in the folder

    def present(self, wanted: Mapping[str, Wanted], running: Mapping[str, Running]) -> dict[str, Content]:
        """Return what lies in the server's folder, of the models that are wanted and do not run from an upload."""
        hashes = HashCache()
        there = [name for name in wanted if (self.root / name).is_dir()]
        found = {name: read_model(self.root / name) for name in there if name not in running or not mark(running[name])}
        contents = {name: self._content(model, hashes) for name, model in found.items()}
        hashes.save()
        return contents

    def units(
        self, changes: Sequence[Change], wanted: Mapping[str, Wanted], running: Mapping[str, Running]
    ) -> tuple[Unit, ...]:
        """Return a unit for each change; those whose tensors change are loaded by their ensemble, which is quicker.

        Only a forced roll-out has such.
        """
        joined = [
            (seam.ensemble, seam.step) for seam in seams({c.model: wanted[c.model].config for c in changes}, running)
        ]
        return tuple(_unit(group, wanted) for group in grouped(changes, joined))

    def prepare(self, plan: Plan, wanted: Mapping[str, Wanted], running: Mapping[str, Running]) -> None:
        """Make the new folder of every model, on the server's file system; what stays is linked, not copied.

        Raises: UsageError where the disk does not take it.
        """
        ours = self._record()
        for change in plan.changes:
            if mark(before := running.get(change.model, Running({}))):
                self._uploads.require_way_back(change.model, before)
            self._require_writable(change.model)
        try:
            for name in ("new", "old"):
                (self.stage / name).mkdir(parents=True, exist_ok=True)
            made = {
                change.model: self._make(change, wanted[change.model], ours.get(change.model, []))
                for change in plan.changes
            }
            (self.stage / "ours.json").write_text(json.dumps(made), encoding="utf-8")
        except OSError as problem:
            raise UsageError(f"cannot write {problem.filename or self.stage}: {problem.strerror}") from None

    def after(self, change: Change, wanted: Wanted) -> Running:
        """Return how a model is served once it has been put and loaded."""
        return Running(dict.fromkeys(change.expected, READY), wanted.config)

    def put(self, unit: Unit) -> None:
        """Exchange the folders of a unit.

        Raises: ServerError where the disk does not take it.
        """
        for model in unit.models:
            with _written(self.root / model):
                move_model(self.root / model, self.stage / "new" / model, self.stage / "old" / model)

    def load(self, model: str, limit_s: float) -> None:
        """Load a model from the folder."""
        self._control.load(model, timeout_s=limit_s)

    def take_back(self, models: Sequence[str]) -> None:
        """Exchange the folders of models again, where they were exchanged.

        Raises: ServerError, after the others, for all that do not go back.
        """
        problems = []
        for model in models:
            try:
                with _written(self.root / model):
                    self._take_back(model)
            except ServerError as problem:
                problems.append(problem.message)
        if problems:
            raise ServerError("; ".join(problems), where=str(self.root))

    def restore(self, model: str, before: Running, limit_s: float) -> None:
        """Load what lies in the folder again; unload what was not there."""
        self._uploads.restore(model, before, limit_s)

    def finish(self, plan: Plan) -> None:
        """Forget the old folders and write down which versions are ours.

        Raises: ServerError where the disk does not take it.
        """
        planned = self.stage / "ours.json"
        with _written(self.root / RECORD):
            if planned.is_file():
                self._write_record(json.loads(planned.read_text(encoding="utf-8")))
        self.discard()

    def discard(self) -> None:
        """Remove the stage.

        Raises: ServerError where the disk does not take it.
        """
        with _written(self.stage):
            if self.stage.exists():
                remove_folder(self.stage)

    @contextmanager
    def alone(self, *, is_forced: bool) -> Iterator[None]:
        """Keep deploys of all users and machines, and builds, out of the folder meanwhile.

        A file is locked, which works on NFS too, where folders cannot be.

        Raises: UsageError where another has it; where it cannot be locked, only unless forced.
        """
        try:
            handle = _open_lock(self.root)
        except OSError as problem:
            raise UsageError(f"cannot write {self.root / LOCK}: {problem.strerror}") from None
        with ExitStack() as stack:
            stack.callback(os.close, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                stack.enter_context(build_lock(self.root, limit_s=LOCK_LIMIT_S))
            except BlockingIOError:
                hint = "wait until it has ended: two would undo each other"
                raise UsageError(f"another deploy or build is changing {self.root}", hint=hint) from None
            except OSError as problem:
                if not is_forced:
                    raise UsageError(
                        f"{self.root / LOCK} cannot be locked: {problem.strerror}",
                        hint="--force, if nobody else deploys into that folder now: two would undo each other",
                    ) from None
            yield

    def _content(self, model: Model, hashes: HashCache) -> Content:
        """Return what a model's folder holds, fitted to an embedded server as what is wanted is."""
        config = model.config
        if config is not None and self._host is not None:
            config = fit_to_host(without_newer_fields(config, self._host.release)[0], self._host)[0]
        return content_of(config, model, hashes)

    def _make(self, change: Change, model: Wanted, ours: Collection[int]) -> list[int]:
        """Make a model's new folder and return the versions that are new in it."""
        old, new = self.root / change.model, self.stage / "new" / change.model
        new.mkdir()
        there = {int(entry.name): entry for entry in _version_folders(old)}
        stay = staying(there, ours=ours, put=change.numbers.values(), kept=self._kept) - {*change.fresh}
        for number in sorted(stay):
            shutil.copytree(there[number], new / there[number].name, copy_function=link, symlinks=True)
        made = [number for number in change.numbers.values() if not (new / str(number)).exists()]
        for version, number in change.numbers.items():
            if number in made:
                copy_version(model, version, new / str(number))
        for path, source in model.files.items():
            if not any(path.startswith(f"{version}/") for version in change.numbers):
                copy(source, new / path, unless_like=old / path)
        if model.text:
            is_same = (old / CONFIG_FILE).is_file() and not change.is_overridden  # its new time makes Triton read it
            write(new / CONFIG_FILE, model.text.encode(), unless_like=old / CONFIG_FILE if is_same else None)
        give(new, old if old.is_dir() else self.root)
        require_unchanged(model)
        (self.stage / f"{change.model}.inode").write_text(str(new.stat().st_ino), encoding="ascii")
        return made

    def _take_back(self, model: str) -> None:
        """Bring back what a model's folder was, from wherever a `put`, or another `_take_back`, was interrupted."""
        here, new, old = self.root / model, self.stage / "new" / model, self.stage / "old" / model
        if self._is_put(model):
            if not old.exists() and new.exists():  # the two were exchanged
                new.rename(old)
            if old.exists():
                move_model(here, old, new)
            else:
                here.rename(new)
        elif old.exists() and not here.exists():  # killed between two renames
            old.rename(here)

    def _is_put(self, model: str) -> bool:
        """Whether the new folder is in place: it is known again by its inode."""
        inode = self.stage / f"{model}.inode"
        if not inode.is_file():
            return False
        here = self.root / model
        return here.exists() and here.stat().st_ino == int(inode.read_text())

    def _require_writable(self, model: str) -> None:
        """Refuse what could not be exchanged: a folder that moves to another is written to itself.

        Raises: UsageError.
        """
        for folder in (self.root, self.root / model):
            if folder.is_dir() and not os.access(folder, os.W_OK):
                raise UsageError(
                    f"{folder} may not be written by this user",
                    hint="deploy as the user who owns what the server reads",
                )

    def _write_record(self, made: Mapping[str, Sequence[int]]) -> None:
        record = self._record()
        for model, versions in made.items():
            there = {int(entry.name) for entry in _version_folders(self.root / model)}
            record[model] = sorted(there & {*record.get(model, []), *versions})
        fresh = self.root / f".{RECORD}.new"
        fresh.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        fresh.replace(self.root / RECORD)

    def _record(self) -> dict[str, list[int]]:
        try:
            found = json.loads((self.root / RECORD).read_text(encoding="utf-8"))
            return {str(name): [int(version) for version in versions] for name, versions in found.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}


def stage_of(root: Path) -> Path:
    """Return where models are made: beside the server's folder on the same file system, else in it.

    In it a server that starts just then with --load-model=* would see it.
    """
    beside = root.with_name(f".{root.name}.{STAGE}")
    is_near = not root.is_mount() and root.parent.stat().st_dev == root.stat().st_dev
    return beside if is_near and os.access(root.parent, os.W_OK) else root / f".{STAGE}"


def grouped(changes: Sequence[Change], pairs: Iterable[tuple[str, str]]) -> list[list[Change]]:
    """Return the changes, those of a pair together; a group comes where its last member stands."""
    group_of = {change.model: {change.model} for change in changes}
    for one, other in pairs:
        if one in group_of and other in group_of:
            joined = group_of[one] | group_of[other]
            group_of.update(dict.fromkeys(joined, joined))
    ends = {id(group_of[change.model]): change.model for change in changes}
    last = [change.model for change in changes if change.model in ends.values()]
    return [[one for one in changes if one.model in group_of[name]] for name in last]


def _unit(group: Sequence[Change], wanted: Mapping[str, Wanted]) -> Unit:
    inner = {step.model_name for one in group for step in wanted[one.model].config.ensemble_scheduling.step}
    return Unit(tuple(group), tuple(change.model for change in group if change.model not in inner))


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Say which path could not be written.

    Raises: ServerError.
    """
    try:
        yield
    except OSError as problem:
        raise ServerError(
            f"cannot write {problem.filename or path}: {problem.strerror}",
            hint="the server's folder must take renames of its models' folders",
        ) from problem


def _open_lock(root: Path) -> int:
    """Open the lock for all who may write the folder; an NFS server locks only what was opened for writing."""
    path, there = root / LOCK, root.stat()
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with suppress(PermissionError):  # another user's, just made
        os.fchown(handle, -1, there.st_gid)
        os.fchmod(handle, there.st_mode & 0o666)
    return handle


def _version_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [entry for entry in sorted(folder.iterdir()) if is_version_folder(entry.name) and entry.is_dir()]
