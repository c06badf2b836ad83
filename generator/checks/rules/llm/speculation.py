"""Beams, drafts, guided decoding, and engines that guess ahead."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tritonsmith.generator.checks.rules.llm.llms import Caller, Llm, llms_of
from tritonsmith.generator.checks.rules.llm.registry import ASSERTED, THROWN, caller_check, llm_check
from tritonsmith.generator.findings import Finding, Phase

_CHOICES = {"medusa_choices": "medusa", "eagle_choices": "eagle"}


def llm_named(caller: Caller, name: str) -> Llm | None:
    """Return an LLM that a caller asks, by name."""
    return next((llm for llm in caller.model.case.once(llms_of) if llm.name == name), None)


@llm_check("TS738", "beams are searched for, and by nothing that samples or guesses", phase=Phase.REQUEST)
def beams_have_their_mode(llm: Llm) -> Iterator[Finding]:
    """Wider beams are decoded by beam search alone; the executor replaces beam search of one beam by sampling.

    Source: tensorrtllm, Lint rule 21; TensorRT-LLM: trtGptModelInflightBatching.cpp (getDecodingMode).
    """
    mode, width = llm.text("decoding_mode"), llm.whole("max_beam_width")
    row = llm.known.get("decoding_mode")
    if row is None or mode not in row.choices:
        return
    if width is not None and width > 1 and mode != "beam_search":
        message = f"decoding_mode {mode} has one beam, max_beam_width is {width}"
        yield llm.error("decoding_mode", message, 'max_beam_width: "1", or leave decoding_mode out')
    elif (width or 1) == 1 and mode == "beam_search":
        message = "decoding_mode is beam_search with max_beam_width 1: answers are sampled"
        yield llm.error("decoding_mode", message, 'max_beam_width: "2" or more, or leave decoding_mode out')


@caller_check("TS739", "the text of one beam is accumulated")
def one_beam_is_accumulated(caller: Caller) -> Iterator[Finding]:
    """NVIDIA's tensorrt_llm_bls refuses streams of several beams ("only implemented for beam width = 1").

    Source: tensorrtllm, Lint rule 21; TensorRT-LLM: tensorrt_llm_bls/1/lib/decode.py.
    """
    llm = llm_named(caller, caller.asked)
    width = (llm.whole("max_beam_width") or 1) if llm is not None else 1
    on = caller.text("accumulate_tokens").lower() in ("true", "yes", "1", "t")
    if on and width > 1 and not caller.is_ours and caller.model.config.model_transaction_policy.decoupled:
        message = f"accumulate_tokens is on, and {caller.asked} has max_beam_width {width}: such streams are refused"
        yield caller.warning("accumulate_tokens", message, 'max_beam_width: "1"')


@llm_check("TS752", "an engine decodes as it was built to guess", phase=Phase.REQUEST)
def mode_is_the_engine_s(llm: Llm) -> Iterator[Finding]:
    """An engine with Medusa's heads is decoded by medusa alone, and so on; the executor replaces another mode.

    Source: tensorrtllm, Lint rule 27; TensorRT-LLM: trtGptModelInflightBatching.cpp (getDecodingMode).
    """
    from tritonsmith.generator.catalog.tensorrtllm.speculation import DECODING_MODES

    mode = llm.text("decoding_mode")
    if llm.engine is None or not mode or mode == "auto":
        return
    built = llm.engine.options.speculation
    wanted = DECODING_MODES.get(built)
    if mode != wanted and (wanted is not None or mode in DECODING_MODES.values()):
        says = llm.says("build_config.speculative_decoding_mode")
        message = f"decoding_mode is {mode}, the engine was built with {built.option} ({says})"
        yield llm.error("decoding_mode", message, wanted or "leave it out, or build the engine for it")


@llm_check("TS753", "a tree of guesses is a tree, and the engine can hold it", phase=Phase.REQUEST)
def choices_fit_the_engine(llm: Llm) -> Iterator[Finding]:
    """Each path extends one that is there; a tree has at most as many nodes as the engine takes draft tokens.

    What is no tree is a warning in C++, which then takes its own; the Python model refuses to load.

    Source: tensorrtllm, Lint rule 27.
    """
    from tritonsmith.generator.catalog.tensorrtllm.speculation import tree_paths

    for name in _CHOICES:
        text = llm.text(name)
        if not text:
            continue
        if not re.fullmatch(r"[\s\d,{}]*", text) or not (paths := tree_paths(text)) or text.count("{") != len(paths):
            message = f"{name} is '{text[:60]}', which is no list of paths"
            yield llm.error(name, message, "paths of a tree, each once, e.g. {0}, {0, 0}, {1}")
            continue
        orphans = [path for path in paths if len(path) > 1 and path[:-1] not in paths]
        if orphans:
            shown = "{" + ", ".join(map(str, min(orphans))) + "}"
            yield llm.error(name, f"{name}: the path {shown} extends none that is there", "name every node above it")
        most = llm.engine.limits.max_draft_len if llm.engine else 0
        if most and len(paths) > most:
            says = llm.says("build_config.max_draft_len")
            message = f"{name} has {len(paths)} nodes, the engine was built with max_draft_len {most} ({says})"
            yield llm.error(name, message, f"at most {most} nodes")


@llm_check(
    "TS754",
    "lookahead has its three sizes",
    triton=f"{THROWN}Decoding mode is set to lookahead but lookahead parameters are not specified. Please set "
    "parameters lookahead_window_size, lookahead_ngram_size, and lookahead_verification_set_size....",
)
def lookahead_is_complete(llm: Llm) -> Iterator[Finding]:
    """With decoding_mode lookahead the backend has no default for them.

    Source: tensorrtllm, Lint rule 28; TensorRT-LLM: model_instance_state.cc (getExecutorConfigFromParams).
    """
    from tritonsmith.generator.catalog.tensorrtllm.speculation import LOOKAHEAD

    missing = [name for name in LOOKAHEAD if llm.whole(name) is None]
    is_asked = not llm.is_python or len(missing) < len(LOOKAHEAD)  # Python takes none of them for none
    if llm.text("decoding_mode") == "lookahead" and llm.version >= (0, 19) and missing and is_asked:
        message = f"decoding_mode is lookahead without {', '.join(missing)}"
        yield llm.error("decoding_mode", message, "give all three, or leave decoding_mode out")


@llm_check("TS755", "the engine can hold what lookahead guesses", phase=Phase.REQUEST)
def lookahead_fits_the_engine(llm: Llm) -> Iterator[Finding]:
    """The sizes of the server are upper bounds for those of requests, and the engine's are for the server's.

    Source: tensorrtllm, Lint rule 28; TensorRT-LLM: examples/lookahead/README.md.
    """
    from tritonsmith.generator.catalog.tensorrtllm.speculation import LOOKAHEAD, lookahead_draft_tokens

    sizes = [size for name in LOOKAHEAD if (size := llm.whole(name)) is not None]
    built = llm.engine.limits.max_draft_len if llm.engine else 0
    if len(sizes) == len(LOOKAHEAD) and built and (needed := lookahead_draft_tokens(*sizes)) > built:
        says = llm.says("build_config.max_draft_len")
        message = f"lookahead guesses {needed} tokens, the engine was built with max_draft_len {built} ({says})"
        yield llm.error(LOOKAHEAD[0], message, "smaller sizes, or build the engine for more")


@caller_check("TS756", "a draft has a target that takes its tokens")
def draft_has_its_target(caller: Caller) -> Iterator[Finding]:
    """The target confirms several tokens in one step only where it was built for them; both have one vocabulary.

    Source: tensorrtllm, Lint rule 29; TensorRT-LLM: docs of speculative decoding; tensorrtllm_backend #473.
    """
    from tritonsmith.generator.inspect.engine import Speculation

    if not caller.draft:
        return
    target, draft = llm_named(caller, caller.asked), llm_named(caller, caller.draft)
    engine = target.engine if target is not None else None
    if target is not None and engine is not None:
        built, most = engine.options.speculation, engine.limits.max_draft_len
        if built is not Speculation.DRAFT_TOKENS_EXTERNAL:
            key = target.says("build_config.speculative_decoding_mode")
            message = f"it confirms {caller.draft}'s tokens, its engine was built with {built.option} ({key})"
            remedy = "build it with --speculative_decoding_mode draft_tokens_external --max_draft_len 10"
            yield target.error("gpt_model_path", message, remedy)
        elif most < 1:
            message = f"its engine takes no draft tokens ({target.says('build_config.max_draft_len')}: 0)"
            yield target.error("gpt_model_path", message, "build it with --max_draft_len 10")
    other = draft.engine if draft is not None else None
    if engine is not None and other is not None and draft is not None:
        mine, theirs = engine.architecture.vocab_size, other.architecture.vocab_size
        if mine != theirs:
            message = f"its vocabulary has {theirs} tokens, that of {caller.asked} {mine}: they speak of other tokens"
            yield draft.error("gpt_model_path", message, "a draft of the same family of models")


@llm_check(
    "TS757",
    "the target of a draft reuses its cache",
    triton=f"{ASSERTED}KV cache block reuse must be enabled for speculative decoding target model...",
)
def targets_reuse(llm: Llm) -> Iterator[Finding]:
    """Each step goes on with the prompt of the last.

    Source: TensorRT-LLM: trtGptModelInflightBatching.cpp.
    """
    from tritonsmith.generator.inspect.engine import Speculation

    is_target = llm.engine is not None and llm.engine.options.speculation is Speculation.DRAFT_TOKENS_EXTERNAL
    if is_target and llm.known and not llm.is_on("enable_kv_cache_reuse"):
        message = "enable_kv_cache_reuse is off, the engine was built for draft tokens from outside"
        yield llm.error("enable_kv_cache_reuse", message, '"true"')


@caller_check("TS758", "a draft's caller finds the server at its gRPC port")
def drafts_are_asked_by_grpc(caller: Caller) -> Iterator[Finding]:
    """From 0.20 on NVIDIA's tensorrt_llm_bls reads the draft's configuration from localhost:8001.

    Source: tensorrtllm, Lint rule 29; TensorRT-LLM: tensorrt_llm_bls/1/lib/triton_decoder.py.
    """
    server = caller.model.target.server
    if caller.draft and server is not None and server.grpc_port != 8001 and not caller.is_ours:
        message = f"it asks localhost:8001 about its draft, the server's grpc_port is {server.grpc_port}"
        yield caller.error("tensorrt_llm_draft_model_name", message, "server: {grpc_port: 8001}")


@llm_check("TS763", "guided decoding in C++ has its tokenizer's description", phase=Phase.REQUEST)
def guides_are_followed(llm: Llm) -> Iterator[Finding]:
    """Without xgrammar_tokenizer_info_path it is off, without a word; a request with a guide is refused.

    examples/generate_xgrammar_tokenizer_info.py makes the file.

    Source: tensorrtllm, Lint rule 33; TensorRT-LLM: model_instance_state.cc (getGuidedDecodingConfigFromParams).
    """
    backend, described = (llm.text(name) for name in ("guided_decoding_backend", "xgrammar_tokenizer_info_path"))
    if llm.is_python or bool(backend) == bool(described):
        return
    if llm.text("tokenizer_dir") and not described and llm.model.case.repository.settings:
        return  # our Python-based backend reads the tokenizer itself
    lacking = "guided_decoding_backend" if described else "xgrammar_tokenizer_info_path"
    given = "xgrammar_tokenizer_info_path" if described else "guided_decoding_backend"
    remedy = "xgrammar" if described else "a JSON made by generate_xgrammar_tokenizer_info.py"
    yield llm.error(given, f"{given} is set without {lacking}: guides are off", f"{lacking}: {remedy}")


@llm_check(
    "TS764",
    "guides are followed by xgrammar",
    triton=f"{THROWN}Guided decoding is currently supported with 'xgrammar' backend. Invalid guided_decoding_backend "
    "parameter provided....",
)
def guides_have_their_backend(llm: Llm) -> Iterator[Finding]:
    """The engine path knows no other.

    Source: tensorrtllm, Lint rule 33; TensorRT-LLM: model_instance_state.cc (getGuidedDecodingConfigFromParams).
    """
    backend = llm.text("guided_decoding_backend")
    is_read = llm.text("xgrammar_tokenizer_info_path") and llm.version >= (0, 19)
    if backend and backend != "xgrammar" and is_read and not llm.is_python:
        yield llm.error("guided_decoding_backend", f"guided_decoding_backend is '{backend}'", "xgrammar")


@llm_check(
    "TS765",
    "guided decoding in Python has its tokenizer",
    triton="ValueError: Guided decoding requires tokenizer's information. Please provide 'tokenizer_dir'....",
)
def python_guides_have_a_tokenizer(llm: Llm) -> Iterator[Finding]:
    """The Python model reads the tokenizer's folder when it is loaded.

    Source: tensorrtllm, Lint rule 33; TensorRT-LLM: tensorrt_llm/1/model.py (get_guided_decoding_config).
    """
    if llm.is_python and llm.text("guided_decoding_backend") == "xgrammar" and not llm.text("tokenizer_dir"):
        message = "guided_decoding_backend is set without tokenizer_dir"
        yield llm.error("guided_decoding_backend", message, "tokenizer_dir: the tokenizer's folder")
