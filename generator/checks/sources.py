"""The text around findings: read once, only of files that have findings, and nowhere but below the given folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tritonsmith.generator.files import open_regular

MOST_BYTES = 4 << 20  # more is no text that a person wrote
_TEXTS = (".pbtxt", ".py", ".yaml", ".yml", ".json")


class Sources:
    """The lines of the user's files below some folders; a file that is no readable text there has none."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        self._folders = [os.path.realpath(folder) for folder in folders]
        self._lines: dict[str, list[str]] = {}

    def lines(self, file: str) -> list[str]:
        """Return a file's lines, as they count for findings."""
        if file not in self._lines:
            self._lines[file] = self._read(file) if file.endswith(_TEXTS) else []
        return self._lines[file]

    def line(self, file: str, number: int) -> str:
        """Return a line of a file by its number from 1, empty where there is none."""
        lines = self.lines(file) if number else []
        return lines[number - 1] if 0 < number <= len(lines) else ""

    def _read(self, file: str) -> list[str]:
        path = os.path.realpath(file)  # a link may lead out of the repository
        if not any(path.startswith(f"{folder.rstrip(os.sep)}{os.sep}") for folder in self._folders):
            return []
        try:
            with open_regular(Path(path)) as opened:
                text = opened.read(MOST_BYTES + 1)
        except (OSError, ValueError):
            return []
        return text.decode("utf-8-sig", errors="replace").split("\n") if len(text) <= MOST_BYTES else []
