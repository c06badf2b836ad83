"""`check`: what is looked at (`question`), how the findings are shown (`formats`), explained and mended."""

from tritonsmith.backends.checking.formats import FORMATS, show
from tritonsmith.backends.checking.question import (
    Asked,
    AskedManifests,
    Question,
    ask,
    selection_of,
    shown_if_unreadable,
)
from tritonsmith.generator.errors import UsageError

__all__ = [
    "FORMATS",
    "Asked",
    "AskedManifests",
    "Question",
    "ask",
    "explain",
    "fix",
    "selection_of",
    "show",
    "shown_if_unreadable",
]


def explain(code: str) -> str:
    """Return what a code means; see `codes`."""
    from tritonsmith.backends.checking.codes import explain as explain_code

    return explain_code(code)


def fix(asked: Asked | AskedManifests, *, is_dry: bool) -> str:
    """Mend what can be mended safely and return what was changed, as a diff.

    Raises: UsageError for what is no repository.
    """
    if isinstance(asked, AskedManifests):
        hint = "change what they were generated from, or the file itself"
        raise UsageError("--fix mends model repositories; manifests are yours to edit", hint=hint)
    from tritonsmith.backends.checking.mend import plan_mending

    mending = plan_mending(asked)
    if not is_dry:
        mending.write()
    return f"{mending.diff()}{mending.summary()}{'' if not is_dry else ' (not written)'}"
