"""Whether what this Python refuses may be the grammar of a newer one."""

from __future__ import annotations

import re
import sys

Version = tuple[int, int]

# Since when, and how a line looks that is written in it. Source: "What's New in Python".
_GRAMMAR: tuple[tuple[Version, re.Pattern[str]], ...] = (
    ((3, 11), re.compile(r"\bexcept\s*\*|\[.*\*|:\s*\*")),
    ((3, 12), re.compile(r"^\s*type\s+\w+\s*[=\[]|\b(?:def|class)\s+\w+\s*\[")),
    ((3, 13), re.compile(r"\b(?:def|class|type)\s+\w+\s*\[[^\]]*=")),
    ((3, 14), re.compile(r"""\bexcept\s+[\w.]+\s*,|\b[rR]?[tT][rR]?["']""")),
)
_FREE_STRINGS = (3, 12)  # from when an f-string may hold its own quotes, backslashes, comments and ends of lines
_F_STRING = re.compile(r"""\b[rR]?[fF][rR]?["']""")


def may_be_newer(line: str, fault: str, python: Version | None, running: Version = sys.version_info[:2]) -> bool:
    """Whether a line that the running Python refuses may be right for another one, None where that may be any."""
    grammars = [since for since, pattern in _GRAMMAR if pattern.search(line)]
    if "f-string" in fault or ("unterminated string" in fault and _F_STRING.search(line)):
        grammars.append(_FREE_STRINGS)
    return any(running < since and (python is None or since <= python) for since in grammars)
