"""TensorRT-LLM's versions as numbers, and the span of versions in which a row of a table holds."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TypeVar

Version = tuple[int, int]  # (0, 17) of 0.17.0.post1: the contract changes between minor versions alone

# Source: the templates of 0.11 take text as [-1]; our tables start where they became [1]. After 1.2 the engine path,
# the C++ backend and its templates were removed (TensorRT-LLM #15907).
OLDEST: Version = (0, 12)
NEWEST: Version = (1, 2)


def parse_version(text: str) -> Version:
    """Return the major and minor number of `0.17.0.post1`; (0, 0) where there are none."""
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


@dataclass(frozen=True)
class Spanned:
    """A row that came with version `since` and was gone with version `until`; empty is always."""

    since: str = ""
    until: str = ""

    def holds_in(self, version: Version) -> bool:
        """Whether the row is part of that version."""
        return parse_version(self.since) <= version and (not self.until or version < parse_version(self.until))


R = TypeVar("R", bound=Spanned)


def spanning(rows: tuple[R, ...], since: str = "", until: str = "") -> tuple[R, ...]:
    """Return rows that came and went together."""
    return tuple(replace(row, since=since, until=until) for row in rows)
