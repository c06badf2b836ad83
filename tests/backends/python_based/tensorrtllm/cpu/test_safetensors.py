"""Tensors are read as they were written; a damaged file is named."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.errors import EngineError
from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.safetensors import find_tensors

EXACT = [1.5, -2.0, 0.0, 0.0078125]  # in fp16 and bf16 too


def pack(header: Any, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: str = "F32", shape: tuple[int, ...] = (4,), offsets: tuple[int, int] = (0, 16)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    ("dtype", "data"),
    [
        ("F32", np.array(EXACT, "<f4").tobytes()),
        ("F16", np.array(EXACT, "<f2").tobytes()),
        ("BF16", bytes.fromhex("c03f 00c0 0000 003c")),
    ],
)
def test_each_type_is_widened_to_fp32(tmp_path: Path, dtype: str, data: bytes) -> None:
    header = {"__metadata__": {"format": "pt"}, "x": entry(dtype, (2, 2), (4, 4 + len(data)))}
    (tmp_path / "model.safetensors").write_bytes(pack(header, b"____" + data))
    array = find_tensors(tmp_path)["x"].read()
    assert array.dtype == np.float32
    assert array.tolist() == [EXACT[:2], EXACT[2:]]


def test_shards_are_found_through_their_index(tmp_path: Path) -> None:
    for name in "ab":
        data = np.full(4, ord(name), "<f4").tobytes()
        (tmp_path / f"model-{name}.safetensors").write_bytes(pack({name: entry()}, data))
    index = {"weight_map": {"a": "model-a.safetensors", "b": "model-b.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert {name: tensor.read()[0] for name, tensor in find_tensors(tmp_path).items()} == {"a": 97.0, "b": 98.0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as safetensors"),
        (b"version https://git-lfs.github.com/spec/v1", "this is no safetensors file"),
        (struct.pack("<Q", 9) + b"{not json", "cannot be read as safetensors"),
        (pack({"x": entry("I8")}, bytes(16)), "x is I8; the CPU engine takes F32, F16, BF16"),
        (pack({"x": {"dtype": "F32"}}, bytes(16)), "x has no dtype, shape and data_offsets"),
        (pack({"x": entry(shape=(5,))}, bytes(16)), r"x has 16 bytes, its shape \[5\] needs another number"),
        (pack({"x": entry()}, bytes(12)), "x ends beyond the file's [0-9]+ bytes: it is cut off"),
        (pack([1], b""), "cannot be read as safetensors"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(EngineError, match=message) as caught:
        find_tensors(tmp_path)
    assert str(path) in str(caught.value)


def test_an_index_without_a_map_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(EngineError, match="no weight_map"):
        find_tensors(tmp_path)


def test_a_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "gone.safetensors"}}))
    with pytest.raises(EngineError, match=r"gone\.safetensors: cannot be read"):
        find_tensors(tmp_path)
