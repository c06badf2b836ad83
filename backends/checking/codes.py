"""Every code that `check` can tell, and what stands behind it."""

from __future__ import annotations

from tritonsmith.ensembles.text_generation.rules import all_rules
from tritonsmith.generator.checks.explain import explain_check, list_checks
from tritonsmith.generator.checks.registry import all_checks
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.suggest import did_you_mean

ALL = "all"


def known_codes() -> list[str]:
    """Return the codes of the checks, and of the rules by which blueprints judge their own settings."""
    return [*all_checks(), *(rule.code for rule in all_rules())]


def explain(code: str) -> str:
    """Return what a code means, why, and in which words Triton says it; of `all` the titles.

    Raises: UsageError for a code that there is not.
    """
    checks, rules = all_checks(), {rule.code: rule for rule in all_rules()}
    wanted = code.upper()
    if code == ALL:
        return "\n".join([list_checks(), *(f"{rule.code}  {rule.title}" for rule in rules.values())])
    if wanted in checks:
        return explain_check(checks[wanted])
    if wanted in rules:
        rule = rules[wanted]
        return f"{rule.code}: {rule.title}\n\n{rule.reason}\n\nA rule of the blueprint text_generation."
    known = [*checks, *rules]
    raise UsageError(f"no check has the code '{code}'.{did_you_mean(wanted, known)}", hint="--explain all lists them")
