"""No folder in common: a model's files travel with the load call, and lie in a private folder of that load."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.base import Client
from tritonsmith.backends.client.configs import as_json, as_message, as_submitted
from tritonsmith.backends.client.control import Control
from tritonsmith.backends.deploy.live.core import MARK, READY, Change, Content, Plan, Running, Unit, Wanted
from tritonsmith.backends.deploy.live.differences import differences
from tritonsmith.backends.deploy.live.wanted import mark_of, require_unchanged
from tritonsmith.generator.errors import RepositoryError, ServerError, UsageError

# Measured on 2.51: a gRPC message of 2,147,483,647 bytes is the most that the server takes; an HTTP body beyond it
# ends the server, and since 25.05 one beyond 64 MiB is refused (--http-max-input-size). So uploads go over gRPC.
MOST_BYTES = (1 << 31) - 1
_FRAME_BYTES = 1 << 16  # names, lengths and the configuration's surroundings
_KEEP_FILE = ".tritonsmith"  # for an ensemble's version folder: a folder is made for files alone


class Uploads:
    """Files for the load call. What was uploaded stays in `store`, by model and mark: the way back to it.

    `kept` are the uploads of a model that stay there, the new one among them.
    """

    def __init__(self, store: Path, client: Client, control: Control, kept: int, *, is_forced: bool) -> None:
        self.store = store
        self._client = client
        self._control = control
        self._kept = kept
        self._is_forced = is_forced
        self._wanted: Mapping[str, Wanted] = {}
        self._numbers: dict[str, Mapping[int, int]] = {}
        self._stored: list[Path] = []  # copies that this roll-out made, of what has not been served

    def present(self, wanted: Mapping[str, Wanted], running: Mapping[str, Running]) -> dict[str, Content]:
        """Return what was uploaded, where its mark says that it is what is wanted; of all else nothing is known."""
        found = {}
        for name, model in wanted.items():
            one = running.get(name)
            if one is None or one.config is None:
                continue
            if model.config.ensemble_scheduling.step:  # its configuration is all of it
                if not differences(model.config, one.config):
                    found[name] = model.content
            elif mark(one) == mark_of(model.content):
                numbers = served_numbers(model.content.versions, one.ready)
                versions = {numbers[version]: digest for version, digest in model.content.versions.items()}
                found[name] = Content(model.content.config, versions, model.content.rest)
        return found

    def units(
        self, changes: Sequence[Change], wanted: Mapping[str, Wanted], running: Mapping[str, Running]
    ) -> tuple[Unit, ...]:
        """Return a unit for each change: a call carries one model.

        An ensemble's load polls its steps again, and those that lie on the server's disk too fall back to that: they
        are uploaded once more after it, where that is forced.

        Raises: RepositoryError.
        """
        by_model = {change.model: change for change in changes}
        units = []
        for change in changes:
            inner = {one.model_name for one in wanted[change.model].config.ensemble_scheduling.step}
            again = [name for name in wanted if name in inner and self._falls_back(name, by_model, running)]
            if again and not self._is_forced:
                _refuse_fallback(change.model, again)
            units.append(Unit((change,), (change.model, *again)))
        return tuple(units)

    def prepare(self, plan: Plan, wanted: Mapping[str, Wanted], running: Mapping[str, Running]) -> None:
        """Refuse what the channel does not carry, and what could not be brought back; keep a copy of the rest.

        Raises: UsageError, RepositoryError.
        """
        self._wanted = wanted
        for change in plan.changes:
            model = wanted[change.model]
            self._require_fit(model)
            self.require_way_back(change.model, running.get(change.model, Running({})))
        names = {name for unit in plan.units for name in unit.loads}
        self._numbers = {change.model: change.numbers for change in plan.changes}
        for name in names:
            if name not in self._numbers:
                self._numbers[name] = served_numbers(wanted[name].content.versions, running[name].ready)
            if self._store(wanted[name]) and mark(running.get(name, Running({}))) != mark_of(wanted[name].content):
                self._stored.append(self._copy_of(wanted[name]))

    def after(self, change: Change, wanted: Wanted) -> Running:
        """Return how a model is served once it has been loaded: with the mark of its upload."""
        config = ModelConfig()
        config.CopyFrom(wanted.config)
        config.metric_tags[MARK] = mark_of(wanted.content)
        return Running(dict.fromkeys(change.expected, READY), config)

    def put(self, unit: Unit) -> None:
        """Do nothing: the load call brings the files."""

    def load(self, model: str, limit_s: float) -> None:
        """Upload a model and load it."""
        self._upload(model, mark_of(self._wanted[model].content), self._numbers[model], limit_s)

    def take_back(self, models: Sequence[str]) -> None:
        """Do nothing: what lies on the server's disk was never touched."""

    def restore(self, model: str, before: Running, limit_s: float) -> None:
        """Load what was there: an earlier upload from the store, else what lies on the server's disk."""
        if not before.ready or before.config is None:
            self._control.unload(model)
        elif mark(before):
            numbers = served_numbers(_versions_in(self.store / model / mark(before) / "files"), before.ready)
            self._upload(model, mark(before), numbers, limit_s)
        else:
            self._load_from_disk(model, before.config, limit_s)

    def _load_from_disk(self, model: str, config: ModelConfig, limit_s: float) -> None:
        """Load what lies on the server's disk; with the configuration that was served, where that was an override."""
        try:
            self._control.load(model, timeout_s=limit_s)
            if as_message(self._control.config(model)) == config:
                return
        except ServerError as problem:
            if isinstance(problem.__cause__, TimeoutError):
                raise
        self._control.load(model, as_json(as_submitted(as_json(config))), timeout_s=limit_s)

    def finish(self, plan: Plan) -> None:
        """Keep the newest uploads of each model."""
        self._stored.clear()
        for change in plan.changes:
            there = sorted((self.store / change.model).iterdir(), key=lambda folder: folder.stat().st_mtime_ns)
            stages = [folder for folder in there if folder.name.startswith(".")]  # of a command that was killed
            kept = [folder for folder in there if folder not in stages]
            for folder in (*stages, *kept[: -self._kept]):
                shutil.rmtree(folder, ignore_errors=True)

    def discard(self) -> None:
        """Forget the copies of what did not come to be served: they would count among those that are kept."""
        for folder in self._stored:
            shutil.rmtree(folder, ignore_errors=True)
        self._stored.clear()

    def require_way_back(self, name: str, before: Running) -> None:
        """Refuse to replace what could not be brought back, unless forced.

        Raises: RepositoryError.
        """
        if self._is_forced or not before.ready:
            return
        if mark(before):
            is_known = (self.store / name / mark(before) / "config.json").is_file()
            what = f"'{name}' runs from an upload of which no copy is here"
        else:
            is_known = any(state.name == name for state in self._control.index())
            what = f"'{name}' runs from somebody's upload and does not lie on the server's disk"
        if is_known:
            return
        raise RepositoryError(
            f"{what}: where the new one fails, it could not be brought back",
            where=name,
            hint="deploy from where it was uploaded, or --force to go without a way back",
        )

    def _upload(self, model: str, digest: str, numbers: Mapping[int, int], limit_s: float) -> None:
        """Send what is kept of a model; judge by what is served where Triton's answer cannot be trusted.

        For an ensemble whose steps do not lie on the server's disk the answer is that it failed, and it has not (2.51).
        """
        folder = self.store / model / digest
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            files = dict(renumbered(folder / "files", numbers))
        except OSError as problem:
            raise ServerError(f"no copy of that upload of '{model}' is here: {problem}") from None
        config["metric_tags"] = {**config.get("metric_tags", {}), MARK: digest}
        try:
            self._client.load(model, config, files=files, timeout_s=limit_s)
        except ServerError:
            if not config.get("ensemble_scheduling") or not self._serves(model, digest):
                raise

    def _serves(self, model: str, digest: str) -> bool:
        try:
            return as_message(self._control.config(model)).metric_tags.get(MARK) == digest
        except ServerError:
            return False

    def _falls_back(self, model: str, changes: Mapping[str, Change], running: Mapping[str, Running]) -> bool:
        """Whether a model is served from an upload, or will be, and lies on the server's disk too."""
        is_uploaded = model in changes or (model in running and bool(mark(running[model])))
        return is_uploaded and any(state.name == model for state in self._control.index())

    def _require_fit(self, model: Wanted) -> None:
        size = sum(path.stat().st_size for path in model.files.values()) + model.config.ByteSize() + _FRAME_BYTES
        if size > MOST_BYTES:
            raise UsageError(
                f"'{model.name}' has {size:,} bytes, and one load call carries {MOST_BYTES:,} (gRPC's largest message)",
                hint="name a folder that the server reads with --server-repository, or push it to an object store "
                "(--push) that the server loads from",
            )

    def _copy_of(self, model: Wanted) -> Path:
        return self.store / model.name / mark_of(model.content)

    def _store(self, model: Wanted) -> bool:
        """Keep a copy of what is uploaded, whole or not there; return whether there was none."""
        folder = self._copy_of(model)
        stage = folder.with_name(f".{folder.name}.stage")
        try:
            if folder.is_dir():
                folder.touch()
                return False
            shutil.rmtree(stage, ignore_errors=True)
            (stage / "files").mkdir(parents=True, mode=0o700)
            for path, source in model.files.items():
                (stage / "files" / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, stage / "files" / path)
            require_unchanged(model)
            for version in model.content.versions:
                (stage / "files" / str(version)).mkdir(exist_ok=True)
            (stage / "config.json").write_text(json.dumps(as_json(model.config)), encoding="utf-8")
            stage.rename(folder)
        except OSError as problem:
            raise UsageError(f"cannot write {problem.filename or folder}: {problem.strerror}") from None
        return True


def mark(running: Running) -> str:
    """Return what a running model says it was uploaded from; empty where it was not, or not by us."""
    return str(running.config.metric_tags.get(MARK, "")) if running.config is not None else ""


def _refuse_fallback(ensemble: str, steps: Sequence[str]) -> None:
    named = ", ".join(f"'{name}'" for name in steps)
    raise RepositoryError(
        f"loading '{ensemble}' puts {named} back to what lies on the server's disk, until uploaded once more",
        where=ensemble,
        hint="--server-repository names the server's folder, which has no such gap; or --force, if requests may fail "
        "or get older answers meanwhile",
    )


def renumbered(folder: Path, numbers: Mapping[int, int]) -> Iterator[tuple[str, bytes]]:
    """Yield the files to be sent, by path, each version under its number on the server."""
    given = {str(version): str(number) for version, number in numbers.items()}
    for version, number in given.items():
        if not any((folder / version).iterdir()):
            yield f"{number}/{_KEEP_FILE}", b""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            top, separator, rest = str(path.relative_to(folder)).partition("/")
            yield f"{given.get(top, top) if separator else top}{separator}{rest}", path.read_bytes()


def served_numbers(versions: Iterable[int], ready: Sequence[int]) -> dict[int, int]:
    """Return under which number the server has each version of an upload: an only one got the next one there."""
    numbers = {version: version for version in versions}
    return dict.fromkeys(numbers, ready[-1]) if len(numbers) == 1 and ready else numbers


def _versions_in(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    return sorted(int(entry.name) for entry in folder.iterdir() if entry.is_dir() and entry.name.isdigit())
