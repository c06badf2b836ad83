"""The rules by code, and the run over all of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from tritonsmith.ensembles.blueprint import Use
from tritonsmith.ensembles.text_generation.llms import Llm
from tritonsmith.ensembles.text_generation.settings import Settings
from tritonsmith.generator.catalog.tensorrtllm.versions import Version
from tritonsmith.generator.findings import Finding

SUBJECTS = (
    "batching",
    "engine",
    "kv_cache",
    "speculation",
    "parallelism",
    "adapters",
    "disaggregation",
    "sharing",
    "build",
)


@dataclass(frozen=True)
class Case:
    """A pipeline with everything decided, before its models are written; `max_batch_size` is that of all of them."""

    settings: Settings
    use: Use
    version: Version
    llms: tuple[Llm, ...]
    max_batch_size: int

    @property
    def release(self) -> str:
        """The release and its TensorRT-LLM, in words."""
        return f"Triton {self.use.release.name} (TensorRT-LLM {self.use.release.tensorrt_llm})"


Finder = Callable[[Case], Iterator[Finding]]


@dataclass(frozen=True)
class Rule:
    """One rule: its stable code, what it holds, and the function that finds where it is broken."""

    code: str
    title: str
    find: Finder

    @property
    def reason(self) -> str:
        """Why it holds: the function's docstring."""
        return (self.find.__doc__ or "").strip()


_RULES: dict[str, Rule] = {}


def rule(code: str, title: str) -> Callable[[Finder], Finder]:
    """Register a rule under its code."""

    def register(find: Finder) -> Finder:
        assert code not in _RULES, f"two rules have the code {code}"
        _RULES[code] = Rule(code, title, find)
        return find

    return register


def all_rules() -> list[Rule]:
    """Return every rule, by code."""
    for subject in SUBJECTS:
        importlib.import_module(f"tritonsmith.ensembles.text_generation.rules.{subject}")
    return [_RULES[code] for code in sorted(_RULES)]


def findings(case: Case) -> list[Finding]:
    """Return every rule that the pipeline breaks."""
    return [replace(finding, code=rule.code) for rule in all_rules() for finding in rule.find(case)]
