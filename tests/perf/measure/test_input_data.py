import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.measure.input_data import made_up_rows, require_input_data, write_input_data


def written(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(path.read_text())["data"]
    return rows


def content(tensor: dict[str, Any]) -> bytes:
    return base64.b64decode(tensor["content"]["b64"])


def metadata(*inputs: tuple[str, str, list[int]]) -> dict[str, Any]:
    return {"inputs": [{"name": name, "datatype": datatype, "shape": shape} for name, datatype, shape in inputs]}


def test_bytes_go_behind_their_length(tmp_path: Path) -> None:
    image = b"\x89PNG\r\n"
    path = write_input_data(tmp_path / "in.json", [{"image": np.array([image], dtype=object)}])
    [row] = written(path)
    assert content(row["image"]) == b"\x06\x00\x00\x00" + image
    assert row["image"]["shape"] == [1]


def test_text_is_utf8(tmp_path: Path) -> None:
    path = write_input_data(tmp_path / "in.json", [{"x": np.array(["ä", "b"])}])
    assert content(written(path)[0]["x"]) == b"\x02\x00\x00\x00\xc3\xa4\x01\x00\x00\x00b"


def test_numbers_are_their_bytes_in_row_major_order(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    path = write_input_data(tmp_path / "in.json", [{"x": array}])
    tensor = written(path)[0]["x"]
    assert tensor["shape"] == [3, 2]
    assert np.frombuffer(content(tensor), np.float32).tolist() == array.ravel().tolist()


def test_made_up_rows_leave_out_the_batch_axis_and_close_open_axes() -> None:
    rows = made_up_rows(metadata(("x", "FP32", [-1, 3, -1])), {"max_batch_size": 8})
    assert rows[0]["x"].shape == (3, 1)
    assert made_up_rows(metadata(("x", "FP32", [-1, 3])), {"max_batch_size": 0})[0]["x"].shape == (1, 3)


@pytest.mark.parametrize(
    "wire",
    ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BF16"],
)
def test_made_up_numbers_are_small_and_finite(wire: str) -> None:
    [x] = {row["x"].dtype for row in made_up_rows(metadata(("x", wire, [64])), {})}
    values = made_up_rows(metadata(("x", wire, [64])), {})[0]["x"]
    if wire == "BF16":
        assert x == np.uint16
        values = (values.astype(np.uint32) << 16).view(np.float32)
    assert np.isfinite(values.astype(float)).all()
    assert values.min() >= 0
    assert values.max() < 10
    assert len(set(values.tolist())) > 1


def test_made_up_rows_differ_and_repeat() -> None:
    rows = made_up_rows(metadata(("x", "BYTES", [2])), {})
    again = made_up_rows(metadata(("x", "BYTES", [2])), {})
    assert len({row["x"].tobytes() if row["x"].dtype != object else tuple(row["x"]) for row in rows}) == 16
    assert [tuple(row["x"]) for row in rows] == [tuple(row["x"]) for row in again]
    assert all(len(value) == 16 for row in rows for value in row["x"])


def test_optional_inputs_are_left_out() -> None:
    config = {"input": [{"name": "x"}, {"name": "y", "optional": True}]}
    assert list(made_up_rows(metadata(("x", "FP32", [1]), ("y", "FP32", [1])), config)[0]) == ["x"]


def test_an_unknown_data_type_is_named() -> None:
    with pytest.raises(UsageError, match="'x' has data type FP8"):
        made_up_rows(metadata(("x", "FP8", [1])), {})


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no input data"), ("{", "is not JSON"), ("[1]", "has no rows"), ('{"data": []}', "has no rows")],
)
def test_a_file_that_holds_no_rows_is_refused(content: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=said):
        require_input_data(path)


def test_what_is_written_is_not_refused(tmp_path: Path) -> None:
    require_input_data(write_input_data(tmp_path / "in.json", [{"x": np.zeros(2)}]))
