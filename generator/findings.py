"""Findings: what is wrong with a file of the user's, where, what follows from it, and what to do about it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tritonsmith.generator.fixes import Fix


class Severity(enum.Enum):
    """How much a finding matters."""

    ERROR = "error"  # it will not load, or loads and fails
    WARNING = "warning"  # it will be regretted
    NOTE = "note"


class Phase(enum.Enum):
    """What an error leads to: of a model on a server, the first four, or of a manifest in a cluster."""

    LOAD = "load"  # the model does not load
    HANG = "hang"  # its load never returns
    CRASH = "crash"  # its load takes the whole server down
    REQUEST = "request"  # it loads, and requests fail or are answered wrongly
    APPLY = "apply"  # the cluster does not take the object
    START = "start"  # its pods do not start, or never become ready
    OPERATION = "operation"  # it runs, and does not do what it is there for

    @property
    def is_at_load(self) -> bool:
        """Whether the model never becomes ready."""
        return self not in (Phase.REQUEST, Phase.OPERATION)

    @property
    def in_words(self) -> str:
        """What follows, as it is told."""
        return _PHASES[self.value]


_PHASES = {
    "load": "will not load",
    "hang": "the load hangs",
    "crash": "crashes the server",
    "request": "fails at requests",
    "apply": "the cluster refuses it",
    "start": "its pods never become ready",
    "operation": "does not do its part",
}


@dataclass(frozen=True, order=True)
class Place:
    """A position in a file; line and column count from 1, 0 where unknown."""

    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return ":".join([self.file, *(str(n) for n in (self.line, self.column) if n)])


NOWHERE = Place()


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: `key` is the dotted path of the setting, e.g. models.digits.max_batch_size.

    A finding of a check on a repository also has its code, the model's name and, an error, its phase; `fix` is the
    remedy as an edit of the file at `place`, where that is mechanical and safe. One that stands for others that are not
    told counts them in `more`.
    """

    severity: Severity
    message: str
    place: Place = NOWHERE
    key: str = ""
    remedy: str = ""
    code: str = ""
    model: str = ""
    phase: Phase | None = None
    fix: Fix | None = None
    more: int = 0

    def __str__(self) -> str:
        remedy = f"\n  hint: {self.remedy}" if self.remedy else ""
        return f"{self.headline}{remedy}"

    @property
    def headline(self) -> str:
        """Where, what, and what follows from it, in one line: `m/config.pbtxt:3:1: error[TS405] m: ...`."""
        where = f"{place}: " if (place := str(self.place)) else ""
        code = f"[{self.code}]" if self.code else ""
        key = f" {self.key}" if self.key else ""
        phase = f" ({self.phase.in_words})" if self.phase else ""
        return f"{where}{self.severity.value}{code}{key}: {self.message}{phase}"


def error(message: str, place: Place = NOWHERE, *, key: str = "", remedy: str = "", code: str = "") -> Finding:
    """Return a finding of severity error."""
    return Finding(Severity.ERROR, message, place, key, remedy, code)


def warning(message: str, place: Place = NOWHERE, *, key: str = "", remedy: str = "", code: str = "") -> Finding:
    """Return a finding of severity warning."""
    return Finding(Severity.WARNING, message, place, key, remedy, code)


def note(message: str, place: Place = NOWHERE, *, key: str = "", remedy: str = "", code: str = "") -> Finding:
    """Return a finding of severity note."""
    return Finding(Severity.NOTE, message, place, key, remedy, code)
