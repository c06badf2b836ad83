"""Rules about one language model: asked of those alone, whatever else a repository holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps

from tritonsmith.generator.checks.case import Case
from tritonsmith.generator.checks.registry import check_case
from tritonsmith.generator.checks.rules.llm.llms import Caller, Llm, callers_of, llms_of
from tritonsmith.generator.findings import Finding, Phase

LlmRule = Callable[[Llm], Iterator[Finding]]
CallerRule = Callable[[Caller], Iterator[Finding]]

# What TensorRT-LLM's backend puts before the words of an exception, and TensorRT-LLM before those of a failed check.
CREATING = "unexpected error when creating modelInstanceState: "
ASSERTED = f"{CREATING}[TensorRT-LLM][ERROR] Assertion failed: "
THROWN = f"{CREATING}[TensorRT-LLM][ERROR] "


def llm_check(
    code: str, title: str, *, triton: str = "", phase: Phase = Phase.LOAD, spec: str = ""
) -> Callable[[LlmRule], LlmRule]:
    """Register a rule about each model that runs an engine.

    `spec` is the code of the blueprint's rule that says the same at the spec's place: where it did, this one is silent.
    """

    def register(rule: LlmRule) -> LlmRule:
        @wraps(rule)
        def over_llms(case: Case) -> Iterator[Finding]:
            if case.once(llms_of) and not is_said(case, spec):
                for llm in case.once(llms_of):
                    yield from rule(llm)

        check_case(code, title, triton=triton, phase=phase)(over_llms)
        return rule

    return register


def caller_check(
    code: str, title: str, *, triton: str = "", phase: Phase = Phase.REQUEST
) -> Callable[[CallerRule], CallerRule]:
    """Register a rule about each model that asks LLMs."""

    def register(rule: CallerRule) -> CallerRule:
        @wraps(rule)
        def over_callers(case: Case) -> Iterator[Finding]:
            for caller in case.once(callers_of):
                yield from rule(caller)

        check_case(code, title, triton=triton, phase=phase)(over_callers)
        return rule

    return register


def is_said(case: Case, code: str) -> bool:
    """Whether a rule of the blueprint's said it already, at the spec's place."""
    return bool(code) and any(finding.code == code for finding in case.repository.findings)
