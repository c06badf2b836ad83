"""What a push and a pull did, for people and for machines."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tritonsmith.backends.deploy.store.push import Push
from tritonsmith.generator import console


def push_json(pushed: Push) -> dict[str, Any]:
    """Return a push as JSON."""
    return asdict(pushed)


def show_push(pushed: Push, *, is_dry: bool) -> None:
    """Print where the repository is; what was written, and how it is served from there, as progress."""
    mib = pushed.uploaded_bytes / 2**20
    would = "would be " if is_dry else ""
    counts = [f"{len(pushed.uploaded)} objects {would}uploaded ({mib:.1f} MiB)"]
    counts += [f"{len(pushed.copied)} {would}copied from the last push"] if pushed.copied else []
    counts += [f"{len(pushed.present)} there already"] if pushed.present else []
    console.say(", ".join(counts))
    for digest in pushed.removed:
        console.say(f"removed {digest}")
    console.result(pushed.url)
    if not is_dry and pushed.previous != pushed.digest:
        console.tip(
            f"servers take it as `deploy: {{repository: {{store: {pushed.url}}}}}`; older pushes stay as they are"
        )
