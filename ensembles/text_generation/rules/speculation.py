"""Beams, drafts, and engines that speculate."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith.ensembles.text_generation.llms import Llm
from tritonsmith.ensembles.text_generation.rules.registry import Case, rule
from tritonsmith.generator.catalog.tensorrtllm.speculation import (
    DECODING_MODES,
    LOOKAHEAD,
    lookahead_draft_tokens,
    tree_paths,
)
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.inspect.engine import Speculation

_MODES = {mode: speculation for speculation, mode in DECODING_MODES.items()}


@rule("TL030", "beams are not wider than the engine's")
def beams_fit_the_engine(case: Case) -> Iterator[Finding]:
    """The backend refuses to load. Source: TensorRT-LLM: executor (maxBeamWidth against the engine's)."""
    for llm in case.llms:
        width = int(llm.number("max_beam_width", 1))
        built = llm.facts.engine.limits.max_beam_width if llm.facts.engine else width
        if width > built:
            message = (
                f"max_beam_width {width}, but the engine was built with max_beam_width {built} "
                f"({llm.facts.says('build_config.max_beam_width')})"
            )
            hint = f"max_beam_width: {built}, or build the engine with --max_beam_width {width}"
            yield case.use.error(message, *llm.where("max_beam_width"), hint=hint)
        if width < 1:
            yield case.use.error("max_beam_width 0: one beam is the least", *llm.where("max_beam_width"), hint="1")


@rule("TL031", "beams are searched for, and by nothing that speculates")
def beams_have_their_mode(case: Case) -> Iterator[Finding]:
    """Wider beams are decoded by beam search alone; a mode that samples or speculates knows one beam."""
    for llm in case.llms:
        mode, width = llm.parameters.get("decoding_mode", ""), int(llm.number("max_beam_width", 1))
        if width > 1 and mode not in ("", "beam_search"):
            message = f"decoding_mode {mode} has one beam, max_beam_width is {width}"
            hint = "max_beam_width: 1, or leave decoding_mode out"
            yield case.use.error(message, *llm.where("decoding_mode"), hint=hint)
        if width == 1 and mode == "beam_search":
            message = "decoding_mode beam_search has one beam only: max_beam_width is 1"
            yield case.use.error(
                message, *llm.where("decoding_mode"), hint="max_beam_width: 2 or more, or leave it out"
            )
        if width > 1 and case.settings.draft is not None and llm.role == "tensorrt_llm":
            message = f"a draft is confirmed along one beam, max_beam_width is {width}"
            yield case.use.error(message, *llm.where("max_beam_width"), hint="max_beam_width: 1, or no draft")


@rule("TL032", "an engine decodes as it was built to speculate")
def mode_is_the_engine_s(case: Case) -> Iterator[Finding]:
    """An engine with Medusa's heads is decoded by medusa alone, and so on; the backend only warns of another mode.

    Source: TensorRT-LLM: executor (DecodingMode against the engine's speculative decoding mode).
    """
    for llm in case.llms:
        mode, engine = llm.parameters.get("decoding_mode", ""), llm.facts.engine
        if engine is None:
            continue
        built, wanted = engine.options.speculation, DECODING_MODES.get(engine.options.speculation)
        says = f"speculative_decoding_mode {built.option} ({llm.facts.says('build_config.speculative_decoding_mode')})"
        if wanted is None and mode in _MODES:
            message = f"decoding_mode {mode}, but the engine was built with {says}"
            hint = f"leave it out, or build the engine with --speculative_decoding_mode {_MODES[mode].option}"
            yield case.use.error(message, *llm.where("decoding_mode"), hint=hint)
        elif wanted is not None and mode != wanted:
            message = f"decoding_mode {mode or 'not given'}, but the engine was built with {says}"
            yield case.use.error(message, *llm.where("decoding_mode"), hint=f"decoding_mode: {wanted}")


@rule("TL033", "a tree of guesses is a tree, and the engine can hold it")
def choices_fit_the_engine(case: Case) -> Iterator[Finding]:
    """Each path extends one that is there; a tree has at most as many nodes as the engine takes draft tokens."""
    for llm in case.llms:
        for mode in ("medusa", "eagle"):
            name = f"{mode}_choices"
            paths = tree_paths(llm.given.get(name, ""))
            if not paths:
                continue
            if llm.parameters.get("decoding_mode") != mode:
                message = f"{name} is read with decoding_mode {mode} alone"
                yield case.use.error(message, *llm.where(name), hint="leave it out")
            orphans = [path for path in paths if len(path) > 1 and path[:-1] not in paths]
            if orphans:
                shown = "{" + ", ".join(map(str, orphans[0])) + "}"
                message = f"{name}: the path {shown} extends none that is there"
                yield case.use.error(message, *llm.where(name), hint="name every node above it too")
            most = llm.facts.engine.limits.max_draft_len if llm.facts.engine else 0
            if most and len(paths) > most:
                message = (
                    f"{name} has {len(paths)} nodes, but the engine was built with max_draft_len {most} "
                    f"({llm.facts.says('build_config.max_draft_len')})"
                )
                yield case.use.error(message, *llm.where(name), hint=f"at most {most} nodes")


@rule("TL034", "lookahead has its three sizes, and the engine can hold their guesses")
def lookahead_fits_the_engine(case: Case) -> Iterator[Finding]:
    """Source: TensorRT-LLM: docs of lookahead (max_draft_len of a window, an n-gram and a verification set)."""
    for llm in case.llms:
        given = [name for name in LOOKAHEAD if name in llm.given]
        if not given:
            continue
        if llm.parameters.get("decoding_mode") != "lookahead":
            message = f"{given[0]} is read with decoding_mode lookahead alone"
            yield case.use.error(message, *llm.where(given[0]), hint="leave it out")
        elif len(given) < len(LOOKAHEAD):
            missing = ", ".join(name for name in LOOKAHEAD if name not in given)
            message = f"{given[0]} without {missing}: the three are given together or not at all"
            yield case.use.error(message, *llm.where(given[0]), hint=f"give {missing}")
        else:
            yield from _lookahead_length(case, llm)


def _lookahead_length(case: Case, llm: Llm) -> Iterator[Finding]:
    window, ngram, checked = (int(llm.given[name]) for name in LOOKAHEAD)
    needed = lookahead_draft_tokens(window, ngram, checked)
    built = llm.facts.engine.limits.max_draft_len if llm.facts.engine else needed
    if needed > built:
        message = (
            f"lookahead with window {window}, n-gram {ngram} and verification set {checked} guesses {needed} tokens, "
            f"but the engine was built with max_draft_len {built} ({llm.facts.says('build_config.max_draft_len')})"
        )
        yield case.use.error(message, *llm.where(LOOKAHEAD[0]), hint="smaller sizes, or build the engine for more")


@rule("TL035", "a draft has a target that takes its tokens")
def draft_has_its_target(case: Case) -> Iterator[Finding]:
    """The target confirms several tokens in one step only where it was built with draft_tokens_external.

    Both speak of the same tokens, so their vocabularies are one. Source: TensorRT-LLM: docs of speculative decoding.
    """
    roles = {llm.role: llm for llm in case.llms}
    target, draft = roles.get("tensorrt_llm"), roles.get("tensorrt_llm_draft")
    if target is None or draft is None:
        return
    engine = target.facts.engine
    if engine is not None and engine.options.speculation is not Speculation.DRAFT_TOKENS_EXTERNAL:
        message = (
            f"the target of a draft, but the engine was built with speculative_decoding_mode "
            f"{engine.options.speculation.option} ({target.facts.says('build_config.speculative_decoding_mode')})"
        )
        hint = "build it with --speculative_decoding_mode draft_tokens_external --max_draft_len 10"
        yield case.use.error(message, "engine", hint=hint)
    elif engine is not None and engine.limits.max_draft_len < 1:
        message = f"the engine takes no draft tokens ({target.facts.says('build_config.max_draft_len')}: 0)"
        yield case.use.error(message, "engine", hint="build it with --max_draft_len 10")
    if draft.facts.engine and draft.facts.engine.options.speculation is not Speculation.NONE:
        built = draft.facts.engine.options.speculation.option
        message = (
            f"a draft that speculates itself ({draft.facts.says('build_config.speculative_decoding_mode')}: {built})"
        )
        yield case.use.error(message, "with", "draft", "engine", hint="a plain engine drafts")
    mine, theirs = (llm.facts.architecture.vocab_size if llm.facts.architecture else 0 for llm in (target, draft))
    if mine and theirs and mine != theirs:
        message = (
            f"the draft's vocabulary has {theirs} tokens, the target's {mine}: they do not speak of the same tokens"
        )
        yield case.use.error(message, "with", "draft", "engine", hint="a draft of the same family of models")
    if not draft.is_on("exclude_input_in_output") and "exclude_input_in_output" in draft.given:
        message = "exclude_input_in_output false makes the draft repeat its prompt at every step"
        yield case.use.error(message, *draft.where("exclude_input_in_output"), hint="leave it out")


@rule("TL036", "a draft's logits are moved fast only between processes")
def fast_logits_have_processes(case: Case) -> Iterator[Finding]:
    """They go from the draft's process to the target's by MPI, which needs an orchestrator without spawned processes.

    Source: TensorRT-LLM: executor (SpeculativeDecodingConfig.fastLogits); the draft must gather generation logits.
    """
    for llm in case.llms:
        if not llm.is_on("speculative_decoding_fast_logits"):
            continue
        path = llm.where("speculative_decoding_fast_logits")
        if case.settings.draft is None:
            message = "speculative_decoding_fast_logits without a draft"
            yield case.use.error(message, *path, hint="leave it out, or give `draft`")
        if case.use.server.orchestrator != "participants":
            message = "speculative_decoding_fast_logits needs server.orchestrator participants"
            yield case.use.error(message, *path, hint="server: {orchestrator: participants}")
        draft = next((other for other in case.llms if other.role == "tensorrt_llm_draft"), None)
        if draft and draft.facts.engine and not draft.facts.engine.options.gathers_generation_logits:
            message = (
                "speculative_decoding_fast_logits, but the draft was built with gather_generation_logits off "
                f"({draft.facts.says('build_config.gather_generation_logits')})"
            )
            yield case.use.error(message, *path, hint="build the draft with --gather_generation_logits")
