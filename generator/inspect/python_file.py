"""A Python model's file as a tree; nothing of it is run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tritonsmith.generator.repository.contents import first_bytes
from tritonsmith.generator.repository.core import File

if TYPE_CHECKING:
    import ast

# Far more than a model.py by hand; `ast.parse` takes about a second for each megabyte.
LARGEST_FILE_BYTES = 1 << 20


@dataclass(frozen=True)
class PythonFile:
    """A file's tree; None where it has none: `fault` then says why, `line` and `column` (from 1) where.

    `is_broken` where Python itself refuses the text; otherwise we could not read it, and nothing is known of it.
    `source` is the file itself, in which a word is found sooner than in the tree.
    """

    tree: ast.Module | None
    fault: str = ""
    line: int = 0
    column: int = 0
    is_broken: bool = False
    source: bytes = b""

    def line_at(self, number: int) -> str:
        """Return a line of the source, counted from 1; empty where there is none."""
        lines = self.source.splitlines()[:number]
        return lines[-1].decode(errors="replace") if 0 < number == len(lines) else ""


def read_python(file: File) -> PythonFile:
    """Return a file's tree, or why it has none."""
    try:
        data = read_source(file)
    except OSError as problem:
        return PythonFile(None, f"cannot read it: {problem.strerror}")
    if len(data) > LARGEST_FILE_BYTES:
        return PythonFile(None, f"more than {LARGEST_FILE_BYTES:,} bytes")
    return replace(parse_python(data), source=data)


def parse_python(source: bytes) -> PythonFile:
    """Return a source's tree, or what Python says against it."""
    import ast
    import warnings

    try:
        with warnings.catch_warnings():  # of escapes such as "\d"
            warnings.simplefilter("ignore")
            return PythonFile(ast.parse(source))
    except SyntaxError as problem:
        return PythonFile(None, problem.msg, problem.lineno or 0, problem.offset or 0, is_broken=True)
    except ValueError as problem:  # a null byte, before Python 3.12
        return PythonFile(None, str(problem), is_broken=True)
    except (RecursionError, MemoryError):
        return PythonFile(None, "nested too deeply to be read")


def read_source(file: File) -> bytes:
    """Return a file's bytes, of a file that is too large one byte too many.

    Raises: OSError.
    """
    return first_bytes(file, LARGEST_FILE_BYTES + 1)
