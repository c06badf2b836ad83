from __future__ import annotations

import io
import random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tritonsmith.ensembles.image_classification.decode import (
    ImageError,
    Recipe,
    decode_image,
    normalise,
    prepare_batches,
    read_recipe,
)


def config(**parameters: str) -> dict[str, Any]:
    texts = {"side": "4", "channels": "1"} | parameters
    return {
        "max_batch_size": 8,
        "output": [{"name": "pixels", "dims": [-1] if texts.get("layout") == "FLAT" else [-1, -1, -1]}],
        "parameters": {name: {"string_value": text} for name, text in texts.items() if text},
    }


def recipe(**parameters: str) -> Recipe:
    return read_recipe(config(**parameters))


def with_output(**output: Any) -> dict[str, Any]:
    return config(scale="1") | {"output": [{"name": "pixels", "dims": [-1, -1, -1]} | output]}


def encode(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def grey(value: int = 100, size: tuple[int, int] = (4, 4)) -> bytes:
    return encode(Image.new("L", size, value))


def batch(*images: bytes) -> NDArray[np.object_]:
    return np.array([[image] for image in images], dtype=np.object_)


def test_the_pixels_of_a_png_are_exact() -> None:
    pixels = np.arange(0, 256, 16, dtype=np.uint8).reshape(4, 4)
    assert np.array_equal(decode_image(encode(Image.fromarray(pixels)), recipe())[..., 0], pixels)


def test_a_jpeg_in_colour_becomes_grey_and_small() -> None:
    photo = encode(Image.new("RGB", (64, 48), (120, 120, 120)), "JPEG", quality=95)
    pixels = decode_image(photo, recipe())
    assert pixels.shape == (4, 4, 1)
    assert np.abs(pixels.astype(int) - 120).max() <= 2


def test_width_and_height_are_not_confused() -> None:
    wide = recipe(side="", width="5", height="3", channels="3")
    assert decode_image(grey(), wide).shape == (3, 5, 3)
    assert wide.dims == [3, 3, 5]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_colour_mode_becomes_the_recipe_s(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    image = encode(Image.new("RGB", (4, 4), "white").convert(mode), kind)
    assert decode_image(image, recipe(channels="3")).min() >= 254


def test_a_palette_with_transparent_entries_is_decoded() -> None:
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([0, 0, 0, 200, 100, 50])
    image = encode(picture, transparency=bytes([0, 128]))
    assert decode_image(image, recipe(channels="3"))[0, 0].tolist() == [200, 100, 50]


def test_values_are_scaled_then_normalised_per_channel() -> None:
    wanted = recipe(channels="3", scale="1/255", mean="0.5, 0.25, 0", std="0.5, 0.25, 2")
    values = normalise(np.full((1, 4, 4, 3), 255, np.uint8), wanted)
    assert values.dtype == np.float32
    assert np.allclose(values[0, :, 0, 0], [1.0, 3.0, 0.5], rtol=1e-6)


def test_layouts_hold_the_same_values() -> None:
    pixels = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    nchw, nhwc, flat = (
        normalise(pixels, recipe(channels="3", scale="1", layout=layout)) for layout in ("NCHW", "NHWC", "FLAT")
    )
    assert nchw.shape == (2, 3, 4, 4)
    assert nchw.flags.c_contiguous
    assert np.array_equal(nchw.transpose(0, 2, 3, 1), nhwc)
    assert np.array_equal(flat, nhwc.reshape(2, -1))
    assert np.array_equal(nhwc, pixels)


@pytest.mark.parametrize(("data_type", "kind"), [("TYPE_FP16", np.float16), ("TYPE_UINT8", np.uint8)])
def test_the_output_s_data_type_is_the_configuration_s(data_type: str, kind: type) -> None:
    wanted = read_recipe(with_output(data_type=data_type))
    values = normalise(np.full((1, 4, 4, 1), 200, np.uint8), wanted)
    assert values.dtype == kind
    assert values.max() == 200


def test_requests_get_what_each_would_get_alone() -> None:
    wanted = recipe(mean="0.3", std="0.7")
    batches = [batch(grey(1), grey(2)), batch(grey(3)), batch(grey(4), grey(5), grey(6))]
    together = prepare_batches(batches, wanted)
    alone = [prepare_batches([one], wanted)[0] for one in batches]
    assert [values.shape for values in together if not isinstance(values, ImageError)] == [
        (2, 1, 4, 4),
        (1, 1, 4, 4),
        (3, 1, 4, 4),
    ]
    assert all(np.array_equal(a, b) for a, b in zip(together, alone, strict=True))  # type: ignore[arg-type]


def test_a_bad_image_fails_its_own_request_alone() -> None:
    good, bad, other = prepare_batches([batch(grey(1)), batch(grey(2), b"GIF89a..."), batch(grey(3))], recipe())
    assert isinstance(bad, ImageError)
    assert str(bad) == "image 2 of 2: neither PNG nor JPEG: 9 bytes that start with b'GIF89a..'"
    assert np.allclose(good, 1 / 255)  # type: ignore[arg-type]
    assert np.allclose(other, 3 / 255)  # type: ignore[arg-type]


def test_other_formats_than_png_and_jpeg_are_refused() -> None:
    with pytest.raises(ImageError, match="neither PNG nor JPEG"):
        decode_image(encode(Image.new("L", (4, 4)), "GIF"), recipe())


def test_no_bytes_are_no_image() -> None:
    with pytest.raises(ImageError, match="0 bytes"):
        decode_image(b"", recipe())


def test_a_cut_image_is_refused() -> None:
    noise = Image.effect_noise((64, 64), 50)
    with pytest.raises(ImageError, match="damaged image of 500 bytes"):
        decode_image(encode(noise)[:500], recipe())


def test_sixteen_bits_are_refused_instead_of_clipped() -> None:
    deep = encode(Image.fromarray(np.full((4, 4), 40000, np.uint16)))
    with pytest.raises(ImageError, match="16 bits"):
        decode_image(deep, recipe())


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    header = bytearray(encode(Image.new("1", (8, 8))))
    header[16:24] = (60000).to_bytes(4, "big") * 2
    header[29:33] = __import__("zlib").crc32(bytes(header[12:29])).to_bytes(4, "big")
    with pytest.raises(ImageError, match="too many pixels"):
        decode_image(bytes(header), recipe())


@pytest.mark.filterwarnings("ignore")  # Pillow warns of what it can read nevertheless
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_damaged_images_raise_nothing_but_image_errors(kind: str) -> None:
    whole = encode(Image.effect_noise((24, 24), 50).convert("RGB"), kind)
    chance = random.Random(5)
    failed = 0
    for _ in range(400):
        data = bytearray(whole[: chance.randint(1, len(whole))] if chance.random() < 0.3 else whole)
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            assert decode_image(bytes(data), recipe()).shape == (4, 4, 1)
        except ImageError:
            failed += 1
    assert failed > 20


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"heigth": "8"}, "unknown parameter 'heigth'; known are channels, height"),
        ({"side": ""}, "parameter 'width' is missing"),
        ({"side": "0"}, "side: '0' is not a whole number"),
        ({"side": "8.5"}, "side: '8.5' is not a whole number"),
        ({"width": "8"}, "'side' stands for width and height"),
        ({"channels": "4"}, "channels: '4' is neither 1"),
        ({"mean": "0.1, 0.2"}, "mean: '0.1, 0.2' has 2 numbers"),
        ({"mean": "grey"}, "mean: 'grey' is not a number"),
        ({"scale": "1/0"}, "scale: '1/0' is not a number"),
        ({"scale": "1e400"}, "scale: '1e400' is not a number"),
        ({"std": "0"}, "std: '0' contains 0"),
        ({"layout": "CHW"}, "layout: 'CHW' is not one of NCHW, NHWC, FLAT"),
    ],
)
def test_wrong_parameters_are_named(parameters: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe(**parameters)


def test_dims_that_contradict_the_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match=r"output dims are \[1, 8, 8\], but .* make \[1, 4, 4\]"):
        read_recipe(with_output(dims=[1, 8, 8]))
    assert read_recipe(with_output(dims=[1, -1, 4])).dims == [1, 4, 4]


def test_a_model_without_batching_is_refused() -> None:
    with pytest.raises(ValueError, match="max_batch_size"):
        read_recipe(config() | {"max_batch_size": 0})


def test_the_python_backend_s_own_parameters_are_left_alone() -> None:
    assert recipe(FORCE_CPU_ONLY_INPUT_TENSORS="no", EXECUTION_ENV_PATH="env.tar.gz").width == 4
