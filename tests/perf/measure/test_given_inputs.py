from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.base import ModelMetadata, TensorSpec
from tritonsmith.backends.client.infer import Target
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.measure.given_inputs import expand_inputs, given_rows


def model(*inputs: TensorSpec, max_batch_size: int = 8) -> Target:
    return Target(ModelMetadata("m", ("1",), "", inputs, ()), ModelConfig(max_batch_size=max_batch_size))


IMAGE, FLOATS = TensorSpec("image", "BYTES", (-1, 1)), TensorSpec("x", "FP32", (-1, 2))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("b.png", "a.png", "c.jpg", ".hidden.png"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "folder.png").mkdir()
    return tmp_path


def test_a_file_is_its_bytes_without_a_batch_dimension(images: Path) -> None:
    [row] = given_rows([f"image=@{images / 'a.png'}"], model(IMAGE))
    assert (row["image"].shape, row["image"].item()) == ((1,), b"a.png")


@pytest.mark.parametrize(
    ("value", "names"), [("*.png", ["a.png", "b.png"]), ("", ["a.png", "b.png", "c.jpg"]), ("[c]*", ["c.jpg"])]
)
def test_a_pattern_and_a_folder_are_a_row_for_each_file_by_name(images: Path, value: str, names: list[str]) -> None:
    rows = given_rows([f"image=@{images / value}"], model(IMAGE))
    assert [row["image"].item().decode() for row in rows] == names


def test_an_input_given_again_is_another_row_also_where_the_model_does_not_batch() -> None:
    rows = given_rows(["x=[1, 2]", "x=[3, 4]"], model(TensorSpec("x", "FP32", (2,)), max_batch_size=0))
    assert [row["x"].tolist() for row in rows] == [[1, 2], [3, 4]]


def test_a_batch_in_one_value_is_its_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(6, dtype=np.float32).reshape(3, 2))
    rows = given_rows([f"x=@{tmp_path / 'x.npy'}"], model(FLOATS))
    assert [row["x"].tolist() for row in rows] == [[0, 1], [2, 3], [4, 5]]


def test_an_input_given_once_is_in_every_row() -> None:
    rows = given_rows(["image=a", "image=b", "x=[1, 2]"], model(IMAGE, FLOATS))
    assert [(row["image"].item(), row["x"].tolist()) for row in rows] == [(b"a", [1, 2]), (b"b", [1, 2])]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["image=a", "image=b", "image=c", "x=[1, 2]", "x=[3, 4]"], "differ in number: 3 of 'image', 2 of 'x'"),
        (["image=a", "x=[[1, 2], [3, 4]]"], "unequal numbers of rows: 1 of 'image', 2 of 'x'"),
        (["imag=a"], "no input 'imag'. Did you mean 'image'"),
        (["image=a"], "also needs x"),
        (["image=a", "x=[1, 2, 3]"], "'x'"),
    ],
)
def test_what_the_model_does_not_take_is_refused(texts: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        given_rows(texts, model(IMAGE, FLOATS))


@pytest.mark.parametrize(("text", "said"), [("image", "is no input"), ("image=@*.gif", "no file in"), ("=x", "is no")])
def test_what_is_no_input_is_refused_without_a_server(
    text: str, said: str, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(images)
    with pytest.raises(UsageError, match=said):
        expand_inputs([text])
