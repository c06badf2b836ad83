"""Train the demo's classifier and write its files: python -m tritonsmith.ensembles.image_classification.train [FOLDER].

Scikit-learn's handwritten digits (8 x 8 pixels, 0 to 16) become 8-bit PNGs; the network is trained on exactly the
pixels that preprocessing makes of them. It has one hidden layer whose weights are drawn from a fixed seed, so that the
output layer is the solution of a linear system (ridge regression) instead of the end of a long descent: another
machine, BLAS or number of threads reproduces the weights to rounding (a test holds them to an absolute 1e-4).
Width and ridge were chosen by 5-fold cross-validation on the training part (0.987); the held-out part chose nothing.
"""

from __future__ import annotations

import io
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.datasets import load_digits

from tritonsmith.ensembles.image_classification.decode import normalise
from tritonsmith.ensembles.image_classification.reference import DEMO, SETTINGS, recipe_of

SEED = 20240229
HELD_OUT = 360  # of 1,797: a fifth
HIDDEN = 512
RIDGE = 1e-4  # per training image
# The fixed time stamp makes the archive the same on every run; 1980 is where zip's calendar begins.
ZIP_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Digits:
    """Handwritten digits: `pixels` [n, 8, 8, 1] from 0 to 255, `labels` [n]."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def part(self, rows: NDArray[np.int64]) -> Digits:
        """Return some of the digits."""
        return Digits(self.pixels[rows], self.labels[rows])


@dataclass(frozen=True)
class Network:
    """logits = relu(x @ hidden + hidden_bias) @ out + out_bias, x [n, 64]."""

    hidden: NDArray[np.float64]  # [64, HIDDEN]
    hidden_bias: NDArray[np.float64]
    out: NDArray[np.float64]  # [HIDDEN, 10]
    out_bias: NDArray[np.float64]


def read_digits() -> tuple[Digits, Digits]:
    """Return the training part and the held-out part, split by a fixed seed."""
    source = load_digits()
    values = source.images.astype(np.int64)
    pixels = ((values * 255 + 8) // 16).astype(np.uint8)[..., np.newaxis]  # 0..16 -> 0..255, no two levels alike
    digits = Digits(pixels, source.target.astype(np.int64))
    # RandomState: its stream is frozen for ever (NEP 19), default_rng's is not.
    order = np.random.RandomState(SEED).permutation(len(pixels))
    return digits.part(np.sort(order[HELD_OUT:])), digits.part(np.sort(order[:HELD_OUT]))


def fit(digits: Digits) -> Network:
    """Return the network for the training part; deterministic."""
    images = normalise(digits.pixels, recipe_of(SETTINGS)).reshape(len(digits.labels), -1).astype(np.float64)
    random = np.random.RandomState(SEED)
    hidden = random.standard_normal((images.shape[1], HIDDEN))
    hidden /= np.linalg.norm(hidden, axis=0)
    # Each unit's threshold passes through one training image, so that every unit tells some images from others.
    anchors = images[random.randint(len(images), size=HIDDEN)]
    hidden_bias = -(anchors * hidden.T).sum(axis=1)
    features = np.maximum(images @ hidden + hidden_bias, 0)
    features = np.hstack([features, np.ones((len(features), 1))])
    targets = np.eye(10)[digits.labels] * 20 - 10  # far enough apart that softmax is sure of a clear image
    normal = features.T @ features + RIDGE * len(images) * np.eye(features.shape[1])
    weights = np.linalg.solve(normal, features.T @ targets)
    return Network(hidden, hidden_bias, weights[:-1], weights[-1])


def onnx_model(network: Network) -> onnx.ModelProto:
    """Return the network as ONNX: pixels [batch, 1, 8, 8] -> scores [batch, 10], logits."""
    weights = {
        "hidden": network.hidden,
        "hidden_bias": network.hidden_bias,
        "out": network.out,
        "out_bias": network.out_bias,
    }
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["pixels"], ["flat"], axis=1),
            helper.make_node("Gemm", ["flat", "hidden", "hidden_bias"], ["before"]),
            helper.make_node("Relu", ["before"], ["after"]),
            helper.make_node("Gemm", ["after", "out", "out_bias"], ["scores"]),
        ],
        "digits",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    # onnx's defaults are newer than what ONNX Runtime accepts; these are old enough for every Triton release in use.
    model = helper.make_model(
        graph, producer_name="tritonsmith", ir_version=8, opset_imports=[helper.make_opsetid("", 17)]
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a grey image [height, width, 1] as PNG."""
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0]).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def write_demo(folder: Path) -> None:
    """Train, and write the demo's files: model, labels, held-out images, and a dozen images to try by hand."""
    train, held_out = read_digits()
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "digits.onnx").write_bytes(onnx_model(fit(train)).SerializeToString(deterministic=True))
    (folder / "labels.txt").write_text("".join(f"{digit}\n" for digit in range(10)))
    with zipfile.ZipFile(folder / "heldout.zip", "w") as archive:
        for row, (pixels, label) in enumerate(zip(held_out.pixels, held_out.labels, strict=True)):
            archive.writestr(zipfile.ZipInfo(f"{label}/{row:03}.png", ZIP_TIME), png(pixels))
    for digit in range(10):
        pixels = held_out.pixels[held_out.labels == digit][1]
        (folder / "images" / f"{digit}.png").write_bytes(png(pixels))
    for digit in (3, 7):  # as a camera would give them: bigger, in colour, JPEG
        pixels = held_out.pixels[held_out.labels == digit][2]
        picture = Image.fromarray(pixels[..., 0]).resize((96, 96), Image.Resampling.BICUBIC).convert("RGB")
        picture.save(folder / "images" / f"{digit}-photo.jpg", quality=90)


if __name__ == "__main__":
    write_demo(Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO)
