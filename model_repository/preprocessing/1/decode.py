"""PNG and JPEG bytes -> the pixels a classifier takes: decode, resize, normalise, lay out. Runs inside Triton."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .parameters import choice, numbers, read_parameters, whole_number

FORMATS = ("PNG", "JPEG")
COLOUR_MODES = {1: "L", 3: "RGB"}
PIXEL_TYPES = {"TYPE_FP32": np.float32, "TYPE_FP16": np.float16, "TYPE_UINT8": np.uint8}
PARAMETERS = ("side", "width", "height", "channels", "scale", "mean", "std", "layout")
# What Pillow raises for files that are cut short or damaged.
DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)


class ImageError(ValueError):
    """Raised for bytes that cannot be decoded into pixels; the message is for the client."""


@dataclass(frozen=True)
class Recipe:
    """How a model wants its pixels: value = (pixel * scale - mean) / std, pixel from 0 to 255."""

    width: int
    height: int
    channels: int  # 1: grey, 3: red, green, blue
    scale: float
    mean: tuple[float, ...]  # [channels]
    std: tuple[float, ...]  # [channels]
    layout: str  # NCHW, NHWC, or FLAT: NHWC with all axes but the first in one
    data_type: str

    @property
    def dims(self) -> list[int]:
        """The shape of one image without its batch axis."""
        height, width, channels = self.height, self.width, self.channels
        layouts = {
            "NCHW": [channels, height, width],
            "NHWC": [height, width, channels],
            "FLAT": [height * width * channels],
        }
        return layouts[self.layout]


def read_recipe(config: Mapping[str, Any]) -> Recipe:
    """Return the recipe that a model configuration's parameters and output describe.

    Raises: ValueError, naming the parameter, where they make no sense.
    """
    texts = read_parameters(config, PARAMETERS)
    if int(config.get("max_batch_size", 0)) < 1:
        raise ValueError("max_batch_size must be 1 or more: images have a batch axis")
    if "side" in texts and ("width" in texts or "height" in texts):
        raise ValueError("parameter 'side' stands for width and height; give it, or both of them")
    channels = whole_number(texts, "channels", 3)
    if channels not in COLOUR_MODES:
        raise ValueError(f"parameter channels: '{channels}' is neither 1 (grey) nor 3 (red, green, blue)")
    std = tuple(numbers(texts, "std", "1", channels))
    if 0.0 in std:
        raise ValueError(f"parameter std: '{texts['std']}' contains 0, which would divide by zero")
    output = config["output"][0]
    recipe = Recipe(
        width=whole_number(texts, "side" if "side" in texts else "width"),
        height=whole_number(texts, "side" if "side" in texts else "height"),
        channels=channels,
        scale=numbers(texts, "scale", "1/255", 1)[0],
        mean=tuple(numbers(texts, "mean", "0", channels)),
        std=std,
        layout=choice(texts, "layout", "NCHW", ("NCHW", "NHWC", "FLAT")),
        data_type=choice(output, "data_type", "TYPE_FP32", PIXEL_TYPES),
    )
    _check_dims([int(dim) for dim in output["dims"]], recipe)
    return recipe


def _check_dims(dims: Sequence[int], recipe: Recipe) -> None:
    """Refuse an output whose dims are not those of the recipe; -1 fits everything."""
    wanted = recipe.dims
    if len(dims) != len(wanted) or any(dim not in (-1, want) for dim, want in zip(dims, wanted, strict=True)):
        raise ValueError(f"output dims are {list(dims)}, but the parameters (layout {recipe.layout}) make {wanted}")


def decode_image(data: bytes, recipe: Recipe) -> NDArray[np.uint8]:
    """Return one image's pixels, [height, width, channels], in the recipe's size and colours.

    Raises: ImageError where the bytes are not a whole PNG or JPEG.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_image(image)
            picture = _recolour(image, COLOUR_MODES[recipe.channels])
    except ImageError:
        raise
    except UnidentifiedImageError as problem:
        raise ImageError(f"neither PNG nor JPEG: {len(data)} bytes that start with {data[:8]!r}") from problem
    except Image.DecompressionBombError as problem:  # a few kilobytes of PNG can hold gigabytes of pixels
        raise ImageError(f"too many pixels: {problem}") from problem
    except DAMAGED as problem:
        raise ImageError(f"damaged image of {len(data)} bytes: {problem}") from problem
    if picture.size != (recipe.width, recipe.height):
        picture = picture.resize((recipe.width, recipe.height), Image.Resampling.BILINEAR)
    return np.asarray(picture).reshape(recipe.height, recipe.width, recipe.channels)


def _check_image(image: Image.Image) -> None:
    """Refuse, before any pixel is decoded, what would lose its meaning; `open` has refused what fills the memory."""
    if image.mode.startswith("I"):  # Pillow would clip 16-bit grey to white instead of scaling it
        raise ImageError("16 bits per pixel; 8 are supported")


def _recolour(image: Image.Image, mode: str) -> Image.Image:
    """Return the image in a colour mode; transparency is dropped, as in the usual training pipelines."""
    if image.mode == mode:
        image.load()
        return image.copy()
    if image.mode == "P":  # a palette with transparent entries converts only by way of RGBA
        image = image.convert("RGBA")
    return image.convert(mode)


def normalise(pixels: NDArray[np.uint8], recipe: Recipe) -> NDArray[Any]:
    """Return what the classifier takes, [n, *recipe.dims], from pixels [n, height, width, channels]."""
    std = np.array(recipe.std, np.float32)
    values = pixels * (np.float32(recipe.scale) / std) - np.array(recipe.mean, np.float32) / std
    if recipe.layout == "NCHW":
        values = values.transpose(0, 3, 1, 2)
    if recipe.data_type == "TYPE_UINT8":
        values = np.clip(np.rint(values), 0, 255)
    return np.ascontiguousarray(values, PIXEL_TYPES[recipe.data_type]).reshape(-1, *recipe.dims)


def prepare_batches(batches: Sequence[NDArray[np.object_]], recipe: Recipe) -> list[NDArray[Any] | ImageError]:
    """Return each request's pixels, or why one of its images failed; all requests share one numpy pass.

    `batches` holds one array of encoded images per request, [n, 1], n differing from request to request.
    """
    counts = [batch.size for batch in batches]
    ends = np.cumsum(counts)
    pixels = np.zeros((sum(counts), recipe.height, recipe.width, recipe.channels), np.uint8)
    rows = np.split(pixels, ends[:-1])  # views, one per request
    failures = [_decode_batch(batch, recipe, into) for batch, into in zip(batches, rows, strict=True)]
    values = np.split(normalise(pixels, recipe), ends[:-1])
    return [failure or ready for failure, ready in zip(failures, values, strict=True)]


def _decode_batch(batch: NDArray[np.object_], recipe: Recipe, into: NDArray[np.uint8]) -> ImageError | None:
    """Decode a request's images into [n, height, width, channels], or return why one of them failed."""
    index = 0
    try:
        for index, data in enumerate(batch.reshape(-1)):
            into[index] = decode_image(data, recipe)
    except ImageError as problem:
        return ImageError(f"image {index + 1} of {batch.size}: {problem}")
    return None
