"""What a TensorRT-LLM engine was built for, read from its folder's config.json.

Source: TensorRT-LLM: builder.py (EngineConfig, BuildConfig), plugin.py (PluginConfig), 0.8 to 1.2.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.inspect.architecture import Architecture, Spread, read_architecture, read_spread
from tritonsmith.generator.inspect.json_file import JsonObject, read_json


class Speculation(enum.Enum):
    """What an engine was built to speculate with. Source: TensorRT-LLM: SpeculativeDecodingMode."""

    NONE = 1
    DRAFT_TOKENS_EXTERNAL = 2
    MEDUSA = 4
    LOOKAHEAD_DECODING = 8
    EXPLICIT_DRAFT_TOKENS = 16  # ReDrafter
    EAGLE = 32
    NGRAM = 64
    USER_PROVIDED = 128
    SAVE_HIDDEN_STATES = 256
    AUTO = 512

    @property
    def option(self) -> str:
        """The value of trtllm-build's --speculative_decoding_mode."""
        return self.name.lower()


@dataclass(frozen=True)
class BuildLimits:
    """The bounds an engine was built with; lengths in tokens, 0 where there is none."""

    max_batch_size: int
    max_input_len: int
    max_seq_len: int
    max_num_tokens: int
    max_beam_width: int
    max_draft_len: int = 0
    max_prompt_embedding_table_size: int = 0
    max_encoder_input_len: int = 0


@dataclass(frozen=True)
class BuildOptions:
    """What an engine was built to be able to do."""

    kv_cache: str = "PAGED"  # PAGED, CONTINUOUS, DISABLED
    tokens_per_block: int = 0
    has_paged_context_fmha: bool = False
    has_attention_plugin: bool = True
    is_input_packed: bool = True  # remove_input_padding
    gathers_context_logits: bool = False
    gathers_generation_logits: bool = False
    streams_weights: bool = False
    is_streaming_llm: bool = False  # sink tokens
    has_lora: bool = False
    max_lora_rank: int = 0
    lora_modules: tuple[str, ...] = ()
    speculation: Speculation = Speculation.NONE


@dataclass(frozen=True)
class EngineFacts:
    """An engine folder. `findings` are what is wrong with it; `ranks` the rank numbers that have a file.

    `encoder` is the encoder's engine where the folder holds an encoder and a decoder; the rest is then the decoder's.
    """

    path: Path
    version: str
    architecture: Architecture
    spread: Spread
    limits: BuildLimits
    options: BuildOptions
    built_on: str  # the GPU, by trtllm-build's cluster key: H100-SXM, L4; empty where it is not said
    ranks: tuple[int, ...]
    findings: tuple[Finding, ...] = ()
    encoder: EngineFacts | None = None

    @property
    def config(self) -> Path:
        """The file that all of it was read from."""
        return self.path / "config.json"


_CONFIG = "config.json of the engine"


def is_engine(found: JsonObject) -> bool:
    """Whether a config.json is an engine's, of any age."""
    return "build_config" in found or "builder_config" in found


def read_engine(folder: Path) -> EngineFacts:
    """Return the facts of an engine folder, or of one that holds `encoder/` and `decoder/`.

    Raises: SpecError where there is no engine in it, or one of a layout that no server of today reads.
    """
    if not (folder / "config.json").exists() and (folder / "decoder" / "config.json").exists():
        return _encoder_decoder(folder)
    found = read_json(folder / "config.json", _CONFIG, hint="name the folder with rank0.engine")
    return engine_of(found, folder, (path.name for path in folder.glob("rank*.engine") if path.is_file()))


def engine_of(found: JsonObject, folder: Path, names: Iterable[str]) -> EngineFacts:
    """Return the facts of an engine whose config.json is `found`; `names` are the files beside it.

    Raises: SpecError where it is no engine's, or one of a layout that no server of today reads.
    """
    if "builder_config" in found:
        raise SpecError(
            "the engine has the layout from before TensorRT-LLM 0.8 (builder_config), which no server of today reads",
            where=str(found.path),
            hint="build it again with trtllm-build of the release's own TensorRT-LLM",
        )
    pretrained = found.below("pretrained_config", is_required=True)
    build = found.below("build_config", is_required=True)
    if found.findings:
        raise SpecError("config.json is not that of an engine", where=str(found.path), findings=found.findings)
    facts = EngineFacts(
        path=folder,
        version=found.text("version"),
        architecture=read_architecture(pretrained),
        spread=read_spread(pretrained.below("mapping")),
        limits=_limits(build),
        options=_options(build),
        built_on=build.below("auto_parallel_config").text("cluster_key", ""),
        ranks=_ranks(names),
    )
    _check_ranks(found, facts)
    return replace(facts, findings=tuple(found.findings))


def _encoder_decoder(folder: Path) -> EngineFacts:
    decoder, encoder = read_engine(folder / "decoder"), read_engine(folder / "encoder")
    findings = [*decoder.findings, *encoder.findings]
    here = JsonObject(decoder.config, {}, findings, "build_config")
    wanted, given = encoder.limits.max_input_len, decoder.limits.max_encoder_input_len
    if given != wanted:
        here.complain(
            f"the decoder was built for encoder inputs of {given} tokens, the encoder for {wanted}",
            "max_encoder_input_len",
            remedy=f"build the decoder with --max_encoder_input_len {wanted}",
        )
    return replace(decoder, findings=tuple(findings), encoder=encoder)


def _limits(build: JsonObject) -> BuildLimits:
    inputs = build.whole("max_input_len", least=1)
    # Before 0.10 there was max_output_len instead of max_seq_len.
    outputs = build.whole("max_output_len", 0)
    sequence = build.whole("max_seq_len", (inputs + outputs) if outputs else None, least=1)
    batch = build.whole("max_batch_size", least=1)
    return BuildLimits(
        max_batch_size=batch,
        max_input_len=inputs,
        max_seq_len=sequence,
        max_num_tokens=build.whole("max_num_tokens", batch * inputs, least=1),
        max_beam_width=build.whole("max_beam_width", 1, least=1),
        max_draft_len=build.whole("max_draft_len", 0),
        max_prompt_embedding_table_size=build.whole("max_prompt_embedding_table_size", 0),
        max_encoder_input_len=build.whole("max_encoder_input_len", 0),
    )


def _options(build: JsonObject) -> BuildOptions:
    plugins, lora = build.below("plugin_config", is_required=True), build.below("lora_config")
    return BuildOptions(
        kv_cache=_kv_cache(build, plugins),
        tokens_per_block=plugins.whole("tokens_per_block", 0),
        has_paged_context_fmha=plugins.flag("use_paged_context_fmha"),
        has_attention_plugin=_is_on(plugins, "gpt_attention_plugin"),
        is_input_packed=plugins.flag("remove_input_padding", default=True),
        gathers_context_logits=build.flag("gather_context_logits"),
        gathers_generation_logits=build.flag("gather_generation_logits"),
        streams_weights=build.flag("weight_streaming"),
        is_streaming_llm=plugins.flag("streamingllm"),
        has_lora=_is_on(plugins, "lora_plugin"),
        max_lora_rank=lora.whole("max_lora_rank", 0),
        lora_modules=lora.texts("lora_target_modules"),
        speculation=_speculation(build),
    )


def _kv_cache(build: JsonObject, plugins: JsonObject) -> str:
    """Return the kind of the KV cache; older engines say only whether it is paged."""
    if "kv_cache_type" not in build:
        return "PAGED" if plugins.flag("paged_kv_cache") else "CONTINUOUS"
    kind = build.text("kv_cache_type", "PAGED").rpartition(".")[2].upper()  # "paged", "KVCacheType.PAGED"
    if kind not in ("PAGED", "CONTINUOUS", "DISABLED"):
        build.refuse("kv_cache_type", "PAGED, CONTINUOUS or DISABLED")
        return "PAGED"
    return kind


def _is_on(plugins: JsonObject, name: str) -> bool:
    """Whether a plug-in is on: its value is a type (`auto`, `float16`), off is null, false or "disable"."""
    return plugins.values.get(name) not in (None, False, "", "disable")


def _speculation(build: JsonObject) -> Speculation:
    number = build.whole("speculative_decoding_mode", Speculation.NONE.value, least=1)
    try:
        return Speculation(number)
    except ValueError:
        build.refuse("speculative_decoding_mode", f"one of {', '.join(str(mode.value) for mode in Speculation)}")
        return Speculation.NONE


def _ranks(names: Iterable[str]) -> tuple[int, ...]:
    found = (re.fullmatch(r"rank([0-9]{1,9})\.engine", name) for name in names)
    return tuple(sorted(int(match[1]) for match in found if match))


def _check_ranks(found: JsonObject, facts: EngineFacts) -> None:
    world = facts.spread.world_size
    missing = [f"rank{rank}.engine" for rank in range(world) if rank not in facts.ranks]
    if missing:
        remedy = f"the folder needs rank0.engine to rank{world - 1}.engine: copy them from where it was built"
        found.complain(
            f"world_size is {world}, but {', '.join(missing[:4])}{' ...' * (len(missing) > 4)} "
            f"{'is' if len(missing) == 1 else 'are'} not there",
            "pretrained_config.mapping.world_size",
            remedy=remedy if world > 1 else "the folder needs rank0.engine: copy it from where it was built",
        )
    surplus = [rank for rank in facts.ranks if rank >= world]
    if surplus:
        found.complain(
            f"world_size is {world}, but there is rank{surplus[0]}.engine: files of two engines are mixed",
            "pretrained_config.mapping.world_size",
            remedy="build into an empty folder",
        )
