"""Blueprint `image_classification`: preprocessing (Python) -> classifier (ONNX) -> postprocessing (Python)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationInfo, field_validator, model_validator

from tritonsmith.ensembles.blueprint import Blueprint, Use
from tritonsmith.ensembles.image_classification.parameters import numbers


class Instances(BaseModel):
    """How many instances of each step run at once."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    preprocessing: PositiveInt = 1
    classifier: PositiveInt = Field(1, description="per GPU where there are GPUs, else on the CPU")
    postprocessing: PositiveInt = 1


class Settings(BaseModel):
    """What the classifier's file cannot tell: how its pixels are made and what its scores mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    file: str = Field(description="the classifier, an ONNX file: one image tensor in, one score per class out")
    labels: str = Field(description="a text file, one label per line, in the order of the scores")
    input: str = Field("pixels", description="the classifier's input")
    output: str = Field("scores", description="the classifier's output")
    side: PositiveInt | None = Field(None, description="width and height of square images")
    width: PositiveInt | None = None
    height: PositiveInt | None = None
    channels: int = Field(3, description="1: grey, 3: red, green, blue")
    scale: float | str = Field("1/255", description="value = (pixel * scale - mean) / std, pixel from 0 to 255")
    mean: float | list[float] = Field(0.0, description="one number, or one per channel")
    std: float | list[float] = Field(1.0, description="one number, or one per channel")
    layout: Literal["NCHW", "NHWC", "FLAT"] = "NCHW"
    data_type: Literal["TYPE_FP32", "TYPE_FP16", "TYPE_UINT8"] = "TYPE_FP32"
    top_k: PositiveInt = Field(1, description="how many labels per image, best first")
    activation: Literal["softmax", "none"] = Field("softmax", description="none: the classifier ends in a softmax")
    max_batch_size: PositiveInt = 64
    max_queue_delay_microseconds: int = Field(100, ge=0, description="how long the classifier waits for a fuller batch")
    instances: Instances = Instances()

    @field_validator("channels")
    @classmethod
    def _is_colour_mode(cls, channels: int) -> int:
        if channels not in (1, 3):
            raise ValueError(f"{channels} is neither 1 (grey) nor 3 (red, green, blue)")
        return channels

    @field_validator("scale", "mean", "std")
    @classmethod
    def _has_a_number_per_channel(cls, value: float | str | list[float], given: ValidationInfo) -> Any:
        name, text = str(given.field_name), as_text(value)
        count = 1 if name == "scale" else given.data.get("channels", 1)
        if "channels" in given.data and 0.0 in numbers({name: text}, name, "", count) and name == "std":
            raise ValueError(f"'{text}' contains 0, which would divide by zero")
        return value

    @model_validator(mode="after")
    def _has_one_size(self) -> Settings:
        if self.side and (self.width or self.height):
            raise ValueError("side stands for width and height: give it, or both of them")
        if not self.side and not (self.width and self.height):
            raise ValueError("the images' size is missing: give side, or width and height")
        return self


def expand(settings: Settings, use: Use) -> dict[str, Any]:
    """Return the four models; the classifier's own tensors and types are read from its file afterwards."""
    preprocessing, classifier, postprocessing = (use.names[role] for role in ROLES[:3])
    return {
        preprocessing: preprocessing_model(settings),
        classifier: {
            "file": settings.file,
            "max_batch_size": settings.max_batch_size,
            "dynamic_batching": {"max_queue_delay_microseconds": settings.max_queue_delay_microseconds},
            "instance_group": [{"count": settings.instances.classifier}],  # no kind: on GPUs where there are any
        },
        postprocessing: postprocessing_model(settings),
        use.names["ensemble"]: {"ensemble": [preprocessing, classifier_step(settings, classifier), postprocessing]},
    }


def preprocessing_model(settings: Settings) -> dict[str, Any]:
    """Return the model that makes pixels."""
    width, height = settings.side or settings.width, settings.side or settings.height
    channels = settings.channels
    dims = {
        "NCHW": [channels, height, width],
        "NHWC": [height, width, channels],
        "FLAT": [(height or 0) * (width or 0) * channels],
    }
    return {
        "python": "blueprint:image_classification/preprocessing",
        "max_batch_size": settings.max_batch_size,
        "output": [{"name": "pixels", "data_type": settings.data_type, "dims": dims[settings.layout]}],
        "dynamic_batching": {},
        "instance_group": [{"kind": "KIND_CPU", "count": settings.instances.preprocessing}],
        "parameters": {
            "width": str(width),
            "height": str(height),
            "channels": str(channels),
            "scale": as_text(settings.scale),
            "mean": as_text(settings.mean),
            "std": as_text(settings.std),
            "layout": settings.layout,
        },
    }


def postprocessing_model(settings: Settings) -> dict[str, Any]:
    """Return the model that makes labels; the labels file lies in its folder."""
    dims = [settings.top_k]
    return {
        "python": "blueprint:image_classification/postprocessing",
        "files": {"labels.txt": settings.labels},
        "max_batch_size": settings.max_batch_size,
        "output": [{"name": "label", "dims": dims}, {"name": "score", "dims": dims}],
        "dynamic_batching": {},
        "instance_group": [{"kind": "KIND_CPU", "count": settings.instances.postprocessing}],
        "parameters": {"labels": "labels.txt", "top_k": str(settings.top_k), "activation": settings.activation},
    }


def classifier_step(settings: Settings, classifier: str) -> str | dict[str, Any]:
    """Return the classifier's step: its bare name where its tensors are called like the ensemble's."""
    if (settings.input, settings.output) == ("pixels", "scores"):
        return classifier
    return {
        "model_name": classifier,
        "input_map": {settings.input: "pixels"},
        "output_map": {settings.output: "scores"},
    }


def as_text(values: float | str | list[float]) -> str:
    """Return numbers as a parameter's text: "0.5" or "0.485, 0.456, 0.406"."""
    return ", ".join(str(value) for value in (values if isinstance(values, list) else [values]))


ROLES = ("preprocessing", "classifier", "postprocessing", "ensemble")
BLUEPRINT = Blueprint(
    name="image_classification",
    summary="PNG and JPEG bytes in, labels and scores out.",
    settings=Settings,
    roles=ROLES,
    expand=expand,
)
