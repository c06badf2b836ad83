"""Where we keep what belongs to the user and to no project: tools, hashes of big files, what is to be undone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def home_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return $TRITONSMITH_HOME, else tritonsmith in the user's cache folder."""
    if chosen := environment.get("TRITONSMITH_HOME"):
        return Path(chosen).expanduser().absolute()
    cache = environment.get("XDG_CACHE_HOME") or f"{environment.get('HOME', '/nonexistent')}/.cache"
    return Path(cache) / "tritonsmith"


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return $TRITONSMITH_HOME/state, else tritonsmith in the user's state folder: what must outlive a cache."""
    if environment.get("TRITONSMITH_HOME"):
        return home_folder(environment) / "state"
    state = environment.get("XDG_STATE_HOME") or f"{environment.get('HOME', '/nonexistent')}/.local/state"
    return Path(state) / "tritonsmith"
