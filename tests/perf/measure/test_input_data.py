import base64
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.base import ModelMetadata, TensorSpec
from tritonsmith.backends.client.infer import Target
from tritonsmith.backends.client.made_up import made_up_rows
from tritonsmith.backends.client.tensors import Array
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.measure.input_data import read_rows, require_input_data, write_input_data

FLOATS = base64.b64encode(struct.pack("<3f", 1, 2, 3)).decode()


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


def read(folder: Path, value: Any, datatype: str, shape: tuple[int, ...], max_batch_size: int = 8) -> Array:
    """Return the first row's tensor of a model with this input; `shape` with the batch axis, if there is one."""
    (folder / "in.json").write_text(json.dumps({"data": [{"x": value}]}))
    metadata = ModelMetadata("digits", ("1",), "", (TensorSpec("x", datatype, shape),), ())
    [row] = read_rows(folder / "in.json", Target(metadata, ModelConfig(max_batch_size=max_batch_size)), 4)
    return row["x"]


@pytest.mark.parametrize(
    "value",
    [
        [1.0, 2.0, 3.0],
        {"content": [1.0, 2.0, 3.0], "shape": [3]},
        {"b64": FLOATS},
        {"content": {"b64": FLOATS}},
        {"content": {"b64": FLOATS}, "shape": [3]},
    ],
)
def test_each_form_of_a_row_is_read_as_perf_analyzer_reads_it(value: Any, tmp_path: Path) -> None:
    for shape in ((-1, 3), (-1, -1)):
        found = read(tmp_path, value, "FP32", shape)
        assert (str(found.dtype), found.tolist()) == ("float32", [1.0, 2.0, 3.0])


def test_plain_values_take_the_shape_of_the_model(tmp_path: Path) -> None:
    assert read(tmp_path, list(range(24)), "FP32", (-1, 2, 3, 4)).shape == (2, 3, 4)
    assert read(tmp_path, list(range(24)), "FP32", (2, 3, 4), max_batch_size=0).shape == (2, 3, 4)
    assert read(tmp_path, {"content": list(range(24)), "shape": [6, 4]}, "FP32", (-1, -1, -1)).shape == (6, 4)


def test_strings_are_read_in_both_forms(tmp_path: Path) -> None:
    encoded = base64.b64encode(struct.pack("<I", 2) + b"hi").decode()
    for value in (["hi"], {"content": {"b64": encoded}, "shape": [1]}, {"b64": encoded}):
        assert read(tmp_path, value, "BYTES", (-1, -1)).tolist() == [b"hi"]


def test_values_that_do_not_fit_the_model_are_refused(tmp_path: Path) -> None:
    wrong: list[Any] = [[1, 2], ["a"], {"content": {}}, {"content": [1, 2, 3], "shape": [4]}, {"b64": "AAAA"}, "a"]
    for value in wrong:
        with pytest.raises(UsageError, match=r"no value for input 'x', FP32 \[3\]"):
            read(tmp_path, value, "FP32", (-1, 3))


@pytest.mark.parametrize("datatype", ["FP32", "BF16", "INT64", "BOOL", "BYTES"])
def test_rows_that_are_written_are_read_again(datatype: str, tmp_path: Path) -> None:
    shape = [-1, 2, 3]
    rows = made_up_rows(metadata(("x", datatype, shape)), {"max_batch_size": 8})
    spec = ModelMetadata("digits", ("1",), "", (TensorSpec("x", datatype, tuple(shape)),), ())
    path = write_input_data(tmp_path / "in.json", rows)
    again = read_rows(path, Target(spec, ModelConfig(max_batch_size=8)), 16)
    assert [row["x"].tolist() for row in again] == [row["x"].tolist() for row in rows]


def test_sequences_have_no_rows(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text(json.dumps({"data": [[{"x": [1]}, {"x": [2]}]]}))
    target = Target(ModelMetadata("digits", ("1",), "", (), ()), ModelConfig())
    assert read_rows(tmp_path / "in.json", target, 4) == []
