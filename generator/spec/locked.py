"""A spec's settings as a repository's lock keeps them."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from tritonsmith.generator.spec.deploy import Deploy
from tritonsmith.generator.spec.settings import Hardware, Server
from tritonsmith.generator.spec.sharing import Sharing


def are_settings(value: Any) -> bool:
    """Whether something read from a lock is what `Repository.settings` holds: locks can be edited, or newer than we."""
    if not isinstance(value, dict) or not isinstance(value.get("triton", ""), str):
        return False
    calls = value.get("calls", {})
    try:
        Server.model_validate(value.get("server", {}))
        Hardware.model_validate(value.get("hardware", {}))
        Deploy.model_validate(value.get("deploy", {}))
        Sharing.model_validate(value.get("sharing", {}))
    except ValidationError:
        return False
    return isinstance(calls, dict) and all(
        isinstance(names, list) and all(isinstance(name, str) for name in names) for names in calls.values()
    )
