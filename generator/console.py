"""What a person sees: the result on stdout, everything else on stderr. Printing stands here and in cli.py alone."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from tritonsmith.generator.errors import UsageError

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

_LINE_EVERY_S = 5.0
_NO_TERMINAL_COLUMNS = 100


def result(text: str) -> None:
    """Print the verb's result on stdout.

    Raises: UsageError where it is a file that the disk does not take.
    """
    _write(sys.stdout, text if text.endswith("\n") else f"{text}\n")


def result_piece(text: str) -> None:
    """Print a piece of the verb's result as it is; whoever prints the last one ends the line."""
    _write(sys.stdout, text)


def result_json(value: Any) -> None:
    """Print the verb's result as JSON on stdout, for machines."""
    result(json.dumps(value, indent=2, sort_keys=False))


def answer(text: str, document: Any, *, is_json: bool) -> None:
    """Print the verb's result on stdout, for people or for machines."""
    if is_json:
        result_json(document)
    else:
        result(text)


def say(text: str) -> None:
    """Print a line of progress on stderr."""
    _write(sys.stderr, f"{text}\n")


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except OSError as problem:
        # `tritonsmith ... | head`: whoever read us has gone; the work goes on, and its status is the work's.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if stream is sys.stdout and not isinstance(problem, BrokenPipeError):
            hint = "free some space, or write it elsewhere"
            raise UsageError(f"cannot write the result: {problem.strerror}", hint=hint) from None


def tip(text: str) -> None:
    """Print advice on stderr."""
    say(f"TIP: {text}")


def echo_command(argv: Sequence[str]) -> None:
    """Show a command before it runs, as the user could type it."""
    say(f"+ {shlex.join(argv)}")


def columns() -> int:
    """Return how wide the terminal is; 100 where stdout is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _NO_TERMINAL_COLUMNS


def can_show(characters: str) -> bool:
    """Whether stdout's encoding has some characters."""
    try:
        characters.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


class Progress:
    """A task whose state is shown while it runs; see `progress`."""

    def __init__(self, title: str, total: int | None) -> None:
        self.title, self.total, self.done = title, total, 0
        self.started_s = self._shown_s = time.monotonic()
        self._bar = _bar(title, total) if sys.stderr.isatty() else None

    def update(self, done: int | None = None, text: str = "") -> None:
        """Show how far the task is: on a terminal in a bar, elsewhere in a line every 5 s at most."""
        self.done = self.done if done is None else done
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self.done, description=f"{self.title} {text}".rstrip())
        elif time.monotonic() - self._shown_s >= _LINE_EVERY_S:
            self._shown_s = time.monotonic()
            say(f"{self.title}{self._share()} {text}".rstrip())

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def _share(self) -> str:
        elapsed_s = time.monotonic() - self.started_s
        if not self.total:
            return f" {elapsed_s:.0f} s"
        left = f", {elapsed_s / self.done * (self.total - self.done):.0f} s left" if self.done else ""
        return f" {self.done}/{self.total}{left}"


def _bar(title: str, total: int | None) -> RichProgress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as RichProgress

    known = (
        (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) if total else (SpinnerColumn(), TimeElapsedColumn())
    )
    text = TextColumn("{task.description}", markup=False)
    bar = RichProgress(text, *known, console=Console(stderr=True), transient=True)
    bar.add_task(title, total=total)
    bar.start()
    return bar


@contextmanager
def progress(title: str, total: int | None = None) -> Iterator[Progress]:
    """Show progress on stderr while the block runs; with `total` also the time left."""
    bar = Progress(title, total)
    try:
        yield bar
    finally:
        bar.close()


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as text: the first column left-aligned, the others right-aligned."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = []
    for row in [header, *rows]:
        cells = [
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
