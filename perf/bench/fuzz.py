"""Throw mutated configurations and specs at `check`: `python -m tritonsmith.perf.bench.fuzz`.

Each must end in findings or in an error that says what is wrong: never in a traceback, in more than `LIMIT_S`, or in a
file opened outside of a repository. A case is made from the seed and its number alone, so that `--only` repeats it.
"""

from __future__ import annotations

import collections
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from tritonsmith.backends.checking import Asked, Question, ask
from tritonsmith.generator import console
from tritonsmith.generator.errors import TritonsmithError
from tritonsmith.generator.repository.names import CONFIG_FILE, LOCK_FILE
from tritonsmith.perf.bench.mutate import mutated_config, mutated_spec
from tritonsmith.perf.bench.record import write_result

LIMIT_S = 2.0
SEED = 4
ROOT = Path(__file__).resolve().parents[2]
STUB = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"
_LOCK = '{"format": 1, "repository": "r", "spec_sha256": "", "settings": %s, "files": {}}'
_SETTINGS = (
    '{"triton": "24.10"}',
    '{"triton": 7, "hardware": [], "server": {"http_port": "x"}}',
    '{"hardware": {"gpu": "H100", "count": 2}, "server": {"strict_model_config": true, "rate_limit": {}}}',
    '{"server": null, "calls": {"m": ["n"], "n": "m"}}',
    "[1]",
)


class _TooSlow(BaseException):
    """Raised when a case has used up its time; no `except Exception` catches it."""


@dataclass(frozen=True)
class Failure:
    """A case that did not end as it must: its number, and why."""

    number: int
    why: str

    @property
    def kind(self) -> str:
        """What is alike in failures of one cause: where a traceback ends."""
        places = [line.strip() for line in self.why.splitlines() if line.startswith("  File")]
        return places[-1] if places else self.why


@dataclass
class Outcome:
    """How many cases ended how, and which did not end as they must."""

    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    failures: list[Failure] = field(default_factory=list)
    slowest_s: float = 0.0

    @property
    def parsed_share(self) -> float:
        """How many of the cases got past the parser, from 0 to 1."""
        return self.counts["parsed"] / max(1, self.counts["cases"])


@click.command()
@click.option("--count", default=100_000, show_default=True, help="How many cases.")
@click.option("--seed", default=SEED, show_default=True, help="Other seeds make other cases.")
@click.option("--only", type=int, default=None, help="Repeat this case, and keep its files under build/fuzz.")
def main(count: int, seed: int, only: int | None) -> None:
    """Fuzz check."""
    if only is not None:
        folder = ROOT / "build" / "fuzz" / str(only)
        folder.mkdir(parents=True, exist_ok=True)
        write_case(folder, random.Random(f"{seed}:{only}"))  # noqa: S311 - reproducible
        console.result(f"the case lies in {folder}")
    with console.progress("fuzzing", count) as progress:
        numbers = range(count) if only is None else [only]
        outcome = run(numbers, seed, lambda done: progress.update(done))
    kinds = collections.Counter(failure.kind for failure in outcome.failures)
    shown = {failure.kind: failure for failure in outcome.failures}
    for kind, times in kinds.most_common():
        console.result(f"{times} times, last in case {shown[kind].number}: {shown[kind].why}")
    summary = {**outcome.counts, "failures": len(outcome.failures), "slowest_s": round(outcome.slowest_s, 2)}
    console.result(json.dumps(summary))
    if outcome.failures or (only is None and outcome.parsed_share < 0.5):
        raise click.ClickException("not every case ended as it must, or too few got past the parser")
    if only is None:
        write_result("fuzz", {"seed": seed, "limit_s": LIMIT_S, **summary})


def run(numbers: Any, seed: int = SEED, tell: Any = None) -> Outcome:
    """Make and check the cases of these numbers."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "secret.txt").write_text("not to be read")
        for done, number in enumerate(numbers):
            folder = Path(scratch) / str(number)
            _run_case(folder, number, seed, outcome)
            if tell and done % 100 == 0:
                tell(done)
    return outcome


def write_case(folder: Path, dice: random.Random) -> Path:
    """Write a case and return what is to be checked: a repository or a spec."""
    folder.mkdir(parents=True, exist_ok=True)
    return _write_spec(folder, dice) if dice.random() < 0.2 else _write_repository(folder, dice)


def _run_case(folder: Path, number: int, seed: int, outcome: Outcome) -> None:
    dice = random.Random(f"{seed}:{number}")  # noqa: S311 - reproducible
    path = write_case(folder, dice)
    question = Question(path, is_auto_complete=dice.random() < 0.7, release=dice.choice(("", "embedded", "26.07")))
    opened: list[str] = []
    started_s = time.perf_counter()
    outcome.counts["cases"] += 1
    try:
        with _limited(), _watched(folder, opened):
            asked = ask(question)
            findings = asked.report().findings
            models = asked.case.repository.models.values() if isinstance(asked, Asked) else ()  # else manifests
            unread = [model for model in models if model.text and model.config is None]
        outcome.counts["findings" if findings else "nothing found"] += 1
        outcome.counts["parsed"] += not unread
    except TritonsmithError as problem:
        outcome.counts["errors"] += 1
        outcome.counts["parsed"] += "not YAML" not in problem.message
        if type(problem) is TritonsmithError:
            outcome.failures.append(Failure(number, f"a bug of ours: {problem}"))
    except (Exception, _TooSlow) as problem:
        outcome.failures.append(Failure(number, "".join(traceback.format_exception(problem)[-4:])))
    if opened and path.is_dir():  # a spec may name files anywhere
        outcome.failures.append(Failure(number, f"opened {opened[0]}"))
    outcome.slowest_s = max(outcome.slowest_s, time.perf_counter() - started_s)
    _remove(folder)


def _write_repository(folder: Path, dice: random.Random) -> Path:
    root = folder / "repository"
    cases, configs = _cases(), _configs()
    files = dict(dice.choice(cases))
    names = [name for name in files if name.endswith(CONFIG_FILE)]
    for name in dice.sample(names, min(len(names), dice.randint(1, 2))):
        files[name] = mutated_config(files[name], configs, dice)
    if dice.random() < 0.1:
        files.pop(dice.choice(list(files)))
    if dice.random() < 0.1:
        files[LOCK_FILE] = _LOCK % dice.choice(_SETTINGS)
    (root / "m").mkdir(parents=True)
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode(errors="replace"))
    return root


def _write_spec(folder: Path, dice: random.Random) -> Path:
    base = dice.choice(_specs())
    text = mutated_spec(base.read_text(), [spec.read_text() for spec in _specs()], dice)
    demo = folder / "demo"
    if not demo.is_symlink():
        demo.symlink_to(base.parent / "demo")
    spec = folder / "spec.yaml"
    spec.write_bytes(text.encode(errors="replace"))
    return spec


@contextmanager
def _limited() -> Iterator[None]:
    """Give the block `LIMIT_S`."""

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise _TooSlow(f"more than {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _watched(folder: Path, opened: list[str]) -> Iterator[None]:
    """Add to `opened` the files opened outside of a folder and of what Python and we ourselves are installed in."""
    watch = _installed_watch()
    watch.allowed = (*_installed(), f"{os.path.realpath(folder)}{os.sep}")
    watch.opened = opened
    watch.is_on = True
    try:
        yield
    finally:
        watch.is_on = False


@dataclass
class _Watch:
    """What the audit hook does: hooks stay for the life of the process, so it is switched."""

    is_on: bool = False
    allowed: tuple[str, ...] = ()
    opened: list[str] = field(default_factory=list)

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        if self.is_on and event in ("open", "os.listdir", "os.scandir") and isinstance(args[0], (str, bytes)):
            self.is_on = False  # what follows looks at the disk itself
            path = os.path.realpath(os.fsdecode(args[0]).partition("\0")[0])
            if not f"{path}{os.sep}".startswith(self.allowed):
                self.opened.append(path)
            self.is_on = True


@cache
def _installed_watch() -> _Watch:
    watch = _Watch()
    sys.addaudithook(watch.hook)
    return watch


@cache
def _installed() -> tuple[str, ...]:
    ours = [str(ROOT / part) for part in ("generator", "ensembles", "backends", "perf")]
    folders = [sys.prefix, sys.base_prefix, *ours, *filter(None, sys.path)]  # where an import looks
    return tuple(f"{os.path.realpath(folder)}{os.sep}" for folder in folders)


@cache
def _cases() -> list[Mapping[str, str]]:
    """Return repositories as files by path: the oracle's, and our examples' models."""
    path = ROOT / "tests" / "data" / "config_cases.json"
    cases = [dict(case["files"]) for case in json.loads(path.read_text())]
    cases = [{name: STUB if text == "<stub model.py>" else text for name, text in case.items()} for case in cases]
    ours = [
        {f"m/{CONFIG_FILE}": found.read_text(), "m/1/model.py": STUB}
        for found in ROOT.glob(f"ensembles/*/*/{CONFIG_FILE}")
    ]
    committed = ROOT / "model_repository"
    whole = {
        str(found.relative_to(committed)): found.read_text()
        for found in sorted(committed.rglob("*"))
        if found.is_file() and found.suffix in (".py", ".pbtxt", ".txt")
    }
    return [case for case in [*cases, *ours, whole] if any(name.endswith(CONFIG_FILE) for name in case)]


@cache
def _configs() -> list[str]:
    return [text for case in _cases() for name, text in case.items() if name.endswith(CONFIG_FILE)]


@cache
def _specs() -> list[Path]:
    return sorted(ROOT.glob("ensembles/*/spec.yaml"))


def _remove(folder: Path) -> None:
    for place, folders, files in os.walk(folder, topdown=False):
        for name in files:
            Path(place, name).unlink()
        for name in folders:
            path = Path(place, name)
            path.unlink() if path.is_symlink() else path.rmdir()
    folder.rmdir()


if __name__ == "__main__":
    main()
