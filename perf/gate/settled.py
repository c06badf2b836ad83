"""A repository as a server completed it: served again, it starts in a third of the time.

Triton starts every Python model twice, first only to let it complete its configuration. A folder that has the completed
configurations, and links to everything else, needs the second start alone; what is then served is the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import json_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.control import Control
from tritonsmith.generator.repository.names import CONFIG_FILE, LOCK_FILE
from tritonsmith.generator.repository.pbtxt import render_config

Configs = dict[str, dict[str, Any]]  # by model, as the server has them


def served_configs(control: Control) -> Configs:
    """Return the configuration of every model that is ready.

    Raises: ServerError.
    """
    names = sorted({state.name for state in control.index() if state.state == "READY"})
    return {name: control.config(name) for name in names}


def write_settled(repository: Path, configs: Configs, folder: Path) -> Path | None:
    """Write a repository with these configurations and return it; None where one is not what this client knows.

    Everything else is linked, the lock too: it says how the repository wants to be served.
    """
    try:
        texts = {name: render_config(json_format.ParseDict(one, ModelConfig())) for name, one in configs.items()}
    except json_format.ParseError:
        return None
    folder.mkdir(parents=True)
    if (repository / LOCK_FILE).is_file():
        (folder / LOCK_FILE).symlink_to((repository / LOCK_FILE).absolute())
    for name, text in texts.items():
        (folder / name).mkdir()
        for entry in (repository / name).iterdir():
            if entry.name != CONFIG_FILE:
                (folder / name / entry.name).symlink_to(entry.absolute())
        (folder / name / CONFIG_FILE).write_text(text, encoding="utf-8")
    return folder
