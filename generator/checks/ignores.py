"""Ignore comments: `# tritonsmith: ignore[TS403]` in a config.pbtxt, a spec, or a Python file.

One rule for all three. A comment behind something holds for its line; one on a line of its own holds for the next line
that holds something; one before everything else of the file holds for the whole file. Several codes stand between
commas; the beginning of a code (TS4) stands for all that begin so.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tritonsmith.generator.checks.registry import all_checks, check_comments
from tritonsmith.generator.findings import Finding, Place, warning
from tritonsmith.generator.suggest import did_you_mean

# A comment ends where the next begins: what is never closed is looked through once.
_COMMENT = re.compile(r"#\s*tritonsmith:\s*ignore\b(?:\[([^\]\[#]*)\])?")
WHOLE_FILE = 0


@dataclass(frozen=True)
class Ignore:
    """One ignore comment: its codes, the line for which it holds (`WHOLE_FILE` for all), and where it stands."""

    codes: tuple[str, ...]
    line: int
    place: Place


def read_ignores(lines: Sequence[str], file: str) -> list[Ignore]:
    """Return the ignore comments of a file; one that names no codes silences nothing."""
    comments = [(number, match) for number, line in enumerate(lines, 1) for match in _comments(line)]
    holding = [number for number, line in enumerate(lines, 1) if line.lstrip()[:1] not in ("", "#")] if comments else []
    found = []
    for number, match in comments:
        behind = bisect_left(holding, number)  # the first line from here on that holds more than a comment
        line = WHOLE_FILE if behind == 0 and number not in holding[:1] else (holding[behind:] or [-1])[0]
        codes = tuple(code for part in (match[1] or "").split(",") if (code := part.strip()))
        found.append(Ignore(codes, line, Place(file, number, match.start() + 1)))
    return found


def _comments(line: str) -> Iterator[re.Match[str]]:
    return _COMMENT.finditer(line) if "tritonsmith" in line else iter(())


@check_comments("TS001", "an ignore comment names codes that there are")
def ignored_codes_exist(ignores: Sequence[Ignore]) -> Iterator[Finding]:
    """A misspelt code silences nothing, and one that a later version gave up says nothing any more.

    Triton does not read these comments. A blueprint's own rules (TL...) are not known here and not judged.
    """
    known = list(all_checks())
    for ignore in ignores:
        if not ignore.codes:
            message = "an ignore comment that names no codes silences nothing"
            yield warning(message, ignore.place, remedy="name them in brackets: # tritonsmith: ignore[TS403]")
        for code in ignore.codes:
            if not code.startswith("TL") and not any(one.startswith(code) for one in known):
                message = f"there is no check '{code}' to ignore.{did_you_mean(code, known)}"
                yield warning(message, ignore.place, remedy="tritonsmith check --explain all lists the codes")
