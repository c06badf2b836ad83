"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tritonsmith.generator.errors import UsageError


def write_by_rename(path: Path, data: bytes) -> Path:
    """Write a file so that a reader, or a crash, finds the old content or the new.

    Raises: UsageError where the disk does not take it.
    """
    stage = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".stage-", delete=False) as file:
            stage = Path(file.name)
            file.write(data)
        stage.chmod(0o644)
        os.replace(stage, path)  # noqa: PTH105 - Path.replace is the same; this name says what it does
    except OSError as problem:
        if stage is not None:
            stage.unlink(missing_ok=True)
        raise UsageError(
            f"cannot write {path}: {problem.strerror}", hint="free some space, or choose another --output"
        ) from None
    return path
