"""Blueprint `streaming_sequence`: one stateful ONNX model, its state kept per stream by Triton's sequence batcher."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from tritonsmith.ensembles.blueprint import Blueprint, Use


class State(BaseModel):
    """One tensor of the state, in Triton's own words: read from `input_name`, written back from `output_name`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    input_name: str
    output_name: str
    data_type: str
    dims: list[int]


class Controls(BaseModel):
    """The model's inputs that the sequence batcher fills; null for one that the model does not have."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    start: str | None = "START"
    end: str | None = "END"
    ready: str | None = "READY"
    corrid: str | None = "CORRID"


class Settings(BaseModel):
    """What the model's file cannot tell: which of its tensors are state and controls, and how streams are batched."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    file: str = Field(description="the model, an ONNX file that takes one step of every stream")
    states: list[State] = Field(min_length=1, description="the tensors that carry a stream from step to step")
    controls: Controls = Controls()
    strategy: Literal["direct", "oldest"] = Field(
        "oldest", description="direct: a stream owns a batch slot until it ends; oldest: batches are filled dynamically"
    )
    max_batch_size: PositiveInt = 16
    max_sequence_idle_microseconds: PositiveInt = Field(
        5_000_000, description="a stream that sends nothing for so long is over, its slot free"
    )
    max_candidate_sequences: PositiveInt | None = Field(
        None, description="oldest: streams that are open at once per instance, others wait; without it 4 batches' worth"
    )
    max_queue_delay_microseconds: int = Field(500, ge=0, description="how long a batch waits to get fuller")
    instances: PositiveInt = Field(1, description="per GPU where there are GPUs, else on the CPU")

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        if self.strategy == "direct" and self.max_candidate_sequences is not None:
            raise ValueError("max_candidate_sequences belongs to strategy: oldest; direct has max_batch_size slots")
        names = [state.input_name for state in self.states] + [name for name in dict(self.controls).values() if name]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"input '{twice[0]}' is named twice among states and controls")
        return self


def expand(settings: Settings, use: Use) -> dict[str, Any]:
    """Return the one model; its inputs and outputs other than state and controls are read from its file afterwards."""
    batching: dict[str, Any] = {
        "max_sequence_idle_microseconds": settings.max_sequence_idle_microseconds,
        "control_input": control_inputs(settings.controls),
        "state": [state_tensor(state) for state in settings.states],
        settings.strategy: {"max_queue_delay_microseconds": settings.max_queue_delay_microseconds},
    }
    if settings.strategy == "oldest":
        candidates = settings.max_candidate_sequences or 4 * settings.max_batch_size
        batching["oldest"]["max_candidate_sequences"] = candidates
    return {
        use.names["model"]: {
            "file": settings.file,
            "max_batch_size": settings.max_batch_size,
            "instance_group": [{"count": settings.instances}],  # no kind: on GPUs where there are any
            "sequence_batching": batching,
        }
    }


def control_inputs(controls: Controls) -> list[dict[str, Any]]:
    """Return Triton's control inputs: flags as booleans, the correlation id as a number."""
    flags = {
        "CONTROL_SEQUENCE_START": controls.start,
        "CONTROL_SEQUENCE_END": controls.end,
        "CONTROL_SEQUENCE_READY": controls.ready,
    }
    inputs: list[dict[str, Any]] = [
        {"name": name, "control": [{"kind": kind, "bool_false_true": [False, True]}]}
        for kind, name in flags.items()
        if name
    ]
    if controls.corrid:
        kind = {"kind": "CONTROL_SEQUENCE_CORRID", "data_type": "TYPE_UINT64"}
        inputs.append({"name": controls.corrid, "control": [kind]})
    return inputs


def state_tensor(state: State) -> dict[str, Any]:
    """Return a state that starts at zero; without an initial state Triton hands out memory as it finds it."""
    zero = {"name": state.input_name, "data_type": state.data_type, "dims": state.dims, "zero_data": True}
    return {**state.model_dump(), "initial_state": [zero]}


BLUEPRINT = Blueprint(
    name="streaming_sequence",
    summary="A stateful ONNX model whose state Triton keeps per stream.",
    settings=Settings,
    roles=("model",),
    expand=expand,
)
