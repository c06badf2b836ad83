"""Fixtures of the readers: safetensors files."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

WriteWeights = Callable[..., Path]


@pytest.fixture
def write_weights() -> WriteWeights:
    """Return a function that writes a safetensors file of one tensor."""

    def write(path: Path, *, shape: tuple[int, ...] = (2, 3), data_type: str = "BF16", cut: int = 0) -> Path:
        size = {"BF16": 2, "F32": 4}[data_type]
        for length in shape:
            size *= length
        header = {
            "__metadata__": {"format": "pt"},
            "w": {"dtype": data_type, "shape": shape, "data_offsets": [0, size]},
        }
        text = json.dumps(header).encode()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(size - cut))
        return path

    return write
