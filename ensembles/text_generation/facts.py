"""What a pipeline must know of an engine, whichever kind of folder its facts were read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tritonsmith.generator.catalog.tensorrtllm.engines import DATATYPES
from tritonsmith.generator.inspect.architecture import Architecture, Spread
from tritonsmith.generator.inspect.checkpoint import CheckpointFacts
from tritonsmith.generator.inspect.engine import EngineFacts
from tritonsmith.generator.inspect.engine_source import SourceFacts
from tritonsmith.generator.inspect.huggingface import HuggingFaceFacts

Kind = Literal["engine", "checkpoint", "huggingface", "elsewhere"]


@dataclass(frozen=True)
class Facts:
    """An engine, a checkpoint, a Hugging Face folder, or one of them on another machine: then nothing is known."""

    source: SourceFacts | None = None

    @property
    def kind(self) -> Kind:
        """What the folder holds."""
        if self.source is None:
            return "elsewhere"
        if isinstance(self.source, EngineFacts):
            return "engine"
        return "checkpoint" if isinstance(self.source, CheckpointFacts) else "huggingface"

    @property
    def engine(self) -> EngineFacts | None:
        """The engine, None where it is something else or lies elsewhere."""
        return self.source if isinstance(self.source, EngineFacts) else None

    @property
    def is_exported(self) -> bool:
        """Whether it is a graph for the CPU engine, of which TensorRT-LLM can build nothing."""
        return isinstance(self.source, HuggingFaceFacts) and self.source.is_exported

    @property
    def architecture(self) -> Architecture | None:
        """The model's shape."""
        return self.source.architecture if self.source else None

    @property
    def spread(self) -> Spread:
        """Over how many GPUs it is spread; a Hugging Face folder over none in particular."""
        return self.source.spread if isinstance(self.source, EngineFacts | CheckpointFacts) else Spread()

    @property
    def max_batch_size(self) -> int:
        """The batch that the engine was built for, 0 where nothing says it."""
        return self.engine.limits.max_batch_size if self.engine else 0

    @property
    def logits_datatype(self) -> str:
        """Triton's type of its logits."""
        return DATATYPES[self.architecture.logits_type] if self.architecture else "TYPE_FP32"

    @property
    def data_type(self) -> str:
        """Triton's type of its activations."""
        return DATATYPES.get(self.architecture.data_type if self.architecture else "", "TYPE_FP16")

    @property
    def encoder_datatype(self) -> str:
        """Triton's type of what an encoder gives it."""
        is_mllama = self.architecture is not None and self.architecture.name.lower().startswith("mllama")
        return "TYPE_BF16" if is_mllama else "TYPE_FP16"

    @property
    def can_reuse(self) -> bool:
        """Whether prompts can be read in pieces and blocks of them be kept: that needs paged context FMHA.

        Source: TensorRT-LLM: trtGptModelInflightBatching.cpp (checks of the KV cache configuration).
        """
        options = self.engine.options if self.engine else None
        return options is not None and options.has_paged_context_fmha and options.kv_cache == "PAGED"

    @property
    def hinders_inflight(self) -> str:
        """What of the engine keeps requests from being batched in flight, with where it was read; empty for nothing.

        Source: TensorRT-LLM: trtGptModelInflightBatching.cpp.
        """
        options = self.engine.options if self.engine else None
        if options is not None and options.kv_cache != "PAGED":
            return f"kv_cache_type {options.kv_cache} ({self.says('build_config.kv_cache_type')})"
        if options is None or (options.is_input_packed and options.has_attention_plugin):
            return ""
        name = "gpt_attention_plugin" if options.is_input_packed else "remove_input_padding"
        return f"{name} off ({self.says(f'build_config.plugin_config.{name}')})"

    def says(self, key: str) -> str:
        """Return where something was read: `engine/config.json: build_config.max_beam_width`."""
        return f"{self.source.path.name}/config.json: {key}" if self.source else key
