"""Which findings are asked for: by code, by the beginning of a code (TS4), or by what follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.suggest import did_you_mean


@dataclass(frozen=True)
class Selection:
    """The findings that are asked for: codes, or beginnings of codes; without `select` all but the ignored ones."""

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    is_load_only: bool = False  # only errors by which a model never becomes ready

    def takes(self, finding: Finding) -> bool:
        """Whether the finding is asked for; one without a code is selected by no code and ignored by none."""
        if self.is_load_only and not (finding.phase and finding.phase.is_at_load):
            return False
        if self.select and not _is_among(finding.code, self.select):
            return False
        return not _is_among(finding.code, self.ignore)


def read_codes(options: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return the codes of `--select` or `--ignore`: each option may hold several, between commas.

    Raises: UsageError for one that no known code begins with.
    """
    codes = tuple(code for option in options for code in _split(option))
    for code in codes:
        if not _is_prefix(code, known):
            message = f"no check has the code '{code}'.{did_you_mean(code, known)}"
            raise UsageError(message, hint="tritonsmith check --explain all lists them")
    return codes


def _split(option: str) -> list[str]:
    return [code for part in option.split(",") if (code := part.strip().upper())]


def _is_prefix(code: str, known: Sequence[str]) -> bool:
    return any(one.startswith(code) for one in known)


def _is_among(code: str, prefixes: tuple[str, ...]) -> bool:
    return bool(code) and code.startswith(prefixes)
