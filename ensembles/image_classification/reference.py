"""The demo's three steps in one Python process: what the served ensemble must agree with, image by image.

It runs the very modules that run inside Triton, and ONNX Runtime directly. Needs the `embedded` extra.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from tritonsmith.ensembles.image_classification.blueprint import Settings, postprocessing_model, preprocessing_model
from tritonsmith.ensembles.image_classification.decode import ImageError, Recipe, prepare_batches, read_recipe
from tritonsmith.ensembles.image_classification.labels import Ranking, ScoresError, rank_batches, read_ranking

FOLDER = Path(__file__).parent
DEMO = FOLDER / "demo"
# The settings of spec.yaml's pipeline (a test holds the two together).
SETTINGS = Settings(file="demo/digits.onnx", labels="demo/labels.txt", side=8, channels=1)


@dataclass(frozen=True)
class HeldOutImage:
    """An image that training never saw, and what it shows."""

    name: str
    data: bytes
    label: str


@dataclass(frozen=True)
class Classification:
    """The best labels of one image, best first, with their scores."""

    labels: tuple[str, ...]
    scores: tuple[float, ...]


def read_held_out(archive: Path = DEMO / "heldout.zip") -> list[HeldOutImage]:
    """Return the images of a zip file whose folders are their labels: `7/012.png` shows a 7."""
    with zipfile.ZipFile(archive) as members:
        names = [name for name in members.namelist() if not name.endswith("/")]
        return [HeldOutImage(name, members.read(name), name.partition("/")[0]) for name in names]


def recipe_of(settings: Settings) -> Recipe:
    """Return what preprocessing reads from the configuration that these settings make."""
    return read_recipe(_as_triton_gives_it(preprocessing_model(settings)))


def ranking_of(settings: Settings, folder: Path = FOLDER) -> Ranking:
    """Return what postprocessing reads from the configuration that these settings make; paths are below `folder`."""
    config = _as_triton_gives_it(postprocessing_model(settings))
    config["parameters"]["labels"]["string_value"] = settings.labels
    return read_ranking(config, folder)


def classify(
    images: Sequence[bytes], settings: Settings = SETTINGS, folder: Path = FOLDER
) -> list[Classification | ImageError | ScoresError]:
    """Classify images one by one, as one request each; an image that fails has its error as the answer."""
    recipe, ranking = recipe_of(settings), ranking_of(settings, folder)
    session = onnxruntime.InferenceSession(str(folder / settings.file), providers=["CPUExecutionProvider"])
    return [_classify_one(image, recipe, ranking, session, settings) for image in images]


def _classify_one(
    image: bytes, recipe: Recipe, ranking: Ranking, session: Any, settings: Settings
) -> Classification | ImageError | ScoresError:
    batch: NDArray[np.object_] = np.array([[image]], dtype=np.object_)
    pixels = prepare_batches([batch], recipe)[0]
    if isinstance(pixels, ImageError):
        return pixels
    scores = session.run([settings.output], {settings.input: pixels})[0]
    ranked = rank_batches([scores], ranking)[0]
    if isinstance(ranked, ScoresError):
        return ranked
    labels = tuple(label.decode() for label in ranked.labels[0])
    return Classification(labels, tuple(float(score) for score in ranked.scores[0]))


def _as_triton_gives_it(model: dict[str, Any]) -> dict[str, Any]:
    """Return a model of a spec as the JSON configuration that a Python model's `initialize` sees."""
    parameters = {name: {"string_value": text} for name, text in model["parameters"].items()}
    return {**model, "parameters": parameters}
