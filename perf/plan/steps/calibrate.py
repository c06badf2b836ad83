"""Step times corrected by what sweeps of ours measured: how much longer a step really takes, and how sure that is."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.document import Sweep
from tritonsmith.perf.measure.lengths import parse_lengths
from tritonsmith.perf.measure.measurement import Measurement
from tritonsmith.perf.plan.core import StepTimes

US_PER_S = 1e6
LEAST_ERROR = 0.05  # a served model's day to day, and what a sweep's loads do not cover
FEW_LOADS_ERROR = 0.15  # nothing tells whether other loads are off by as much
MOST_ERROR = 2**0.5 - 1  # the ends of an interval are a factor of two apart then
FEW_LOADS = 3  # that differ in how many requests are in flight; one can be left out to judge by
ROUNDS = 20
_PROMPTS = re.compile(r"prompts of (\S+) (?:tokens|words) at random")  # perf/prompting.py: write_prompts


@dataclass(frozen=True)
class Measured:
    """A load that was measured: medians of its requests, and how many tokens they had. Times in seconds."""

    sequences: float  # in flight
    input_tokens: float
    output_tokens: float
    ttft_s: float
    tpot_s: float

    @property
    def context(self) -> float:
        """The mean length of a sequence while it is generated."""
        return self.input_tokens + self.output_tokens / 2

    @property
    def level(self) -> int:
        """The sequences in flight by half octaves: repeats of a load are one level."""
        return round(2 * math.log2(self.sequences))


@dataclass(frozen=True)
class Correction:
    """What prompts and decoding steps take, in shares of their estimates, and each decoding step besides."""

    prefill: float
    decode: float
    step_s: float


@dataclass(frozen=True)
class CalibratedTimes:
    """Step times corrected by what was measured; `interval` are shares of a throughput, for four times in five."""

    times: StepTimes
    correction: Correction
    interval: tuple[float, float]
    told: str  # what was measured, in words

    @property
    def source(self) -> str:
        """What these times follow from."""
        found = self.correction
        return (
            f"{self.told}: prompts x {found.prefill:.2f}, decoding x {found.decode:.2f} + "
            f"{found.step_s * 1e3:.2f} ms a step, of {self.times.source}"
        )

    def prefill_s(self, tokens: float, context: float) -> float:
        """Return how long a step takes that reads so many tokens of one prompt."""
        return self.correction.prefill * self.times.prefill_s(tokens, context)

    def decode_s(self, sequences: float, context: float) -> float:
        """Return how long a step takes that adds a token to each sequence."""
        return self.correction.decode * self.times.decode_s(sequences, context) + self.correction.step_s


def measured_loads(sweep: Sweep, input_tokens: float) -> Iterator[Measured]:
    """Yield the loads of a sweep whose answers streamed, each cell on its own.

    Its prompts are as long as its document says, `input_tokens` where it does not.
    """
    tokens = _prompt_tokens(sweep.plan.prompts) or input_tokens
    for cell in sweep.cells:
        if load := _measured(cell.measurement, tokens):
            yield load


def _prompt_tokens(words: str) -> float | None:
    """Return the mean length of prompts that were drawn, as a sweep's document tells them; None for others."""
    told = _PROMPTS.search(words)
    if told is None:
        return None
    lengths = parse_lengths(told[1], "prompts")
    return lengths.first if lengths.kind == "normal" else (lengths.first + lengths.second) / 2


def _measured(found: Measurement, input_tokens: float) -> Measured | None:
    streams = found.streams
    if streams is None or streams.tpot is None:
        return None
    return Measured(
        sequences=max(1.0, found.in_flight),
        input_tokens=input_tokens,
        output_tokens=sum(streams.output_tokens) / len(streams.output_tokens),
        ttft_s=streams.ttft.p50_us / US_PER_S,
        tpot_s=streams.tpot.p50_us / US_PER_S,
    )


@dataclass(frozen=True)
class _Seen:
    """A load that was measured, and the estimates of its steps, in seconds."""

    load: Measured
    prompt_s: float
    step_s: float

    @property
    def prompts_beside_s(self) -> float:
        """What other requests' prompts add to a token: each is read once in an answer's tokens."""
        return max(0.0, self.load.sequences - 1) * self.prompt_s / max(1.0, self.load.output_tokens)

    def tpot_s(self, found: Correction) -> float:
        """Return the time between tokens as corrected."""
        return found.decode * self.step_s + found.step_s + found.prefill * self.prompts_beside_s


def correct(times: StepTimes, loads: Sequence[Measured]) -> tuple[Correction, float]:
    """Return the correction with which step times agree with measured loads, and the share by which they may be off.

    A token takes a decoding step, and as much of other requests' prompts as is read meanwhile; the first one a prompt
    and a step. The correction is that with which medians of the measured loads come out closest; loads that are left
    out of it in turn tell how far off it is between those that were measured.

    Raises: UsageError where there is no load, or they have no correction in common.
    """
    if not loads:
        raise UsageError(
            "the results hold no load whose answers streamed tokens",
            hint="sweep a decoupled model with --output-tokens of at least 2",
        )
    seen = [
        _Seen(load, times.prefill_s(load.input_tokens, 0), times.decode_s(load.sequences, load.context))
        for load in loads
    ]
    return _fit(seen), _error(seen)


def _fit(seen: Sequence[_Seen]) -> Correction:
    found = Correction(1.0, 1.0, 0.0)
    for _ in range(ROUNDS):  # prompts and decoding slow each other: both shares are found in turns
        decode, step_s = _decoding(seen, found.prefill)
        prefills = [(one.load.ttft_s - decode * one.step_s - step_s) / one.prompt_s for one in seen]
        found = Correction(max(0.01, median(prefills)), decode, step_s)
    return found


def _decoding(seen: Sequence[_Seen], prefill: float) -> tuple[float, float]:
    """Return the share and the time with which decoding steps are closest to what was measured, in relative terms."""
    left_s = [max(1e-9, one.load.tpot_s - prefill * one.prompts_beside_s) for one in seen]
    # Weighted by 1 / left: minimise the sum of ((a x + b) / y - 1)^2 over loads.
    u, v = [one.step_s / y for one, y in zip(seen, left_s, strict=True)], [1 / y for y in left_s]
    uu, uv, vv = _dot(u, u), _dot(u, v), _dot(v, v)
    determinant = uu * vv - uv * uv
    share_only = sum(u) / uu
    if determinant <= 1e-9 * uu * vv:
        return share_only, 0.0
    share = (sum(u) * vv - sum(v) * uv) / determinant
    step_s = (sum(v) * uu - sum(u) * uv) / determinant
    if share <= 0:
        return 0.0, sum(v) / vv
    return (share, step_s) if step_s >= 0 else (share_only, 0.0)


def _error(seen: Sequence[_Seen]) -> float:
    """Return the share by which four loads of five are at most off.

    A load between others is judged by a correction that has not seen it; the least and the highest bound what is known.
    """
    levels = sorted({one.load.level for one in seen})
    if len(levels) < FEW_LOADS:
        return FEW_LOADS_ERROR
    off = []
    for level in levels:
        is_between = levels[0] < level < levels[-1]
        found = _fit([one for one in seen if not is_between or one.load.level != level])
        judged = [one for one in seen if one.load.level == level]
        off += [abs(math.log(one.load.tpot_s / one.tpot_s(found))) for one in judged]
    error = max(LEAST_ERROR, math.expm1(sorted(off)[math.ceil(0.8 * len(off)) - 1]))
    if error > MOST_ERROR:
        raise UsageError(
            f"the measured loads have no correction in common: four in five are only within {error:.0%}",
            hint="measure again where nothing else runs, with answers of one length, or leave out --calibrate",
        )
    return error


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(one, other, strict=True))
