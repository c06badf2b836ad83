"""An LLM against the engine beside it: whether the release can run it, and what it was built for."""

from __future__ import annotations

from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import DataType

from tritonsmith.generator.catalog.tensorrtllm.engines import DATATYPES, gpu_family, is_built_by, releases_that_run
from tritonsmith.generator.checks.rules.enums import enum_name
from tritonsmith.generator.checks.rules.llm.llms import Llm
from tritonsmith.generator.checks.rules.llm.registry import ASSERTED, CREATING, llm_check
from tritonsmith.generator.findings import Finding, Phase

_CROSS_ATTENTION = ("DecoderModel", "MLLaMA", "Mllama")  # architectures whose decoder reads an encoder's answer
_PATHS = ("gpt_model_path", "encoder_model_path")


@llm_check("TS730", "an engine is named", triton=f"{ASSERTED}Both encoder and decoder model paths are empty...")
def engine_is_named(llm: Llm) -> Iterator[Finding]:
    """gpt_model_path is what a template calls `engine_dir`. A path that is not there counts as none.

    Source: tensorrtllm, part 1.1; TensorRT-LLM: model_instance_state.cc (ModelInstanceState).
    """
    if any("${" in llm.model.config.parameters[name].string_value for name in _PATHS if _has(llm, name)):
        return  # a placeholder: another finding
    if not any(llm.text(name) for name in _PATHS):
        yield llm.model.error("parameters", "neither gpt_model_path nor encoder_model_path is set", remedy="name one")


def _has(llm: Llm, name: str) -> bool:
    return name in llm.model.config.parameters


@llm_check("TS731", "the engine's folder is there")
def engine_is_there(llm: Llm) -> Iterator[Finding]:
    """A path such as /models/tensorrt_llm/1/engine is a folder of this repository where the server sees it at /models.

    Without it the model does not load ("Both encoder and decoder model paths are empty").

    Source: tensorrtllm, Lint rule 19; tensorrtllm_backend #61, #79, #207.
    """
    if llm.folder is not None and not llm.folder.names:
        path = llm.text("gpt_model_path")
        message = f"gpt_model_path '{path}' is {llm.folder} of this repository, which is not there"
        yield llm.warning("gpt_model_path", message, "copy rank0.engine and config.json there")


@llm_check("TS732", "the engine has its config.json", triton=f"{ASSERTED}File does not exist: {{path}}...")
def engine_says_what_it_is(llm: Llm) -> Iterator[Finding]:
    """trtllm-build writes it beside rank0.engine, and the backend reads the engine's sizes from it.

    Source: tensorrtllm, Lint rule 19; TensorRT-LLM: gptJsonConfig.cpp; tensorrtllm_backend #309, #500.
    """
    folder = llm.folder
    if folder is None or not any(name.endswith(".engine") and "/" not in name for name in folder.names):
        return
    if "config.json" not in folder.names:
        message = f"{folder} holds an engine without config.json"
        yield llm.error("gpt_model_path", message, "copy config.json from where trtllm-build wrote it")


@llm_check("TS733", "the engine is one, and whole")
def engine_is_whole(llm: Llm) -> Iterator[Finding]:
    """One rank*.engine for each rank of the world, and a config.json in a layout that today's servers read.

    Source: tensorrtllm, Lint rule 19 and part 5.2; TensorRT-LLM: builder.py.
    """
    for found in llm.faults:
        where = f"{llm.folder}/config.json: {found.key}: " if found.key else ""
        remedy = found.remedy or "copy config.json again from where the engine was built"
        yield llm.error("gpt_model_path", f"{where}{found.message}", remedy)


@llm_check(
    "TS734",
    "the engine was built by the release's TensorRT-LLM",
    triton=f"{ASSERTED}Failed to deserialize cuda engine...",
)
def engine_is_the_version_s(llm: Llm) -> Iterator[Finding]:
    """An engine is refused by any other version ("engine plan file is not compatible").

    Source: tensorrtllm, Lint rule 19; TensorRT-LLM #660, #1324, #10450; tensorrtllm_backend #190, #337.
    """
    release, built = llm.model.target.release, llm.engine.version if llm.engine else ""
    if not built or not release.tensorrt_llm or is_built_by(built, release.tensorrt_llm):
        return
    fitting = releases_that_run(built)
    message = (
        f"the engine was built by TensorRT-LLM {built} ({llm.says('version')}), Triton {release.name} carries "
        f"{release.tensorrt_llm}"
    )
    remedy = f"build the engine in the container of {release.name}"
    yield llm.error("gpt_model_path", message, f"Triton {fitting[-1]}, or {remedy}" if fitting else remedy)


@llm_check("TS735", "the engine was built for the GPU that runs it", spec="TL011")
def engine_is_the_gpu_s(llm: Llm) -> Iterator[Finding]:
    """TensorRT compiles for one architecture. trtllm-build writes down a GPU like the one it ran on.

    Source: tensorrtllm, Lint rule 19.
    """
    hardware = llm.model.case.repository.settings.get("hardware")
    ours = gpu_family(str(hardware.get("gpu", ""))) if isinstance(hardware, dict) else ""
    theirs = gpu_family(llm.engine.built_on) if llm.engine else ""
    if ours and theirs and ours != theirs:
        key = llm.says("build_config.auto_parallel_config.cluster_key")
        message = f"the engine was built on {theirs} ({key}), the hardware is {ours}"
        yield llm.warning("gpt_model_path", message, "build the engine on the GPU that will run it")


@llm_check("TS736", "the batch is not larger than the engine's", spec="TL001")
def batch_fits_the_engine(llm: Llm) -> Iterator[Finding]:
    """What goes beyond the engine's batch waits inside it, where nothing reports or limits the queue.

    Source: tensorrtllm, Lint rule 20; tensorrtllm_backend #120, #189.
    """
    asked = llm.model.config.max_batch_size
    built = llm.engine.limits.max_batch_size if llm.engine else asked
    if asked > built:
        says = llm.says("build_config.max_batch_size")
        message = f"max_batch_size is {asked}, the engine was built with max_batch_size {built} ({says})"
        yield llm.model.warning("max_batch_size", message, remedy=f"{built} or less, or build the engine for more")


@llm_check(
    "TS737",
    "beams are not wider than the engine's",
    triton=f"{ASSERTED}Runtime configured max beam width ({{n}}) must not exceed engine max beam width ({{n}})...",
)
def beams_fit_the_engine(llm: Llm) -> Iterator[Finding]:
    """Buffers of an engine are as wide as it was built.

    Source: tensorrtllm, Lint rule 21; TensorRT-LLM: trtGptModel.h.
    """
    width = llm.whole("max_beam_width") or 1
    built = llm.engine.limits.max_beam_width if llm.engine else width
    if width > built:
        says = llm.says("build_config.max_beam_width")
        message = f"max_beam_width is {width}, the engine was built with max_beam_width {built} ({says})"
        yield llm.error("max_beam_width", message, f"{built}, or build the engine with --max_beam_width {width}")


@llm_check(
    "TS740",
    "in-flight batching has an engine that can",
    triton=f"{CREATING}TrtGptModelInflightBatching requires GPT attention/Mamba Conv 1d plugin with packed input and "
    "paged KV cache.",
)
def engine_can_batch_in_flight(llm: Llm) -> Iterator[Finding]:
    """It needs a paged KV cache, packed inputs and the attention plug-in.

    Source: tensorrtllm, Lint rule 22; TensorRT-LLM: trtGptModelInflightBatching.cpp.
    """
    options = llm.engine.options if llm.engine else None
    if options is None or llm.text("gpt_model_type").lower() == "v1":
        return
    lacking = [
        (options.kv_cache != "PAGED", "kv_cache_type", f"kv_cache_type {options.kv_cache}"),
        (not options.is_input_packed, "plugin_config.remove_input_padding", "remove_input_padding off"),
        (not options.has_attention_plugin, "plugin_config.gpt_attention_plugin", "gpt_attention_plugin off"),
    ]
    for is_lacking, key, words in lacking:
        if is_lacking:
            message = f"the engine was built with {words} ({llm.says(f'build_config.{key}')})"
            remedy = "build it with --kv_cache_type paged --remove_input_padding enable --gpt_attention_plugin auto"
            yield llm.error("gpt_model_type", message, remedy)
            return


@llm_check("TS749", "weights are streamed only into an engine that can", phase=Phase.REQUEST)
def streamed_weights_need_their_build(llm: Llm) -> Iterator[Finding]:
    """gpu_weights_percent keeps a part of the weights in host memory, for engines built with --weight_streaming.

    Without that, TensorRT has nothing to stream: all weights go to the GPU, which may not hold them.

    Source: tensorrtllm, Lint rule 25; TensorRT-LLM: tllmRuntime.cpp (setWeightStreaming).
    """
    part = llm.number("gpu_weights_percent")
    if part is not None and part < 1 and llm.engine and not llm.engine.options.streams_weights and not llm.is_python:
        says = llm.says("build_config.weight_streaming")
        message = f"gpu_weights_percent is {part:g}, the engine was built with weight_streaming off ({says})"
        yield llm.error("gpu_weights_percent", message, "leave it out, or build with --weight_streaming")


@llm_check("TS750", "adapters have an engine that takes them", phase=Phase.REQUEST)
def adapters_need_their_plugin(llm: Llm) -> Iterator[Finding]:
    """A cache for adapters is of no use to an engine without the LoRA plug-in, which refuses lora_task_id.

    Source: tensorrtllm, Lint rule 26; TensorRT-LLM: trtGptModelInflightBatching.cpp (NoOpPeftCacheManager).
    """
    given = [name for name in llm.texts if name.startswith("lora_")]
    if given and llm.engine and not llm.engine.options.has_lora:
        says = llm.says("build_config.plugin_config.lora_plugin")
        message = f"{given[0]} is {llm.text(given[0])}, the engine was built with lora_plugin off ({says})"
        yield llm.error(given[0], message, "leave it out, or build the engine with --lora_plugin auto")


@llm_check("TS751", "the cache holds the largest adapter, and the engine takes it", phase=Phase.REQUEST)
def adapters_fit(llm: Llm) -> Iterator[Finding]:
    """Sizes are ranks. An adapter beyond the largest is refused; what the engine was not built for can never come.

    Source: tensorrtllm, Lint rule 26.
    """
    most, best = (llm.whole(f"lora_cache_{kind}_adapter_size") for kind in ("max", "optimal"))
    if best is not None and best > (64 if most is None else most):
        message = f"lora_cache_optimal_adapter_size {best} is above lora_cache_max_adapter_size {most or 64}"
        yield llm.error("lora_cache_optimal_adapter_size", message, "optimal is the rank that most adapters have")
    options = llm.engine.options if llm.engine else None
    if most is not None and options is not None and options.has_lora and most > options.max_lora_rank > 0:
        says = llm.says("build_config.lora_config.max_lora_rank")
        message = f"lora_cache_max_adapter_size {most}: the engine takes ranks up to {options.max_lora_rank} ({says})"
        yield llm.error("lora_cache_max_adapter_size", message, f"{options.max_lora_rank}")


@llm_check("TS759", "every prompt that the engine takes fits into a step, or is read in pieces", spec="TL006")
def long_prompts_fit_a_step(llm: Llm) -> Iterator[Finding]:
    """Without chunked context a prompt is read in one step, so max_num_tokens limits it too.

    Source: tensorrtllm, Lint rule 30.
    """
    engine = llm.engine
    if engine is None or llm.is_on("enable_chunked_context") or llm.text("encoder_model_path"):
        return
    step, prompt = engine.limits.max_num_tokens, engine.limits.max_input_len
    if step < prompt:
        message = (
            f"prompts of {step + 1} to {prompt} tokens are refused: the engine has max_num_tokens {step} and "
            f"max_input_len {prompt} ({llm.says('build_config.max_num_tokens')})"
        )
        yield llm.model.warning(
            "parameters", message, remedy='enable_chunked_context: "true", or build for more tokens'
        )


@llm_check(
    "TS760",
    "an encoder has a part of the KV cache",
    triton=f"{ASSERTED}Must set crossKvCacheFraction for encoder-decoder model...",
)
def encoders_have_their_cache(llm: Llm) -> Iterator[Finding]:
    """The decoder keeps what the encoder says in a cache of its own, which is a part of the whole.

    Source: tensorrtllm, Lint rule 31; TensorRT-LLM: trtGptModelInflightBatching.cpp.
    """
    if llm.version < (0, 14) or not llm.known or llm.number("cross_kv_cache_fraction") is not None:
        return
    if _reads_an_encoder(llm) and llm.text("gpt_model_path"):
        message = "an encoder-decoder model without cross_kv_cache_fraction"
        yield llm.model.error("parameters", message, remedy='cross_kv_cache_fraction: "0.5"')


@llm_check(
    "TS761",
    "only an encoder has a part of the KV cache",
    triton=f"{ASSERTED}Do not set crossKvCacheFraction for decoder-only model...",
)
def decoders_have_no_cross_cache(llm: Llm) -> Iterator[Finding]:
    """A decoder alone has no cross attention, so no part of the cache can be kept for it.

    Source: tensorrtllm, Lint rule 31; TensorRT-LLM: trtGptModelInflightBatching.cpp.
    """
    if llm.number("cross_kv_cache_fraction") is not None and llm.engine and not _reads_an_encoder(llm):
        says = llm.says("pretrained_config.architecture")
        message = f"cross_kv_cache_fraction is set, and {llm.engine.architecture.name} has no encoder ({says})"
        yield llm.error("cross_kv_cache_fraction", message, "leave it out")


def _reads_an_encoder(llm: Llm) -> bool:
    name = llm.engine.architecture.name if llm.engine else ""
    return bool(llm.text("encoder_model_path")) or name.startswith(_CROSS_ATTENTION)


@llm_check("TS762", "an encoder's features have the type that the decoder takes", phase=Phase.REQUEST)
def features_have_their_type(llm: Llm) -> Iterator[Finding]:
    """BF16 for mllama, FP16 for every other.

    Source: tensorrtllm, Lint rule 32; TensorRT-LLM: docs of multimodal models in triton_backend.
    """
    if llm.engine is None or not _reads_an_encoder(llm):
        return
    wanted = "TYPE_BF16" if llm.engine.architecture.name.lower().startswith("mllama") else "TYPE_FP16"
    yield from _typed(llm, "input", ("encoder_input_features",), wanted, "pretrained_config.architecture")


@llm_check("TS769", "logits have the engine's type", phase=Phase.REQUEST)
def logits_have_the_engine_s_type(llm: Llm) -> Iterator[Finding]:
    """The backend compares them with each answer that has logits, and fails; there are FP32 and FP16.

    Source: tensorrtllm, Lint rule 11; TensorRT-LLM: model_instance_state.cc (fillTritonResponse).
    """
    if llm.engine is None:
        return
    options = llm.engine.options
    if llm.version < (0, 17) and not (options.gathers_context_logits or options.gathers_generation_logits):
        return  # the templates say FP32 whatever the engine is, and no logits come
    wanted = DATATYPES.get(llm.engine.architecture.logits_type, "TYPE_FP32")
    names = ("context_logits", "generation_logits")
    yield from _typed(llm, "output", names, wanted, "pretrained_config.logits_dtype")


@llm_check("TS770", "prompt embedding tables have the engine's type", phase=Phase.REQUEST)
def tables_have_the_engine_s_type(llm: Llm) -> Iterator[Finding]:
    """A table of another type is read as noise, or refused.

    Source: tensorrtllm, Lint rule 12.
    """
    if llm.engine is None or not llm.engine.limits.max_prompt_embedding_table_size:
        return
    wanted = DATATYPES.get(llm.engine.architecture.data_type)
    if wanted is not None:
        yield from _typed(llm, "input", ("prompt_embedding_table",), wanted, "pretrained_config.dtype")


def _typed(llm: Llm, kind: str, names: tuple[str, ...], wanted: str, key: str) -> Iterator[Finding]:
    for index, tensor in enumerate(getattr(llm.model.config, kind)):
        if tensor.name in names and tensor.data_type != DataType.Value(wanted):
            message = (
                f"{tensor.name} is {enum_name(DataType, tensor.data_type)}, the engine's is {wanted} ({llm.says(key)})"
            )
            yield llm.model.error(f"{kind}[{index}].data_type", message, remedy=wanted)
