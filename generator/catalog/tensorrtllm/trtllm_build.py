"""The options of trtllm-build, and where TensorRT-LLM's examples convert each kind of model.

Source: TensorRT-LLM: tensorrt_llm/commands/build.py (0.12 to 1.2), examples/ (moved below models/ in 0.19).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from typing import Literal

from tritonsmith.generator.catalog.tensorrtllm.versions import Spanned, Version

Kind = Literal["int", "text", "switch", "flag", "plugin"]  # switch: --x enable; flag: --x alone; plugin: auto, a type
_MODES = ("draft_tokens_external", "lookahead_decoding", "medusa", "explicit_draft_tokens", "eagle")
_TYPES = ("auto", "float16", "float32", "bfloat16", "int32", "disable")


@dataclass(frozen=True)
class Option(Spanned):
    """One option."""

    _: KW_ONLY
    name: str = ""
    kind: Kind = "text"
    choices: tuple[str, ...] = ()

    def argv(self, value: str) -> list[str]:
        """Return the option on the command line.

        Raises: ValueError saying what is expected.
        """
        if self.kind == "flag":
            if value not in ("true", "false"):
                raise ValueError("true or false")
            return [f"--{self.name}"] if value == "true" else []
        if self.kind == "int" and not value.isdecimal():
            raise ValueError("a whole number")
        if self.kind == "switch":
            value = {"true": "enable", "false": "disable"}.get(value, value)
        choices = self.choices or {"switch": ("enable", "disable"), "plugin": _TYPES}.get(self.kind, ())
        if choices and not set(value.split()) <= set(choices):
            raise ValueError(f"one of {', '.join(choices)}")
        return [f"--{self.name}", *value.split()]


def _options(kind: Kind, names: Iterable[str], choices: tuple[str, ...] = ()) -> list[Option]:
    return [Option(name=name, kind=kind, choices=choices) for name in names]


OPTIONS = {
    option.name: option
    for option in (
        *_options("int", ("max_batch_size", "max_input_len", "max_seq_len", "max_beam_width", "max_num_tokens")),
        *_options("int", ("opt_num_tokens", "max_encoder_input_len", "max_prompt_embedding_table_size")),
        *_options("int", ("max_lora_rank", "max_draft_len", "workers")),
        *_options("text", ("model_config", "build_config", "lora_dir", "lora_target_modules", "input_timing_cache")),
        *_options("text", ("output_timing_cache", "profiling_verbosity")),
        *_options("text", ("kv_cache_type",), ("continuous", "paged", "disabled")),
        *_options("text", ("logits_dtype",), ("float16", "float32")),
        *_options("text", ("lora_ckpt_source",), ("hf", "nemo")),
        *_options("text", ("speculative_decoding_mode",), _MODES),
        *_options("flag", ("weight_streaming", "gather_context_logits", "gather_generation_logits", "fast_build")),
        *_options("flag", ("gather_all_token_logits", "strip_plan", "refit")),
        *_options("plugin", ("gpt_attention_plugin", "bert_attention_plugin", "lora_plugin", "moe_plugin")),
        *_options(
            "plugin", ("gemm_plugin", "gemm_swiglu_plugin", "low_latency_gemm_plugin"), (*_TYPES, "fp8", "nvfp4")
        ),
        *_options("switch", ("remove_input_padding", "context_fmha", "use_paged_context_fmha", "use_fp8_context_fmha")),
        *_options("switch", ("multiple_profiles", "reduce_fusion", "user_buffer", "streamingllm", "paged_state")),
        *_options("switch", ("use_fused_mlp", "norm_quant_fusion", "pp_reduce_scatter", "manage_weights")),
    )
}

# Hugging Face's architectures -> the folder of the example that converts them.
_EXAMPLES = {
    "llama": ("LlamaForCausalLM", "MistralForCausalLM", "MixtralForCausalLM", "DeciLMForCausalLM"),
    "qwen": ("QWenLMHeadModel", "Qwen2ForCausalLM", "Qwen2MoeForCausalLM"),
    "gpt": ("GPT2LMHeadModel", "GPTBigCodeForCausalLM", "Starcoder2ForCausalLM"),
    "gemma": ("GemmaForCausalLM", "Gemma2ForCausalLM", "Gemma3ForCausalLM"),
    "phi": ("PhiForCausalLM", "Phi3ForCausalLM"),
    "enc_dec": ("T5ForConditionalGeneration", "BartForConditionalGeneration"),
    "mamba": ("MambaForCausalLM",),
    "commandr": ("CohereForCausalLM",),
}


def converter(architecture: str, version: Version) -> str:
    """Return the script that converts a model, below the examples' folder; empty where none is known."""
    for folder, names in _EXAMPLES.items():
        if architecture in names:
            return f"{'models/core/' if version >= (0, 19) else ''}{folder}/convert_checkpoint.py"
    return ""
