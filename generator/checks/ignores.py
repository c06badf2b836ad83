"""Ignore comments: `# tritonsmith: ignore[TS403]` in a config.pbtxt, a spec, or a Python file.

One rule for all three. A comment behind something holds for its line; one on a line of its own holds for the next line
that holds something; one before everything else of the file holds for the whole file. Several codes stand between
commas; the beginning of a code (TS4) stands for all that begin so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tritonsmith.generator.checks.registry import all_checks, check_comments
from tritonsmith.generator.findings import Finding, Place, warning
from tritonsmith.generator.suggest import did_you_mean

_COMMENT = re.compile(r"#\s*tritonsmith:\s*ignore\[([^\]]*)\]")
WHOLE_FILE = 0


@dataclass(frozen=True)
class Ignore:
    """One ignore comment: its codes, the line for which it holds (`WHOLE_FILE` for all), and where it stands."""

    codes: tuple[str, ...]
    line: int
    place: Place

    def holds_for(self, finding: Finding) -> bool:
        """Whether it silences a finding of its file."""
        is_here = self.line in (WHOLE_FILE, finding.place.line)
        return is_here and bool(self.codes) and finding.code.startswith(self.codes)


def read_ignores(lines: Sequence[str], file: str) -> list[Ignore]:
    """Return the ignore comments of a file."""
    found = []
    is_top = True
    for number, line in enumerate(lines, start=1):
        is_own = line.lstrip()[:1] in ("", "#")
        is_top = is_top and is_own
        if "tritonsmith" not in line:
            continue
        for match in _COMMENT.finditer(line):
            codes = tuple(code for part in match[1].split(",") if (code := part.strip()))
            holds = number if not is_own else WHOLE_FILE if is_top else _next_line(lines, number)
            found.append(Ignore(codes, holds, Place(file, number, match.start() + 1)))
    return found


@check_comments("TS001", "an ignore comment names codes that there are")
def ignored_codes_exist(ignores: Sequence[Ignore]) -> Iterator[Finding]:
    """A misspelt code silences nothing, and one that a later version gave up says nothing any more.

    Triton does not read these comments. A blueprint's own rules (TL...) are not known here and not judged.
    """
    known = list(all_checks())
    for ignore in ignores:
        for code in ignore.codes or ("",):
            if code.startswith("TL"):
                continue
            if not code or not any(one.startswith(code) for one in known):
                message = f"there is no check '{code}' to ignore.{did_you_mean(code, known)}"
                remedy = "tritonsmith check --explain all lists the codes"
                yield warning(message, ignore.place, remedy=remedy)


def _next_line(lines: Sequence[str], number: int) -> int:
    """Return the number of the first line behind `number` that holds more than a comment, -1 where none does."""
    for index in range(number, len(lines)):
        if lines[index].lstrip()[:1] not in ("", "#"):
            return index + 1
    return -1
