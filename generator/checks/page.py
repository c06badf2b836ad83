"""The page of all findings, generated: `python -m tritonsmith.generator.checks.page` writes README.md beside this."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from tritonsmith.generator import console
from tritonsmith.generator.checks.explain import consequence_of, explanation_of
from tritonsmith.generator.checks.registry import Check, all_checks

PAGE = Path(__file__).parent / "README.md"
_MANIFESTS = "manifests: "
_HEAD = """# Findings of `check`

Made by `make findings` from the rules themselves. In a terminal: `tritonsmith check --explain CODE`.
An error says what follows: the model will not load, its load hangs or crashes the server, or it loads and fails at
requests. A warning will be regretted; a note only a newer release or the client can change.
Codes that begin with TK are about Kubernetes manifests: of them an error says that the cluster refuses it, that its
pods never become ready, or that it does not do its part; what hurts in production is a warning, what is taste a note.
Triton's own messages are quoted as its source words them, `{...}` for what differs.

Of what is known to go wrong with TensorRT-LLM some has no rule, since no file tells what a client will send:
which endpoint it asks of a decoupled model, and with `streaming` or a batch (Lint rule 41); how it reads the
numbers of performance outputs (53); whether it says `max_tokens`, else 32 (54); how many requests come at once, so
whether `max_batch_size` is enough for them (part of 20); whether it asks for logits (part of 24: a note, TS796, says
what the engine cannot give); how long its prompts and answers are, against the engine's lengths (part of 30).
"""


def findings_page() -> str:
    """Return the page: for each subject a table of its checks, then each with its reason, message and source."""
    checks = sorted(all_checks().values(), key=lambda check: (_subject(check), check.code))
    groups = [(subject, list(group)) for subject, group in groupby(checks, key=_subject)]
    groups.sort(key=lambda group: (group[0].startswith(_MANIFESTS), group[1][0].code))
    return "\n".join([_HEAD, *(line for subject, group in groups for line in _section(subject, group))])


def _section(subject: str, checks: Sequence[Check]) -> Iterator[str]:
    yield f"## {subject.replace('_', ' ').capitalize()}"
    yield "| code | where it is broken | what holds |\n|---|---|---|"
    for check in checks:
        yield f"| [{check.code}](#{check.code.lower()}) | {consequence_of(check)} | {_cell(check.title)} |"
    yield ""
    for check in checks:
        yield from _entry(check)


def _entry(check: Check) -> Iterator[str]:
    told = explanation_of(check)
    yield f"### {check.code}"
    yield f"**{check.title}.** {told.reason}".strip()
    if check.triton:
        yield f"\n> {_quoted(check.triton)}"
    if told.source:
        yield f"\nSource: {told.source}"
    yield ""


def _subject(check: Check) -> str:
    """Return the module, or the package, in which a check stands."""
    module = check.rule.__module__.removeprefix("tritonsmith.generator.checks.").removeprefix("rules.")
    head, _, rest = module.partition(".")
    return f"{_MANIFESTS}{rest.removeprefix('rules.')}" if head == "manifests" else head


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _quoted(template: str) -> str:
    fence = "``" if "`" in template else "`"
    return f"{fence}{template}{fence}"


if __name__ == "__main__":
    PAGE.write_text(findings_page(), encoding="utf-8")
    console.result(str(PAGE))
