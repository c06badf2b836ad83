"""A config.pbtxt's text as a ModelConfig, read as Triton's C++ parser reads it, and everything that it refuses.

protobuf's parsers stop at the first mistake; this one says it, passes over it, and goes on.

Source: protobuf: text_format.cc (ParserImpl::ConsumeField); each difference from Python's parser tried on
tritonserver 2.51 (tests/generator/repository/test_textproto.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from google.protobuf.message import Message

from tritonsmith.generator.fixes import Fix, ReplaceText
from tritonsmith.generator.repository import scalars
from tritonsmith.generator.repository.fields import Field, fields_of
from tritonsmith.generator.repository.suggestions import (
    QUOTES,
    shown,
    suggest_bool,
    suggest_enum,
    suggest_field,
    suggest_number,
    suggest_stray,
    suggest_string,
)
from tritonsmith.generator.repository.tokens import END, Tokens

_CLOSERS = {"{": "}", "<": ">", "[": "]"}
_MOST_PROBLEMS = 100  # of what is no configuration at all, nobody reads more
_LARGE = 1 << 20  # characters: of a text beyond that only the first problem is told, as protobuf does


@dataclass(frozen=True)
class Problem:
    """What the parser refuses, and where."""

    line: int
    column: int
    message: str
    remedy: str = ""
    fix: Fix | None = None


class TooMuchError(Exception):
    """So much is wrong that reading on tells nobody anything."""


@dataclass
class Reader:
    """Reads tokens into a message; what is wrong is collected in `problems`."""

    tokens: Tokens
    words: list[str] = field(default_factory=list)
    at: int = 0
    problems: list[Problem] = field(default_factory=list)
    _open: list[tuple[str, int]] = field(default_factory=list)  # the closing bracket that is awaited, and the opening
    _scopes: list[dict[str, Field]] = field(default_factory=list)
    _is_ended: bool = False
    _passed: int = -1  # the last token that was passed over in search of a field

    def read(self, message: Message) -> None:
        """Read the whole text into an empty message."""
        try:
            self._pass_over_strays()
            self._message(message, fields_of(message.DESCRIPTOR), END)
        except TooMuchError:
            pass

    def _pass_over_strays(self) -> None:
        """Say which characters may not stand where they do; what was meant as a quote is read as one."""
        text = list(self.tokens.text)
        for stray, start in self.tokens.strays:
            line, column = self.tokens.place_at(start)
            self._add(Problem(line, column, *suggest_stray(stray)))
            text[start] = QUOTES.get(stray, " ")
        if self.problems:
            self.tokens = Tokens("".join(text))
        self.words = self.tokens.words

    def _problem(self, at: int, message: str, remedy: str = "", fix: Fix | None = None) -> None:
        place = self.tokens.place if len(self.tokens.text) <= _LARGE else self.tokens.first_place
        self._add(Problem(*place(at), message, remedy, fix))

    def _add(self, problem: Problem) -> None:
        self.problems.append(problem)
        if len(self.problems) >= (_MOST_PROBLEMS if len(self.tokens.text) <= _LARGE else 1):
            raise TooMuchError

    def _message(self, message: Any, fields: dict[str, Field], closer: str) -> None:
        """Read fields up to the closing bracket, which stays; `message` is a Message."""
        words = self.words
        held: dict[str, str] = {}  # what may not be set again: singular fields, and oneofs by the member that is set
        while True:
            name = words[self.at]
            known = fields.get(name)
            if known is None:
                if name == closer or self._is_ended or not self._pass_over(name, fields, closer):
                    return
                continue
            if not known.is_repeated and held:
                self._check_again(known, held)
            self.at += 1
            if words[self.at] == ":":
                self.at += 1
            elif known.kind != "message":
                self._missing_colon(name)
            if known.is_repeated and words[self.at] == "[":
                self._list(message, known, fields)
            elif self._value(message, known, fields) and not known.is_repeated:
                held[known.oneof or name] = name
            if words[self.at] in (",", ";"):
                self.at += 1

    def _check_again(self, known: Field, held: dict[str, str]) -> None:
        """Refuse a singular field that was set before, or whose oneof has another member."""
        before = held.get(known.oneof or known.name)
        if before == known.name:
            self._problem(self.at, f"'{before}' is given twice", "keep one of them")
        elif before is not None:
            self._problem(
                self.at,
                f"'{known.name}' is given beside '{before}': a model has one of them",
                f"keep one: of {known.oneof}",
            )

    def _missing_colon(self, name: str) -> None:
        if self.words[self.at] not in _CLOSERS or self.words[self.at] == "[":
            fix = ReplaceText(name, f"{name}:")
            self._problem(self.at - 1, f"a ':' is missing after '{name}'", f"write {name}: ...", fix)

    def _list(self, message: Any, known: Field, fields: dict[str, Field]) -> None:
        """Read `[ value, value ]`."""
        words, opening = self.words, self.at
        self.at += 1
        if words[self.at] == "]":
            self.at += 1
            return
        self._open.append(("]", opening))
        while not self._is_ended:
            before = self.at
            self._value(message, known, fields)
            word = words[self.at]
            if word == "]":
                self.at += 1
                break
            if word == ",":
                if words[self.at + 1] == "]":
                    self._problem(self.at, "a ',' stands before the ']'", "take it away", ReplaceText(",", ""))
                    self.at += 2
                    break
                self.at += 1
            elif self._closes_outside(word) or self._starts_field(fields):
                self._unclosed(opening, word)
                break
            elif word in (";", ":") or self.at == before:
                self._problem(self.at, f"expected ',' or ']', found {shown(word)}")
                self.at += 1
            else:
                self._problem(self.at, f"a ',' is missing before {shown(word)}", "put a comma between the values")
        self._open.pop()

    def _value(self, message: Any, known: Field, fields: dict[str, Field]) -> bool:
        """Read one value into the field; return whether it then counts as set."""
        if known.kind == "message":
            return self._inner(message, known, fields)
        value = self._scalar(known, fields)
        if value is None:
            return True
        if known.is_repeated:
            getattr(message, known.name).append(value)
            return True
        setattr(message, known.name, value)
        return known.has_presence or bool(value)

    def _inner(self, message: Any, known: Field, fields: dict[str, Field]) -> bool:
        """Read `{ ... }` or `< ... >`."""
        word, opening = self.words[self.at], self.at
        if word not in ("{", "<"):
            self._problem(*self._wrong(known, fields, f"'{known.name}' takes {{ ... }}, found {shown(word)}"))
            return True
        if known.is_map:
            inner = known.new_entry()
        elif known.is_repeated:
            inner = getattr(message, known.name).add()
        else:
            inner = getattr(message, known.name)
            inner.SetInParent()
        closer = _CLOSERS[word]
        self.at += 1
        self._open.append((closer, opening))
        self._scopes.append(fields)
        self._message(inner, known.fields, closer)
        self._scopes.pop()
        self._open.pop()
        if self.words[self.at] == closer:
            self.at += 1
        if known.is_map:
            _enter(getattr(message, known.name), inner, known.fields["value"])
        return True

    def _scalar(self, known: Field, fields: dict[str, Field]) -> Any:
        """Read one scalar; None, and the problem said, where it is no value of the field."""
        word, kind = self.words[self.at], known.kind
        if kind == "string":
            if word[:1] in ("'", '"'):
                return self._string()
            suggestion = suggest_string(word)
        elif kind == "enum" and word in known.values:
            self.at += 1
            return known.values[word]
        elif kind == "bool":
            if word in scalars.BOOLS:
                self.at += 1
                return scalars.BOOLS[word]
            suggestion = suggest_bool(word)
        if kind != "string":
            is_negative = word == "-"
            number = self.words[self.at + is_negative]
            read = scalars.read_float if kind == "float" else scalars.read_int
            value = read(number, known.range, is_negative=is_negative)
            if value is not None:
                self.at += 1 + is_negative
                return bool(value) if kind == "bool" else value
            if kind == "enum":
                suggestion = suggest_enum(word, known)
            elif kind != "bool":
                suggestion = suggest_number("-" * is_negative + number, known)
        self._problem(*self._wrong(known, fields, *suggestion))
        return None

    def _string(self) -> str:
        """Read string after string: they are one value."""
        words, parts = self.words, []
        while words[self.at][:1] in ("'", '"'):
            word = words[self.at]
            if problem := scalars.string_problem(word):
                self._problem(self.at, *problem)
            else:
                parts.append(word[1:-1] if "\\" not in word else scalars.unescape(word[1:-1]))
            self.at += 1
        value = parts[0] if len(parts) == 1 else "".join(parts)
        return value if value.isascii() else scalars.as_utf8(value)

    def _wrong(
        self, known: Field, fields: dict[str, Field], message: str, remedy: str = "", fix: Fix | None = None
    ) -> tuple[int, str, str, Fix | None]:
        """Pass over what is no value of a field; return the problem that it is."""
        at, word = self.at, self.words[self.at]
        if word in (END, ",", ";", "}", ">", "]", ":") or self._starts_field(fields):
            return at - (word == END), f"'{known.name}' has no value", "", None
        if name := self._placeholder():
            return at, f"'{known.name}' is {name}, a placeholder that was never filled", "fill it", None
        self._skip_value()
        return at, message, remedy, fix

    def _placeholder(self) -> str:
        """Pass over a `${name}` without quotes, and return it; empty where there is none."""
        words = self.words[self.at : self.at + 4]
        if words[:2] != ["$", "{"] or words[3:] != ["}"]:
            return ""
        self.at += 4
        return "".join(words)

    def _starts_field(self, fields: dict[str, Field]) -> bool:
        """Whether the next tokens are a known field's name and what follows one."""
        word, after = self.words[self.at], self.words[self.at + 1]
        return after in (":", "{", "[") and (word in fields or any(word in scope for scope in self._scopes))

    def _closes_outside(self, word: str) -> bool:
        return word == END or any(word == closer for closer, _ in self._open[:-1])

    def _unclosed(self, opening: int, word: str) -> None:
        """Say that a bracket is never closed; once where the text ends in it."""
        if self._is_ended:
            return
        self._is_ended = word == END
        self._problem(
            opening, f"this '{self.words[opening]}' is never closed", f"add '{_CLOSERS[self.words[opening]]}'"
        )

    def _pass_over(self, name: str, fields: dict[str, Field], closer: str) -> bool:
        """Say what is wrong with a token that is no field of the message; return whether the message goes on."""
        if closer != END and self._closes_outside(name):
            self._unclosed(self._open[-1][1], name)
            return False
        if closer != END and name in (">", "}"):
            self._problem(self.at, f"expected '{closer}', found '{name}'", fix=ReplaceText(name, closer))
            self.at += 1
            return False
        if name[:1].isalpha() or name[:1] == "_":
            if self._is_of_outside(name):
                self._unclosed(self._open[-1][1], name)
                return False
            self._unknown(name, fields)
            return True
        self._no_name(name, fields)
        return True

    def _no_name(self, word: str, fields: dict[str, Field]) -> None:
        """Say that a field's name is missing, and pass over what stands in its place."""
        at = self.at
        if word == "/" and self.words[at + 1] in ("/", "*"):
            is_line = self.words[at + 1] == "/" and self.tokens.text.startswith("//", self.tokens.starts[at])
            fix = ReplaceText("//", "#") if is_line else None
            self._problem(at, "comments start with '#'", "write # before each line of it", fix)
            line = self.tokens.place(at)[0]
            while self.words[self.at] != END and self.tokens.place(self.at)[0] == line:
                self.at += 1
            return
        if at != self._passed + 1 or not at:  # a run of them is one mistake
            bare = word.strip("\"'")
            fix = ReplaceText(word, bare) if bare in fields and bare != word else None
            remedy = f"write {bare}, without quotes" if fix else ""
            self._problem(at, f"expected a field's name, found {shown(word)}", remedy, fix)
        self._passed = at
        if word in _CLOSERS:
            self._skip_value()
            return
        self.at += 1
        if self.words[self.at] == ":" and word not in (",", ";"):
            self.at += 1
            self._skip_value()
            self._passed = self.at - 1

    def _is_of_outside(self, name: str) -> bool:
        """Whether a field is one of a message around, in a text that has more opening than closing brackets."""
        if not any(name in scope for scope in self._scopes):
            return False
        return self._opens_more

    @cached_property
    def _opens_more(self) -> bool:
        count = self.words.count
        return count("{") + count("<") > count("}") + count(">")

    def _unknown(self, name: str, fields: dict[str, Field]) -> None:
        self._problem(self.at, *suggest_field(name, fields))
        self.at += 1
        if self.words[self.at] == ":":
            self.at += 1
        elif self.words[self.at] not in _CLOSERS:
            return
        if not self._starts_field(fields):
            self._skip_value()
        if self.words[self.at] in (",", ";"):
            self.at += 1

    def _skip_value(self) -> None:
        """Pass over one value: a scalar, or what stands in brackets."""
        words = self.words
        word = words[self.at]
        if word in (END, ",", ";", "}", ">", "]", ":"):
            return
        if self._placeholder():
            return
        if word not in _CLOSERS:
            self.at += 1 + (word in ("-", "+") and words[self.at + 1] not in (END, "}", ">", "]"))
            while word[:1] in ("'", '"') and words[self.at][:1] in ("'", '"'):
                self.at += 1
            return
        depth = 0
        while words[self.at] != END:
            depth += (words[self.at] in _CLOSERS) - (words[self.at] in ("}", ">", "]"))
            self.at += 1
            if not depth:
                return


def _enter(entries: Any, entry: Any, value: Field) -> None:
    """Put an entry into a map: of two with one key the last stays."""
    if value.kind == "message":
        entries[entry.key].CopyFrom(entry.value)
    else:
        entries[entry.key] = entry.value
