"""Step times corrected by what sweeps of ours measured: how much longer a step really takes, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.document import Sweep
from tritonsmith.perf.measure.measurement import Measurement
from tritonsmith.perf.plan.core import StepTimes

US_PER_S = 1e6
LEAST_ERROR = 0.05  # a served model's day to day, and what a sweep's loads do not cover
ONE_LOAD_ERROR = 0.15  # nothing tells whether other loads are off by as much
ROUNDS = 20


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


@dataclass(frozen=True)
class CalibratedTimes:
    """Step times times what was measured to be their share, for prompts and for decoding, and a time for every step."""

    times: StepTimes
    prefill: float
    decode: float
    step_s: float
    error: float  # the share by which a throughput may be off, four times in five
    loads: int

    @property
    def source(self) -> str:
        """What these times follow from."""
        return (
            f"measured at {self.loads} load{'s' if self.loads > 1 else ''}: prompts x {self.prefill:.2f}, decoding "
            f"x {self.decode:.2f} + {self.step_s * 1e3:.2f} ms a step, of {self.times.source}"
        )

    @property
    def interval(self) -> tuple[float, float]:
        """Shares of an estimate between which the truth lies four times in five."""
        return 1 / (1 + self.error), 1 + self.error

    def prefill_s(self, tokens: float, context: float) -> float:
        """Return how long a step takes that reads so many tokens of one prompt."""
        return self.prefill * self.times.prefill_s(tokens, context)

    def decode_s(self, sequences: float, context: float) -> float:
        """Return how long a step takes that adds a token to each sequence."""
        return self.decode * self.times.decode_s(sequences, context) + self.step_s


def calibrate(times: StepTimes, sweeps: Sequence[Sweep], input_tokens: float) -> CalibratedTimes:
    """Return step times that agree with what sweeps measured with prompts of this length in the mean.

    A token takes a decoding step, and as much of other requests' prompts as is read meanwhile; the first one a prompt
    and a step. The shares are those with which medians of the measured loads come out closest.

    Raises: UsageError where no load streamed answers of several tokens.
    """
    return calibrated(times, [load for sweep in sweeps for load in measured_loads(sweep, input_tokens)])


def measured_loads(sweep: Sweep, input_tokens: float) -> Iterator[Measured]:
    """Yield the loads of a sweep whose answers streamed, each cell on its own."""
    for cell in sweep.cells:
        if load := _measured(cell.measurement, input_tokens):
            yield load


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


def calibrated(times: StepTimes, loads: Sequence[Measured]) -> CalibratedTimes:
    """Return step times that agree with measured loads.

    Raises: UsageError where there is none.
    """
    if not loads:
        raise UsageError(
            "the results hold no load whose answers streamed tokens",
            hint="sweep a decoupled model with --output-tokens of at least 2",
        )
    prefill = decode = 1.0
    step_s = 0.0
    for _ in range(ROUNDS):  # prompts and decoding slow each other: both shares are found in turns
        decode, step_s = _decoding(times, loads, prefill)
        steps_s = [decode * times.decode_s(load.sequences, load.context) + step_s for load in loads]
        prompts_s = [times.prefill_s(load.input_tokens, 0) for load in loads]
        seen = [(load.ttft_s - s) / p for load, s, p in zip(loads, steps_s, prompts_s, strict=True)]
        prefill = max(0.01, median(seen))
    result = CalibratedTimes(times, prefill, decode, step_s, 0.0, len(loads))
    return CalibratedTimes(times, prefill, decode, step_s, _error(result, loads), len(loads))


def _decoding(times: StepTimes, loads: Sequence[Measured], prefill: float) -> tuple[float, float]:
    """Return the share and the time with which decoding steps are closest to what was measured, in relative terms."""
    predicted = [times.decode_s(load.sequences, load.context) for load in loads]
    seen = [max(1e-9, load.tpot_s - prefill * _prompts_beside_s(times, load)) for load in loads]
    # Weighted by 1 / seen: minimise the sum of ((a x + b) / y - 1)^2 over loads.
    u, v = [x / y for x, y in zip(predicted, seen, strict=True)], [1 / y for y in seen]
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


def _prompts_beside_s(times: StepTimes, load: Measured) -> float:
    """Return the time that other requests' prompts add to a token: each is read once in an answer's tokens."""
    others = max(0.0, load.sequences - 1)
    return others * times.prefill_s(load.input_tokens, 0) / max(1.0, load.output_tokens)


def _error(found: CalibratedTimes, loads: Sequence[Measured]) -> float:
    """Return the share by which four loads of five are at most off, never less than what a sweep cannot tell."""
    if len({round(load.sequences) for load in loads}) < 3:
        return ONE_LOAD_ERROR
    off = sorted(
        abs(math.log(load.tpot_s / (found.decode_s(load.sequences, load.context) + found.prefill * beside_s)))
        for load in loads
        for beside_s in [_prompts_beside_s(found.times, load)]
    )
    return max(LEAST_ERROR, 2 * math.expm1(off[min(len(off) - 1, math.ceil(0.8 * len(off)) - 1)]))


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(one, other, strict=True))
