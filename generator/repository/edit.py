"""Fixes applied to the text of a config.pbtxt: what is not touched stays as it was, comments and layout too."""

from __future__ import annotations

import re

from tritonsmith.generator.findings import Place
from tritonsmith.generator.fixes import AddFile, Fix, RemoveField, ReplaceText, SetField
from tritonsmith.generator.repository.spans import Span, find_spans
from tritonsmith.generator.repository.tokens import Tokens

_INDENT = "  "


def edited(text: str, fix: Fix, place: Place) -> str | None:
    """Return the text with a fix applied, None where it does not fit the text (or is none of the text)."""
    match fix:
        case ReplaceText():
            return _replaced(text, fix, place)
        case SetField():
            return _set(text, fix)
        case RemoveField():
            return _removed(text, fix)
        case AddFile():
            return None


def _replaced(text: str, fix: ReplaceText, place: Place) -> str | None:
    lines = text.split("\n")
    if not 0 < place.line <= len(lines):
        return None
    line, at = lines[place.line - 1], max(place.column - 1, 0)
    if not line.startswith(fix.old, at):  # a parser that counts otherwise: where it can be nothing else
        if line.count(fix.old) != 1:
            return None
        at = line.index(fix.old)
    lines[place.line - 1] = line[:at] + fix.new + line[at + len(fix.old) :]
    return "\n".join(lines)


def _set(text: str, fix: SetField) -> str | None:
    spans = find_spans(Tokens(text))
    found = spans.get(fix.path, [])
    if found:
        for span in reversed(found[1:]):
            text = _cut(text, span)
        return text[: found[0].value] + fix.text + text[found[0].end :]
    parent, _, name = fix.path.rpartition(".")
    if not re.fullmatch(r"[a-z_0-9]+", name):
        return None
    field = f"{name} {fix.text}" if fix.text.startswith("{") else f"{name}: {fix.text}"
    if not parent:
        return f"{text}{'' if text.endswith(chr(10)) or not text else chr(10)}{field}\n"
    around = spans.get(parent, [])
    return _added(text, field, *around[0].body) if len(around) == 1 and around[0].body else None


def _added(text: str, field: str, start: int, end: int) -> str:
    """Return the text with a field at the end of the message whose body is text[start:end]."""
    body = text[start:end]
    if "\n" not in body:
        before = body.rstrip()
        return f"{text[:start]}{before}{' ' if not before.endswith(' ') else ''}{field} {text[end:]}"
    closing = body.rpartition("\n")[2]  # the blanks before the closing brace
    if closing.strip():  # } stands behind a field
        return f"{text[:end].rstrip()} {field} {text[end:]}"
    kept = text[: end - len(closing)]
    return f"{kept}{closing}{_INDENT}{field}\n{closing}{text[end:]}"


def _removed(text: str, fix: RemoveField) -> str | None:
    found = find_spans(Tokens(text)).get(fix.path, [])
    for span in reversed(found):
        text = _cut(text, span)
    return text if found else None


def _cut(text: str, span: Span) -> str:
    """Return the text without a field, and without the line that held nothing else."""
    start, end = span.start, span.end
    behind = re.compile(r"\s*[,;]").match(text, end)
    if behind:
        end = behind.end()
    elif span.is_item:
        before = re.compile(r",\s*\Z").search(text, 0, start)
        start = before.start() if before else start
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", end)
    line_end = len(text) if line_end < 0 else line_end
    if not text[line_start:start].strip():
        rest = text[end:line_end].lstrip()  # a comment, or the next field
        return text[:start] + rest + text[line_end:] if rest else text[:line_start] + text[line_end + 1 :]
    if text[start - 1 : start] in (" ", "") and text[end : end + 1] == " ":
        end += 1
    return text[:start] + text[end:]
