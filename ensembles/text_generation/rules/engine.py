"""Whether the engine is one that the release's server can run, and the types of its tensors are the models'."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith.ensembles.text_generation.rules.registry import Case, rule
from tritonsmith.generator.catalog.tensorrtllm.engines import gpu_family, is_built_by, releases_that_run
from tritonsmith.generator.findings import Finding


@rule("TL010", "the engine was built by the container's TensorRT-LLM")
def version_is_the_container_s(case: Case) -> Iterator[Finding]:
    """An engine is refused by any other version ("engine plan file is not compatible"; TensorRT-LLM #660, #10450)."""
    carried = case.use.release.tensorrt_llm
    for llm in case.llms:
        built = llm.facts.engine.version if llm.facts.engine else ""
        if built and not is_built_by(built, carried):
            message = (
                f"the engine was built by TensorRT-LLM {built} ({llm.facts.says('version')}), "
                f"Triton {case.use.release.name} carries {carried}"
            )
            fitting = releases_that_run(built)
            other = f'triton: "{fitting[-1]}", or ' if fitting else ""
            yield case.use.error(message, "engine", hint=f"{other}build the engine in the container of this release")


@rule("TL011", "the engine was built for the GPU it runs on")
def gpu_is_the_one_built_for(case: Case) -> Iterator[Finding]:
    """TensorRT compiles for one architecture. trtllm-build writes down a GPU like the one it ran on."""
    ours = gpu_family(case.use.hardware.gpu)
    for llm in case.llms:
        theirs = gpu_family(llm.facts.engine.built_on) if llm.facts.engine else ""
        if ours and theirs and ours != theirs:
            message = (
                f"the engine was built on {theirs} "
                f"({llm.facts.says('build_config.auto_parallel_config.cluster_key')}), the hardware is {ours}"
            )
            yield case.use.warning(message, "engine", hint="build the engine on the GPU that will run it")


@rule("TL012", "logits have the engine's type")
def logits_type_is_the_engine_s(case: Case) -> Iterator[Finding]:
    """The C++ backend compares them and refuses to load; tensorrt_llm, tensorrt_llm_bls and the ensemble say the same.

    Source: TensorRT-LLM: model_instance_state.cc.
    """
    asked = case.settings.logits_datatype
    for llm in case.llms:
        built = llm.facts.logits_datatype
        if asked and llm.facts.kind in ("engine", "checkpoint") and asked != built:
            key = "pretrained_config.logits_dtype" if llm.facts.engine else "logits_dtype"
            message = f"logits_datatype {asked}, but the engine's logits are {built} ({llm.facts.says(key)})"
            hint = f"leave it out: {built} follows from the engine"
            yield case.use.error(message, "with", "logits_datatype", hint=hint)
        options = llm.facts.engine.options if llm.facts.engine else None
        gathers = options and (options.gathers_context_logits or options.gathers_generation_logits)
        if gathers and case.version < (0, 17) and built != "TYPE_FP32":
            message = (
                f"{case.release} returns logits as TYPE_FP32, but the engine's are {built} "
                f"({llm.facts.says('pretrained_config.logits_dtype')})"
            )
            hint = 'build the engine with --logits_dtype float32, or write triton: "25.01" or later'
            yield case.use.error(message, "engine", hint=hint)


@rule("TL013", "prompt embedding tables have the engine's type")
def prompt_table_type_is_the_engine_s(case: Case) -> Iterator[Finding]:
    """Before TensorRT-LLM 1.1 they are FP16 in the ensemble whatever the engine is."""
    for llm in case.llms:
        engine = llm.facts.engine
        asked, built = case.settings.prompt_embedding_table_data_type, llm.facts.data_type
        if engine is None or not (asked or engine.limits.max_prompt_embedding_table_size):
            continue
        written = asked or (built if case.version >= (1, 1) else "TYPE_FP16")
        if written != built:
            message = (
                f"prompt_embedding_table is {written}, but the engine computes in {built} "
                f"({llm.facts.says('pretrained_config.dtype')})"
            )
            hint = f"leave it out: {built} follows from the engine"
            if case.version < (1, 1):
                hint = 'build the engine with dtype float16, or write triton: "25.12" or later'
            yield case.use.error(message, "with", "prompt_embedding_table_data_type", hint=hint)


@rule("TL014", "an encoder's features have the type that the decoder takes")
def encoder_type_is_the_model_s(case: Case) -> Iterator[Finding]:
    """BF16 for mllama, FP16 for every other. Source: TensorRT-LLM: docs of multimodal models in triton_backend."""
    asked = case.settings.encoder_input_features_data_type
    for llm in case.llms:
        shape, wanted = llm.facts.architecture, llm.facts.encoder_datatype
        if asked and shape and asked != wanted:
            message = f"encoder_input_features is {asked}, but {shape.name} takes {wanted}"
            yield case.use.error(message, "with", "encoder_input_features_data_type", hint="leave it out")


@rule("TL015", "an encoder has a part of the KV cache, and only an encoder")
def cross_attention_has_its_cache(case: Case) -> Iterator[Finding]:
    """The backend refuses to load either way. Source: TensorRT-LLM: model_instance_state.cc."""
    for llm in case.llms:
        has_encoder = llm.facts.engine is not None and llm.facts.engine.encoder is not None
        for name in ("encoder_model_path", "cross_kv_cache_fraction"):
            if name in llm.given and llm.facts.engine and not has_encoder:
                message = f"{name} is for encoder-decoder models; {llm.facts.engine.path.name} has no encoder"
                yield case.use.error(message, *llm.where(name), hint="leave it out")
        if has_encoder and case.version < (0, 14):
            message = f"{case.release} serves no encoder beside a decoder: cross_kv_cache_fraction came with 0.14"
            yield case.use.error(message, "engine", hint='triton: "24.10" or later')


_NEEDS_AN_ENGINE = {
    "decoding_mode": ("medusa", "redrafter", "lookahead", "eagle", "beam_search"),
    "medusa_choices": (),
    "eagle_choices": (),
    "encoder_model_path": (),
}


@rule("TL016", "what only an engine can do has one")
def a_model_must_be_built(case: Case) -> Iterator[Finding]:
    """The C++ backend loads engines alone. Our Python-based backend generates from a Hugging Face folder too."""
    for llm in case.llms:
        if llm.facts.source and llm.facts.kind == "checkpoint":
            message = f"'{llm.facts.source.path.name}' is a checkpoint, which no backend runs"
            hint = f"build an engine of it with {llm.name}/engine.sh, and name that folder"
            yield case.use.warning(message, "engine", hint=hint)
        for name, modes in _NEEDS_AN_ENGINE.items() if llm.facts.kind == "huggingface" else ():
            value = llm.given.get(name)
            if value and (not modes or value in modes):
                message = f"{name} {value} needs an engine that was built for it; this is a Hugging Face folder"
                yield case.use.error(message, *llm.where(name), hint="build an engine, and name its folder")


@rule("TL017", "weights are streamed only into an engine that can")
def streamed_weights_need_their_build(case: Case) -> Iterator[Finding]:
    """gpu_weights_percent keeps a part of the weights in host memory, for engines built with --weight_streaming."""
    for llm in case.llms:
        part = llm.number("gpu_weights_percent", 1.0)
        if part < 1 and llm.facts.engine and not llm.facts.engine.options.streams_weights:
            message = (
                f"gpu_weights_percent {part:g}, but the engine was built with weight_streaming off "
                f"({llm.facts.says('build_config.weight_streaming')})"
            )
            hint = "leave it out, or build the engine with --weight_streaming"
            yield case.use.error(message, *llm.where("gpu_weights_percent"), hint=hint)


@rule("TL018", "guided decoding has its backend and its tokenizer")
def guides_have_what_they_need(case: Case) -> Iterator[Finding]:
    """C++ reads the tokenizer from a JSON made by examples/generate_xgrammar_tokenizer_info.py, Python from a folder.

    Without a backend a request's guide is refused.
    """
    for llm in case.llms:
        backend = llm.given.get("guided_decoding_backend")
        described = llm.given.get("xgrammar_tokenizer_info_path")
        if backend and not (described or llm.given.get("tokenizer_dir")):
            message = f"guided_decoding_backend {backend} has no tokenizer"
            hint = (
                "xgrammar_tokenizer_info_path: a JSON made by generate_xgrammar_tokenizer_info.py (C++), "
                "or tokenizer_dir (our Python-based backend)"
            )
            yield case.use.error(message, *llm.where("guided_decoding_backend"), hint=hint)
        elif described and not backend:
            message = "xgrammar_tokenizer_info_path is read only with guided_decoding_backend"
            path = llm.where("xgrammar_tokenizer_info_path")
            yield case.use.error(message, *path, hint="guided_decoding_backend: xgrammar")
