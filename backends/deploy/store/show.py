"""What a push and a pull did, for people."""

from __future__ import annotations

from tritonsmith.backends.deploy.store.pull import Pull
from tritonsmith.backends.deploy.store.push import Push
from tritonsmith.generator import console

_SHOWN = 20


def show_push(pushed: Push, *, is_dry: bool) -> None:
    """Print where the repository is; what was written, and how servers follow, as progress."""
    would = "would be " if is_dry else ""
    counts = [f"{len(pushed.uploaded)} objects {would}uploaded ({_mib(pushed.uploaded_bytes)})"]
    counts += [f"{len(pushed.copied)} {would}copied from the last push"] if pushed.copied else []
    counts += [f"{len(pushed.present)} there already"] if pushed.present else []
    console.say(", ".join(counts))
    for digest in pushed.removed:
        console.say(f"removed {digest}")
    console.result(pushed.url)
    if not is_dry and pushed.previous != pushed.digest:
        console.tip(f"servers follow with `deploy: {{repository: {{store: {pushed.url}}}}}` in the spec")


def show_pull(pulled: Pull, *, is_dry: bool) -> None:
    """Print which push the folder now holds; what changed, as progress."""
    changes = {"+": pulled.added, "~": pulled.changed, "-": pulled.removed}
    lines = [f"{sign} {path}" for sign, paths in changes.items() for path in paths]
    for line in lines[:_SHOWN]:
        console.say(line)
    if len(lines) > _SHOWN:
        console.say(f"... and {len(lines) - _SHOWN} more")
    would = "would be " if is_dry else ""
    console.say(
        f"{len(lines)} files {would}changed ({_mib(pulled.fetched_bytes)} fetched), {pulled.unchanged} unchanged"
    )
    console.result(pulled.url)


def _mib(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"
