"""What `with:` of a text_generation pipeline takes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeInt, PositiveInt, WithJsonSchema

from tritonsmith.generator.spec.settings import EngineSettings, Flag

# As written in YAML: `true` and 4096 are words here, for the backend's own table to judge.
Word = Annotated[str, WithJsonSchema({"type": ["string", "number", "boolean"]})]
Parameters = dict[str, Word | list[Word] | None]
# `engine: ./folder` is short for `engine: {from: ./folder}`, as in the pipeline itself.
EngineChoice = Annotated[
    EngineSettings, BeforeValidator(lambda given: {"from": given} if isinstance(given, str) else given)
]


class Instances(BaseModel):
    """How many instances of each Python model run at once; the engine is one that batches all requests."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    preprocessing: PositiveInt = 1
    postprocessing: PositiveInt = Field(1, description="more than 1 would reorder streamed tokens")
    tensorrt_llm_bls: PositiveInt = Field(4, description="requests that go through tensorrt_llm_bls at once")
    disaggregated_serving_bls: PositiveInt = Field(8, description="requests between context and generation at once")


class Draft(BaseModel):
    """A small model that guesses tokens, many of which the LLM then confirms in one step; through tensorrt_llm_bls."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    engine: EngineChoice = Field(description="the small model's: same vocabulary, much faster")
    parameters: Parameters = Field(default_factory=dict, description="the draft's own; nothing is taken from the LLM's")


class Phase(BaseModel):
    """One of the two models of disaggregated serving."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    engine: EngineChoice | None = Field(None, description="without it the pipeline's own")
    replicas: PositiveInt = Field(1, description="instances, each on GPUs of its own")
    parameters: Parameters = Field(default_factory=dict, description="over those of the pipeline")


class Disaggregated(BaseModel):
    """Prompts are read on some GPUs, answers written on others."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    context: Phase = Field(default_factory=Phase, description="reads prompts")
    generation: Phase = Field(default_factory=Phase, description="writes answers")


class Build(BaseModel):
    """What engine.sh builds an engine with; where it is left out, trtllm-build decides."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    quantise: Literal["fp8", "nvfp4", "int4_awq", "w4a8_awq", "int8_sq", "int8_wo", "int4_wo"] | None = None
    kv_cache: Literal["fp8", "int8"] | None = Field(
        None, description="type of the KV cache, the model's own without it"
    )
    tensor_parallel: PositiveInt = 1
    pipeline_parallel: PositiveInt = 1
    options: dict[str, str | None] = Field(
        default_factory=dict, description="of trtllm-build, each under its own name: max_input_len: 4096"
    )


class Settings(BaseModel):
    """What the engine cannot tell: how the pipeline is served."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    target: Literal["tensorrtllm", "llmapi"] = Field(
        "tensorrtllm", description="tensorrtllm: five models around an engine; llmapi: one model, text in, text out"
    )
    max_batch_size: PositiveInt | None = Field(None, description="of every model; without it the engine's own, else 8")
    streaming: Flag = Field(True, description="decoupled: token by token where the request asks for it")
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
    add_special_tokens: Flag = Field(True, description="the prompt's, e.g. the beginning of a text")
    apply_chat_template: Flag = Field(
        False, description="the prompt is a message, or JSON messages, that the tokenizer's chat template writes out"
    )
    skip_special_tokens: Flag = Field(True, description="leave the special tokens out of the text")
    logits_datatype: Literal["TYPE_FP32", "TYPE_FP16"] | None = Field(None, description="without it the engine's")
    encoder_input_features_data_type: Literal["TYPE_FP16", "TYPE_BF16"] | None = Field(
        None, description="without it the model's: TYPE_BF16 for mllama"
    )
    prompt_embedding_table_data_type: Literal["TYPE_FP16", "TYPE_BF16", "TYPE_FP32"] | None = Field(
        None, description="without it the engine's; TYPE_FP16 before TensorRT-LLM 1.1"
    )
    parameters: Parameters = Field(
        default_factory=dict, description="the backend's own, each under its own name; null leaves one out"
    )
    llm: dict[str, Any] = Field(
        default_factory=dict, description="target llmapi: model.yaml, the arguments of TensorRT-LLM's LLM, by name"
    )
    draft: Draft | None = Field(None, description="draft-target speculative decoding")
    disaggregated: Disaggregated | None = Field(None, description="prompts and answers on different GPUs")
    build: Build = Field(default_factory=Build, description="how engine.sh makes an engine of the model")
    instances: Instances = Instances()
