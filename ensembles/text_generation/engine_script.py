"""engine.sh: the commands that make an engine of a checkpoint or a Hugging Face folder, as the spec wants it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from tritonsmith.ensembles.text_generation.llms import Llm
from tritonsmith.ensembles.text_generation.settings import Build, Settings
from tritonsmith.generator.catalog.releases import Release
from tritonsmith.generator.catalog.tensorrtllm.speculation import DECODING_MODES
from tritonsmith.generator.catalog.tensorrtllm.trtllm_build import OPTIONS, converter
from tritonsmith.generator.catalog.tensorrtllm.versions import Version
from tritonsmith.generator.manifests.launch import ENGINE_SCRIPT
from tritonsmith.generator.manifests.script import render_script
from tritonsmith.generator.suggest import did_you_mean

_MODES = {mode: speculation.option for speculation, mode in DECODING_MODES.items()}
_LOGITS = {"TYPE_FP32": "float32", "TYPE_FP16": "float16"}
# Weights are made smaller by convert_checkpoint.py itself; for the rest ModelOpt runs the model (quantize.py).
_WEIGHT_ONLY = {"int8_wo": "int8", "int4_wo": "int4"}
DRAFT_TOKENS = 10


def engine_script(llm: Llm, settings: Settings, release: Release, version: Version, max_batch_size: int) -> str | None:
    """Return the script for a model that is no engine yet; None where there is nothing to build."""
    if llm.facts.kind not in ("huggingface", "checkpoint") or llm.facts.source is None or llm.facts.is_exported:
        return None
    is_checkpoint = llm.facts.kind == "checkpoint"
    commands = [] if is_checkpoint else [_checkpoint_argv(llm, settings.build, version)]
    argv = ["trtllm-build", "--checkpoint_dir", '"$checkpoint"', "--output_dir", '"$engine"']
    commands.append([*argv, *build_argv(llm, settings, max_batch_size)])
    return render_script(
        Path(__file__).with_name(f"{ENGINE_SCRIPT}.j2"),
        name=llm.name,
        source=llm.facts.source.path.name,
        image=release.tensorrt_llm_image,
        tensorrt_llm=release.tensorrt_llm,
        is_checkpoint=is_checkpoint,
        commands=[" \\\n  ".join(_lines(command)) for command in commands],
    )


def _checkpoint_argv(llm: Llm, build: Build, version: Version) -> list[str]:
    """Return the command that makes a checkpoint of a Hugging Face folder."""
    spread = ["--tp_size", str(build.tensor_parallel), "--pp_size", str(build.pipeline_parallel)]
    shape = llm.facts.architecture
    known = shape is not None and shape.data_type in ("float16", "bfloat16", "float32")
    data_type = ["--dtype", shape.data_type if shape and known else "auto"]
    where = ["--model_dir", '"$model"', "--output_dir", '"$checkpoint"']
    if build.quantise is not None and build.quantise not in _WEIGHT_ONLY:
        cache = ["--kv_cache_dtype", build.kv_cache] if build.kv_cache else []
        formats = ["--qformat", build.quantise, *cache]
        return ["python3", '"$examples"/quantization/quantize.py', *where, *data_type, *formats, *spread]
    script = converter(shape.name if shape else "", version)
    words = ["python3", f'"$examples"/{script}' if script else '"${CONVERT:?the convert_checkpoint.py for this model}"']
    if build.quantise is not None:
        words += ["--use_weight_only", "--weight_only_precision", _WEIGHT_ONLY[build.quantise]]
    return [*words, *where, *data_type, *spread, *(["--int8_kv_cache"] if build.kv_cache == "int8" else [])]


def build_argv(llm: Llm, settings: Settings, max_batch_size: int) -> list[str]:
    """Return trtllm-build's options: what the pipeline's parameters need, and over it what the spec says."""
    wanted = dict(_needed(llm, settings, max_batch_size))
    given = settings.build.options if llm.role != "tensorrt_llm_draft" else {}
    wanted = {name: value for name, value in {**wanted, **given}.items() if value is not None}
    words: list[str] = []
    for name, value in wanted.items():
        option, *values = OPTIONS[name].argv(value) or [""]
        words += [option, *map(shlex.quote, values)] if option else []
    return words


def _needed(llm: Llm, settings: Settings, max_batch_size: int) -> Iterator[tuple[str, str]]:
    """Yield the options without which the pipeline's own parameters would be refused."""
    yield "max_batch_size", str(max_batch_size)
    yield "max_beam_width", llm.parameters.get("max_beam_width", "1")
    yield "kv_cache_type", "paged"
    yield "remove_input_padding", "enable"
    yield "gpt_attention_plugin", "auto"
    yield "gemm_plugin", "auto"
    yield "use_paged_context_fmha", "enable"  # reuse and chunks: of no cost where neither is used
    if settings.logits_datatype:
        yield "logits_dtype", _LOGITS[settings.logits_datatype]
    if llm.number("gpu_weights_percent", 1.0) < 1:
        yield "weight_streaming", "true"
    if llm.number("sink_token_length"):
        yield "streamingllm", "enable"
    if any(name.startswith("lora_") for name in llm.given):
        yield "lora_plugin", "auto"
        yield "max_lora_rank", llm.parameters.get("lora_cache_max_adapter_size", "64")
    mode = _MODES.get(llm.given.get("decoding_mode", ""))
    if llm.role == "tensorrt_llm" and settings.draft is not None:
        yield from (("speculative_decoding_mode", "draft_tokens_external"), ("max_draft_len", str(DRAFT_TOKENS)))
    elif mode:
        yield "speculative_decoding_mode", mode
    if llm.role == "tensorrt_llm_draft":
        yield "gather_generation_logits", "true"
    ranks = settings.build.tensor_parallel * settings.build.pipeline_parallel
    if ranks > 1:
        yield "workers", str(ranks)


def _lines(words: list[str]) -> Iterator[str]:
    """Yield the command in lines: the program, then each option with its values."""
    line: list[str] = []
    for word in words:
        if word.startswith("--"):
            yield " ".join(line)
            line = []
        line.append(word)
    yield " ".join(line)


def option_problems(options: Mapping[str, str | None]) -> Iterator[tuple[str, str, str]]:
    """Yield (option, what is wrong, what is possible) for options of the spec that trtllm-build would refuse."""
    for name, value in options.items():
        if name in ("checkpoint_dir", "output_dir"):
            yield name, f"'{name}' is the script's own", "call engine.sh with the folders: bash engine.sh MODEL ENGINE"
        elif name not in OPTIONS:
            yield name, f"trtllm-build has no option '{name}'.{did_you_mean(name, OPTIONS)}", "trtllm-build --help"
        elif value is not None:
            try:
                OPTIONS[name].argv(value)
            except ValueError as problem:
                yield name, f"'{value}' is no value of '{name}'", str(problem)
