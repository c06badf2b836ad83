"""Every error that reaches a user, and the exit status each one ends with.

    TritonsmithError        70  a bug of ours, when raised as itself
    ├── AnswerIsNo           1  the verb asked a question and the answer is no
    ├── UsageError           2  wrong options or arguments
    ├── SpecError            3  the spec cannot be read or makes no sense; carries every finding at once
    ├── RepositoryError      4  a model repository or a pipeline is bad, or may not be written
    ├── ToolMissingError     5  a tool this machine lacks; the hint says how to get it
    ├── ServerError          6  a server did not start, did not load a model, or failed a request
    └── UnstableError        7  the measurement is unstable or inconclusive

Success is 0, an interrupt (Ctrl-C) 130, a termination (SIGTERM) 143.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from tritonsmith.generator.findings import Finding

EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


class TritonsmithError(Exception):
    """What went wrong (with the value), where, and the next step."""

    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, hint: str = "", where: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        hint = f"\n  hint: {self.hint}" if self.hint else ""
        return f"{place}{self.message}{hint}"


class AnswerIsNo(TritonsmithError):  # noqa: N818 - "no" is an answer, not a failure
    """Raised when a verb's own question is answered with no."""

    exit_code = 1


class UsageError(TritonsmithError):
    """Raised for options and arguments that do not fit together."""

    exit_code = 2


class SpecError(TritonsmithError):
    """Raised when a spec is wrong; `findings` holds everything that is wrong with it, not only the first."""

    exit_code = 3

    def __init__(self, message: str, *, hint: str = "", where: str = "", findings: Sequence[Finding] = ()) -> None:
        super().__init__(message, hint=hint, where=where)
        self.findings = tuple(findings)

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *map(str, self.findings)])


class RepositoryError(TritonsmithError):
    """Raised when a repository or a pipeline is bad, or writing it would lose something."""

    exit_code = 4


class ToolMissingError(TritonsmithError):
    """Raised when this machine lacks a tool; the hint says how to get it."""

    exit_code = 5


class ServerError(TritonsmithError):
    """Raised when a server does not start, does not load a model in time, or fails a request."""

    exit_code = 6


class UnstableError(TritonsmithError):
    """Raised when a measurement is too unstable to be believed."""

    exit_code = 7
