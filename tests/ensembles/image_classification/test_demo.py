from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

pytest.importorskip("onnxruntime", reason="the extra `embedded` brings onnxruntime")
from tritonsmith.ensembles.image_classification.decode import ImageError
from tritonsmith.ensembles.image_classification.reference import DEMO, Classification, classify, read_held_out


def test_held_out_digits_are_recognised() -> None:
    held_out = read_held_out()
    answers = classify([image.data for image in held_out])
    right = [
        isinstance(answer, Classification) and answer.labels[0] == image.label
        for answer, image in zip(answers, held_out, strict=True)
    ]
    assert len(held_out) == 360
    assert {image.label for image in held_out} == set("0123456789")
    assert np.mean(right) >= 0.98


def test_the_images_to_try_by_hand_are_recognised() -> None:
    paths = sorted((DEMO / "images").iterdir())
    answers = classify([path.read_bytes() for path in paths])
    assert len(paths) == 12
    for path, answer in zip(paths, answers, strict=True):
        assert isinstance(answer, Classification)
        assert answer.labels == (path.name[0],)


def test_an_image_that_fails_has_its_error_as_the_answer() -> None:
    (answer,) = classify([b"no image"])
    assert isinstance(answer, ImageError)


def test_the_model_is_small_and_old_enough_for_every_release() -> None:
    model = onnx.load(DEMO / "digits.onnx")
    assert (DEMO / "digits.onnx").stat().st_size < 300_000
    assert model.ir_version <= 8
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]


@pytest.mark.slow
def test_the_training_script_reproduces_the_committed_files(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the extra `reference` brings scikit-learn, which holds the digits")
    from tritonsmith.ensembles.image_classification.train import write_demo

    write_demo(tmp_path)
    made, committed = (onnx.load(folder / "digits.onnx").graph for folder in (tmp_path, DEMO))
    assert made.node == committed.node
    for mine, theirs in zip(made.initializer, committed.initializer, strict=True):
        assert mine.name == theirs.name
        # The largest weight is 12; the order of a BLAS's sums moves none by more than 1e-10.
        assert np.allclose(numpy_helper.to_array(mine), numpy_helper.to_array(theirs), rtol=0, atol=1e-4)
    assert (tmp_path / "labels.txt").read_bytes() == (DEMO / "labels.txt").read_bytes()
    for image, known in zip(read_held_out(tmp_path / "heldout.zip"), read_held_out(), strict=True):
        assert (image.name, image.label) == (known.name, known.label)
        assert np.array_equal(pixels(image.data), pixels(known.data))


@pytest.mark.slow
def test_no_held_out_image_is_among_the_training_images() -> None:
    pytest.importorskip("sklearn", reason="the extra `reference` brings scikit-learn, which holds the digits")
    from tritonsmith.ensembles.image_classification.train import read_digits

    train, _ = read_digits()
    seen = {image.tobytes() for image in train.pixels}
    assert len(train.labels) == 1437
    assert not any(pixels(image.data).tobytes() in seen for image in read_held_out())


def pixels(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)
