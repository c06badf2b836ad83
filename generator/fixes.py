"""Fixes: remedies of findings as edits of a config.pbtxt, or of the folder around it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReplaceText:
    """Put `new` where `old` stands, at the finding's place."""

    old: str
    new: str


@dataclass(frozen=True)
class SetField:
    """Give the field at a dotted path this text as its value, adding the field where it is missing.

    The path is one of `find_spans`, e.g. `ensemble_scheduling.step[0].model_version`; the message around the field
    must be there. `text` is as config.pbtxt writes it: `-1`, `"a string"`, `{ }` for an empty message.
    """

    path: str
    text: str


@dataclass(frozen=True)
class RemoveField:
    """Take away the field at a dotted path, with its value."""

    path: str


@dataclass(frozen=True)
class AddFile:
    """Write an empty file, at a path relative to the model's folder: what keeps an empty folder alive."""

    path: str


Fix = ReplaceText | SetField | RemoveField | AddFile
