"""What `with:` of a text_generation pipeline takes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt


class Instances(BaseModel):
    """How many instances of each Python model run at once; the engine is one that batches all requests."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    preprocessing: PositiveInt = 1
    postprocessing: PositiveInt = Field(1, description="more than 1 would reorder streamed tokens")
    tensorrt_llm_bls: PositiveInt = Field(4, description="requests that go through tensorrt_llm_bls at once")


class Settings(BaseModel):
    """What the engine cannot tell: how the pipeline is served."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    target: Literal["tensorrtllm", "llmapi"] = Field(
        "tensorrtllm", description="tensorrtllm: five models around an engine; llmapi: one model, text in, text out"
    )
    max_batch_size: PositiveInt | None = Field(None, description="of every model; without it the engine's own, else 8")
    streaming: bool = Field(True, description="decoupled: token by token where the request asks for it")
    max_queue_delay_microseconds: NonNegativeInt = Field(
        0, description="in-flight batching takes requests as they come: a delay adds latency and gains nothing"
    )
    max_queue_size: NonNegativeInt = Field(0, description="requests that may wait; 0 is without limit")
    tokenizer: str | None = Field(
        None, description="folder with the tokenizer's files, copied to where they are read; without it the engine's"
    )
    tokenizer_dir: str | None = Field(
        None, description="the absolute path at which the server finds the tokenizer; nothing is copied then"
    )
    add_special_tokens: bool = Field(True, description="the prompt's, e.g. the beginning of a text")
    skip_special_tokens: bool = Field(True, description="leave the special tokens out of the text")
    logits_datatype: Literal["TYPE_FP32", "TYPE_FP16"] | None = Field(None, description="without it the engine's")
    encoder_input_features_data_type: Literal["TYPE_FP16", "TYPE_BF16"] = Field(
        "TYPE_FP16", description="TYPE_BF16 for mllama"
    )
    prompt_embedding_table_data_type: Literal["TYPE_FP16", "TYPE_BF16", "TYPE_FP32"] | None = Field(
        None, description="without it the engine's; TYPE_FP16 before TensorRT-LLM 1.1"
    )
    parameters: dict[str, str | list[str] | None] = Field(
        default_factory=dict, description="the backend's own, each under its own name; null leaves one out"
    )
    instances: Instances = Instances()
