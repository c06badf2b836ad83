"""What a push and a pull did, for people: line by line beside the URL, which is the result."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith.backends.deploy.store.pull import Pull
from tritonsmith.backends.deploy.store.push import Push

_SHOWN = 20


def push_lines(pushed: Push, *, is_dry: bool) -> Iterator[str]:
    """Yield what was written and removed, and how servers follow."""
    would = "would be " if is_dry else ""
    counts = [f"{len(pushed.uploaded)} objects {would}uploaded ({_mib(pushed.uploaded_bytes)})"]
    counts += [f"{len(pushed.copied)} {would}copied from the last push"] if pushed.copied else []
    counts += [f"{len(pushed.present)} there already"] if pushed.present else []
    yield ", ".join(counts)
    for digest in pushed.removed:
        yield f"{would}removed: {digest}"
    if pushed.unpruned:
        yield f"note: all is pushed, but old pushes could not be removed; the next push tries: {pushed.unpruned}"
    if not is_dry and pushed.previous != pushed.digest:
        yield f"TIP: servers follow with `deploy: {{repository: {{store: {pushed.url}}}}}` in the spec"


def pull_lines(pulled: Pull, *, is_dry: bool) -> Iterator[str]:
    """Yield what changed in the folder."""
    changes = {"+": pulled.added, "~": pulled.changed, "-": pulled.removed}
    lines = [f"{sign} {path}" for sign, paths in changes.items() for path in paths]
    yield from lines[:_SHOWN]
    if len(lines) > _SHOWN:
        yield f"... and {len(lines) - _SHOWN} more"
    would = "would be " if is_dry else ""
    yield f"{len(lines)} files {would}changed ({_mib(pulled.fetched_bytes)} fetched), {pulled.unchanged} unchanged"


def _mib(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"
