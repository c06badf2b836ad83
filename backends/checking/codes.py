"""Every code that `check` can tell, and what stands behind it."""

from __future__ import annotations

import inspect

from tritonsmith.backends.running.explain import LIVE_CHECKS
from tritonsmith.ensembles.text_generation.rules import all_rules
from tritonsmith.generator.checks.explain import explain_check, list_checks
from tritonsmith.generator.checks.registry import all_checks
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.suggest import did_you_mean

ALL = "all"


def known_codes() -> list[str]:
    """Return the codes of the checks, of those on a running server, and of a blueprint's rules for its settings."""
    return [*all_checks(), *LIVE_CHECKS, *(rule.code for rule in all_rules())]


def explain(code: str) -> str:
    """Return what a code means, why, and in which words Triton says it; of `all` the titles.

    Raises: UsageError for a code that there is not.
    """
    rules = {rule.code: rule for rule in all_rules()}
    wanted = code.upper()
    if code == ALL:
        titles = {code: check.title for code, check in LIVE_CHECKS.items()} | {r.code: r.title for r in rules.values()}
        return "\n".join([list_checks(), *(f"{code}  {title}" for code, title in titles.items())])
    if wanted in all_checks():
        return explain_check(all_checks()[wanted])
    if wanted in LIVE_CHECKS:
        check = LIVE_CHECKS[wanted]
        return f"{check.code}: {check.title}\n\n{inspect.cleandoc(check.reason)}\n\nTold of a running server: --url."
    if wanted in rules:
        rule = rules[wanted]
        return f"{rule.code}: {rule.title}\n\n{rule.reason}\n\nA rule of the blueprint text_generation."
    near = did_you_mean(wanted, known_codes())
    raise UsageError(f"no check has the code '{code}'.{near}", hint="--explain all lists them")
