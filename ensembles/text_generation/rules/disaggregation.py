"""Context and generation on different GPUs."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith.ensembles.text_generation.llms import shares_a_gpu
from tritonsmith.ensembles.text_generation.rules.registry import Case, rule
from tritonsmith.generator.findings import Finding


@rule("TL060", "context and generation are processes of an orchestrator that does not spawn")
def phases_are_participants(case: Case) -> Iterator[Finding]:
    """The KV cache goes from process to process by MPI, so both are ranks of one mpirun.

    Source: TensorRT-LLM: triton_backend/all_models/disaggregated_serving/README.md.
    """
    if case.settings.disaggregated is not None and case.use.server.orchestrator != "participants":
        message = f"disaggregated serving needs server.orchestrator participants; it is {case.use.server.orchestrator}"
        yield case.use.error(message, "with", "disaggregated", hint="server: {orchestrator: participants}")


@rule("TL061", "the release can hand a prompt's cache over")
def release_hands_over(case: Case) -> Iterator[Finding]:
    """context_phase_params came with TensorRT-LLM 0.14."""
    if case.settings.disaggregated is not None and case.version < (0, 14):
        message = f"{case.release} has no context_phase_params, so no disaggregated serving"
        yield case.use.error(message, "with", "disaggregated", hint='triton: "24.10" or later')


@rule("TL062", "context and generation are one model, on different GPUs")
def phases_are_one_model(case: Case) -> Iterator[Finding]:
    """What one reads the other continues: layers, heads and the cache's type are the same."""
    if case.settings.disaggregated is None or len(case.llms) < 2:
        return
    context, generation = case.llms
    if shares_a_gpu(context, generation):
        message = "context and generation have a GPU in common, so each waits for the other"
        yield case.use.error(
            message, *generation.where("gpu_device_ids"), hint="leave gpu_device_ids out: they are counted"
        )
    one, other = context.facts.architecture, generation.facts.architecture
    for name in ("name", "vocab_size", "layers", "kv_heads", "head_size", "data_type", "kv_cache_quantisation"):
        if one and other and getattr(one, name) != getattr(other, name):
            message = (
                f"context and generation differ in {name.replace('_', ' ')}: {getattr(one, name)} "
                f"({context.facts.says('pretrained_config')}), {getattr(other, name)} "
                f"({generation.facts.says('pretrained_config')})"
            )
            yield case.use.error(message, *generation.at, "engine", hint="build both from one checkpoint")


@rule("TL063", "disaggregated serving is not mixed with drafts, replicas of the whole, encoders or beams")
def phases_stand_alone(case: Case) -> Iterator[Finding]:
    """The orchestrating model hands over one sequence per request, and has no second model to draft."""
    if case.settings.disaggregated is None:
        return
    if case.settings.draft is not None:
        message = "a draft is not carried over from context to generation"
        yield case.use.error(message, "with", "draft", hint="leave out draft, or disaggregated")
    if case.use.replicas > 1:
        message = f"replicas {case.use.replicas}: context and generation have replicas of their own"
        yield case.use.error(message, "replicas", hint="with: {disaggregated: {context: {replicas: 2}}}")
    for llm in case.llms:
        if llm.facts.engine and llm.facts.engine.encoder:
            yield case.use.error(
                "an encoder-decoder model cannot be disaggregated", "engine", hint="a decoder-only one"
            )
        if int(llm.number("max_beam_width", 1)) > 1:
            message = f"max_beam_width {llm.parameters['max_beam_width']}: one beam is handed over"
            yield case.use.error(message, *llm.where("max_beam_width"), hint="max_beam_width: 1")
        if llm.facts.kind == "huggingface":
            message = f"{llm.name} needs an engine: only NVIDIA's C++ backend hands a cache over"
            yield case.use.error(
                message, "engine", hint="without disaggregated, `build` writes engine.sh, which makes an engine"
            )
