"""Which way of serving was measured: as --calibrate names it, or the only one that is looked at."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.plan.candidates import Way
from tritonsmith.perf.plan.core import USUAL_BATCH, LanguageModel, WeightType
from tritonsmith.perf.plan.memory.replica import memory
from tritonsmith.perf.plan.options import Wishes, ways_of
from tritonsmith.perf.plan.shares import named

_SPREAD = re.compile(r"(?:TP|PP|EP|DP)\d+", re.IGNORECASE)


def split_way(option: Path) -> tuple[str, Path]:
    """Return the way and the folder of `[WAY=]RESULTS`; "" where it names no way."""
    way, _, folder = str(option).rpartition("=")
    return ("", option) if not way or option.exists() else (way, Path(folder))


def measured_way(texts: Sequence[str], model: LanguageModel, wishes: Wishes) -> Way:
    """Return the way that "H100-SXM-80GB TP4 fp8" names, of those that are looked at and fit; "" names the only one.

    Raises: UsageError where it is none or several, or two results name different ones.
    """
    named_so = {text for text in texts if text}
    if len(named_so) > 1:
        hint = "plan twice, each with the results of one"
        raise UsageError(f"--calibrate: {' and '.join(sorted(named_so))} were measured, which are two ways", hint=hint)
    wanted = next(iter(named_so), "")
    possible = [way for way in _looked_at(model, wishes) if _is_meant(wanted, wishes.batches)(way)]
    if len(possible) == 1:
        return possible[0]
    every = possible or list(_looked_at(model, wishes))
    hint = f'name one: --calibrate "{_name(every[0])}=RESULTS"' if every else "nothing fits: see plan without it"
    if not possible:
        raise UsageError(f"--calibrate: no way that is looked at and fits is '{wanted}'", hint=hint)
    which = f"'{wanted}' is {len(possible)} ways" if wanted else f"which of {len(possible)} ways was measured?"
    raise UsageError(f"--calibrate: {which}", hint=hint)


def _looked_at(model: LanguageModel, wishes: Wishes) -> list[Way]:
    return [way for way in ways_of(model, wishes) if not way.problem and memory(model, way.serving, way.gpu).fits]


def _is_meant(text: str, batches: Sequence[int]) -> Callable[[Way], bool]:
    """Return whether a way is what the words say: a GPU, a spread, a type of weights, a batch, in any order.

    Words that say no batch mean the usual one, where it is one of several.
    """
    words = text.replace(",", " ").split()
    spread = {word.upper() for word in words if _SPREAD.fullmatch(word)}
    types = {word for word in words if word in get_args(WeightType)}
    sizes = {int(word) for word in words if word.isdecimal()}
    if not sizes and words and len(batches) > 1:
        sizes = {USUAL_BATCH} & {*batches}
    others = (word for word in words if not _SPREAD.fullmatch(word) and word not in types)
    gpus = {named(word) for word in others if word != "batch" and not word.isdecimal()}

    def is_meant(way: Way) -> bool:
        return (
            (not spread or spread == set(str(way.serving.spread).split()))
            and (not types or types == {way.serving.weight_type})
            and (not gpus or gpus == {way.gpu.name})
            and (not sizes or sizes == {way.serving.max_batch_size})
        )

    return is_meant


def _name(way: Way) -> str:
    return f"{way.gpu.name} {way.serving.spread} {way.serving.weight_type}{way.serving.batch_words}"
