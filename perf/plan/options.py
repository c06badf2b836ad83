"""The options of the verb `plan`, and the question that they ask."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_args

from tritonsmith.generator.catalog.gpus import GPUS, Gpu, gpu_named
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.suggest import did_you_mean
from tritonsmith.perf.limits import parse_limits
from tritonsmith.perf.plan.candidates import Way, ways
from tritonsmith.perf.plan.core import USUAL_BATCH, CacheType, LanguageModel, Objectives, Traffic, WeightType
from tritonsmith.perf.plan.models.built import Built
from tritonsmith.perf.plan.regions.core import Regions
from tritonsmith.perf.plan.shares import gpu_of, named, whole_of
from tritonsmith.perf.trace import read_trace

LIMITED = ("ttft", "tpot", "p50", "p90", "p95", "p99")  # the last four are of a whole answer, and say the share
DEFAULT_SHARE = 0.99
Word = TypeVar("Word", bound=str)


@dataclass(frozen=True)
class PlanOptions:
    """The options of the verb, as given."""

    model: Path | None
    gpus: tuple[str, ...] = ()
    rate: float | None = None
    input: int | None = None
    output: int | None = None
    trace: Path | None = None
    bursts: float = 1.0
    prefix: str | None = None
    slo: tuple[str, ...] = ()
    weights: str | None = None
    kv_cache: str | None = None
    max_batch_size: str | None = None
    max_gpus: int = 8
    spare: int = 1
    prices: tuple[str, ...] = ()
    calibrate: tuple[Path, ...] = ()
    estimator: str = "roofline"
    seed: int = 0
    pack: Path | None = None
    regions: Path | None = None
    is_compared: bool = False
    write: Path | None = None
    folder: Path = Path("build/plan")


def options_given(options: PlanOptions) -> list[str]:
    """Return the options that differ from their defaults, as a person writes them: "--gpu"."""
    named = {"gpus": "gpu", "prices": "price", "is_compared": "compare", "folder": "into"}
    changed = [one.name for one in fields(options) if one.name != "model" and getattr(options, one.name) != one.default]
    return [f"--{named.get(name, name).replace('_', '-')}" for name in changed]


@dataclass(frozen=True)
class Wishes:
    """What is asked of a model: traffic, what answers must keep to, and what it may be served on and in.

    Without `traffic` only memory is asked about. `weights` and `caches` empty: as the model's files have them.
    `prices` are per GPU and hour, by GPU; empty where nothing is known of them.
    """

    gpus: tuple[str, ...]
    traffic: Traffic | None
    objectives: Objectives
    weights: tuple[WeightType, ...] = ()
    caches: tuple[CacheType, ...] = ()
    batches: tuple[int, ...] = (USUAL_BATCH,)  # most sequences in flight at a replica
    max_gpus: int = 8
    spare: int = 1
    prices: Mapping[str, float] | None = None
    seed: int = 0
    built: Built | None = None  # what an engine or a checkpoint has settled
    regions: Regions | None = None  # that the traffic comes from, where there are several


def read_wishes(options: PlanOptions) -> Wishes:
    """Return what the options ask.

    Raises: UsageError for values that are none, and where one option needs another.
    """
    traffic = read_traffic(options)
    objectives = read_objectives(options.slo)
    if traffic is None and options.slo:
        raise UsageError("--slo is about a traffic, and none is given", hint="--rate 20 --input 1024 --output 256")
    if options.spare < 0:
        raise UsageError(f"--spare: {options.spare} replicas cannot be down", hint="--spare 1")
    gpus = read_gpus(options.gpus)
    return Wishes(
        gpus,
        traffic,
        objectives,
        _words(options.weights, "--weights", get_args(WeightType)),
        _words(options.kv_cache, "--kv-cache", get_args(CacheType)),
        read_batches(options.max_batch_size),
        options.max_gpus,
        options.spare,
        read_prices(options.prices, gpus),
        options.seed,
    )


def read_gpus(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the GPUs meant by "H100-SXM-80GB,L4", each once; without any, all that are known.

    A part of a GPU is `H100-SXM-80GB/mig:3g.40gb`.

    Raises: UsageError.
    """
    names = [named(word.strip()) for text in texts for word in text.split(",") if word.strip()]
    if texts and not names:
        raise UsageError("--gpu names none", hint=f"known: {', '.join(GPUS)}")
    return tuple(dict.fromkeys(names)) or tuple(GPUS)


def read_traffic(options: PlanOptions) -> Traffic | None:
    """Return what comes in: a rate with its lengths, or a recorded trace; None where neither is given.

    Raises: UsageError.
    """
    if options.trace is not None:
        given = [name for name in ("rate", "input", "output") if getattr(options, name) is not None]
        if given or options.bursts != 1:
            name = given[0] if given else "bursts"
            raise UsageError(f"--trace and --{name} exclude each other", hint="a trace says when and how long")
        return _recorded(options.trace, _share(options.prefix))
    if options.rate is None:
        given = [name for name in ("input", "output", "prefix") if getattr(options, name) is not None]
        if given or options.bursts != 1:
            hint = "--rate 20, requests per second; or --trace FILE"
            raise UsageError(f"--{given[0] if given else 'bursts'} is about a traffic, and none is given", hint=hint)
        return None
    if not (math.isfinite(options.rate) and math.isfinite(options.bursts)):
        is_bursts = not math.isfinite(options.bursts)
        name, value = ("bursts", options.bursts) if is_bursts else ("rate", options.rate)
        hint = "--bursts 4, times the mean rate in a burst" if is_bursts else "--rate 20, requests per second"
        raise UsageError(f"--{name}: {value} is no finite number", hint=hint)
    if options.input is None or options.output is None:
        raise UsageError("--rate needs lengths, in tokens", hint="--rate 20 --input 1024 --output 256")
    return Traffic(
        options.rate, options.input, options.output, prefix_share=_share(options.prefix), bursts=options.bursts
    )


def read_objectives(texts: Sequence[str]) -> Objectives:
    """Return the limits of "ttft=500ms,tpot=50ms"; p90=5s is of whole answers, and 90 % have to keep to all limits.

    Raises: UsageError.
    """
    words = [word for text in texts for word in text.split(",") if word.strip()]
    limits = {limit.metric: limit.at_most for limit in parse_limits(words, "--slo", LIMITED)}
    whole = [metric for metric in limits if metric.startswith("p")]
    if len(whole) > 1:
        names = " and ".join(metric.removesuffix("_ms") for metric in whole)
        raise UsageError(f"--slo: {names} are two shares of the same answers", hint="give one of them")
    share = float(whole[0][1:3]) / 100 if whole else DEFAULT_SHARE
    return Objectives(limits.get("ttft_ms"), limits.get("tpot_ms"), limits[whole[0]] if whole else None, share=share)


def read_prices(texts: Sequence[str], gpus: Sequence[str]) -> dict[str, float]:
    """Return prices per whole GPU and hour by GPU: of "H100-SXM-80GB=2.5", or of "2.5" for the only GPU there is.

    Raises: UsageError, also where some of the GPUs have a price and others none.
    """
    prices: dict[str, float] = {}
    gpus = list(dict.fromkeys(map(whole_of, gpus)))
    for word in (word.strip() for text in texts for word in text.split(",") if word.strip()):
        name, _, value = word.rpartition("=")
        if not name and len(gpus) > 1:
            raise UsageError(f"--price: '{word}' does not say of which GPU", hint=f"--price {gpus[0]}={value}")
        gpu = gpu_named(name).name if name else gpus[0]
        price = _number(value, float)
        if not 0 < price < math.inf:
            raise UsageError(f"--price: '{word}' is no price above 0", hint=f"--price {gpu}=2.5, per GPU and hour")
        prices[gpu] = price
    missing = [gpu for gpu in gpus if prices and gpu not in prices]
    if missing:
        raise UsageError(f"--price: {missing[0]} has none", hint=f"give each a price: --price {missing[0]}=2.5")
    return {gpu: price for gpu, price in prices.items() if gpu in gpus}


def gpus_of(wishes: Wishes) -> tuple[Gpu, ...]:
    """Return the GPUs that are asked about."""
    return tuple(map(gpu_of, wishes.gpus))


def ways_of(model: LanguageModel, wishes: Wishes) -> Iterator[Way]:
    """Yield the ways of serving a model that are asked about."""
    gpus, built = gpus_of(wishes), wishes.built
    yield from ways(model, gpus, wishes.weights, wishes.caches, wishes.max_gpus, built, wishes.batches)


def read_batches(text: str | None) -> tuple[int, ...]:
    """Return the batches of "256,2048", each once; the usual one where none is named.

    Raises: UsageError.
    """
    words = [word.strip() for word in (text or str(USUAL_BATCH)).split(",")]
    wrong = next((word for word in words if not (word.isdecimal() and int(word))), None)
    if wrong is not None:
        message = f"--max-batch-size: '{wrong}' is no whole number above 0"
        raise UsageError(message, hint="--max-batch-size 256,2048, sequences in flight at a replica")
    return tuple(dict.fromkeys(map(int, words)))


def _recorded(path: Path, prefix_share: float) -> Traffic:
    arrivals = read_trace(path, "--trace")
    bare = next((one for one in arrivals if not (one.prompt_tokens and one.output_tokens)), None)
    if bare is not None:
        hint = "columns prompt_tokens and output_tokens; or a --rate with --input and --output"
        raise UsageError("a request without its lengths", where=bare.where, hint=hint)
    if len(arrivals) < 2 or arrivals[-1].time_s <= 0:
        raise UsageError(f"--trace: {path} lasts no time at all", hint="record two requests at least")
    return Traffic(
        (len(arrivals) - 1) / arrivals[-1].time_s,
        round(sum(one.prompt_tokens for one in arrivals) / len(arrivals)),
        round(sum(one.output_tokens for one in arrivals) / len(arrivals)),
        tuple((one.time_s, one.prompt_tokens, one.output_tokens) for one in arrivals),
        prefix_share,
    )


def _share(text: str | None) -> float:
    """Return the share of "30%" or "0.3"."""
    if text is None:
        return 0.0
    share = _number(text.removesuffix("%"), float) / (100 if text.endswith("%") else 1)
    if not 0 <= share < 1:
        raise UsageError(f"--prefix: '{text}' is no share below 100%", hint="--prefix 30%, of the input's tokens")
    return share


def _number(text: str, make: Callable[[Any], float]) -> float:
    try:
        return make(text)
    except ValueError:
        return math.nan


def _words(text: str | None, option: str, known: Sequence[Word]) -> tuple[Word, ...]:
    """Return the words of "fp8,bf16", each once and each one of those known."""
    found: list[Word] = []
    for word in filter(None, (word.strip() for word in (text or "").split(","))):
        match = next((one for one in known if one == word), None)
        if match is None:
            raise UsageError(
                f"{option}: there is no type '{word}'.{did_you_mean(word, known)}", hint=f"of {', '.join(known)}"
            )
        found.append(match)
    return tuple(dict.fromkeys(found))
