"""The options of the verb `tune`, over what the spec's `tune:` says: the wish, and what varies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.spec.tune import Tune, Value
from tritonsmith.perf.commands import DEFAULT_TUNED
from tritonsmith.perf.document import Scalar, Variation
from tritonsmith.perf.inputs import Inputs
from tritonsmith.perf.levels import parse_levels
from tritonsmith.perf.limits import METRICS, TIMES, Limit, parse_limits
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.prompting import PromptWishes
from tritonsmith.perf.tune.core import Objective, Wish
from tritonsmith.perf.variants import EMPTY, NOTHING, parse_variation, scalar_of


@dataclass(frozen=True)
class TuneOptions:
    """The options of the verb, as given."""

    spec: Path | None
    url: str | None
    grpc_url: str | None
    model: str | None
    objective: Objective | None
    limits: tuple[str, ...]
    concurrency: str | None
    request_rate: str | None
    vary: tuple[str, ...]
    budget_s: float
    inputs: tuple[str, ...]
    input_data: Path | None
    prompts: Path | None
    price_per_hour: float | None
    seed: int
    profile: str
    is_patch: bool
    output: Path


def read_wish(options: TuneOptions, wanted: Tune | None = None) -> Wish:
    """Return what is wanted: what the options say, else what the spec's `tune:` does.

    Raises: UsageError for what is no limit or no load, and where the objective lacks what it is about.
    """
    wanted = wanted or Tune()
    given = parse_limits(options.limits, "--limit")
    limits = {limit.metric: limit for limit in (*limits_of(wanted), *given)}
    wish = Wish(
        options.objective or wanted.objective,
        tuple(limits.values()),
        _loads(options, wanted),
        latency_metric=wanted.latency_metric,
        price_per_hour=options.price_per_hour or wanted.price_per_hour,
    )
    if wish.objective == "goodput" and not limits.keys() & set(TIMES.values()):
        raise UsageError("good answers keep a limit on time, and none is given", hint="e.g. --limit p99=50ms")
    if wish.objective == "cost" and not wish.price_per_hour:
        raise UsageError("a cost needs a price", hint="--price-per-hour 2.5")
    if options.price_per_hour and wish.objective != "cost":
        raise UsageError(f"a {wish.objective} has no price", hint="--objective cost, or leave out --price-per-hour")
    return wish


def read_variations(options: TuneOptions, wanted: Tune | None = None) -> tuple[Variation, ...]:
    """Return what varies: the options' fields, else those of the spec's `tune:`; without any, what usually pays does.

    Raises: UsageError.
    """
    if options.vary:
        return tuple(parse_variation(text) for text in options.vary)
    return variations_of(wanted) if wanted else ()


def variations_of(tune: Tune) -> tuple[Variation, ...]:
    """Return what a spec's `vary:` varies, model by model."""
    return tuple(
        Variation(f"models.{model}.{path}", tuple(map(_scalar, values)))
        for model, fields in tune.vary.items()
        for path, values in fields.items()
    )


def limits_of(tune: Tune) -> tuple[Limit, ...]:
    """Return the limits of a spec's `tune:`."""
    given = tune.limits.given
    return tuple(Limit(metric, given[metric]) for metric in METRICS.values() if metric in given)


def loads_of(tune: Tune) -> tuple[Load, ...]:
    """Return the levels of load, ascending and each once; none where the spec gives none."""
    if tune.loads is None:
        return ()
    if tune.loads.concurrency:
        return tuple(Load("concurrency", value) for value in sorted(set(tune.loads.concurrency)))
    return tuple(Load("request_rate", value) for value in sorted(set(tune.loads.request_rate)))


def read_inputs(options: TuneOptions) -> Inputs:
    """Return what is to be sent."""
    return Inputs(options.inputs, options.input_data, PromptWishes(options.prompts, seed=options.seed))


def require_place(options: TuneOptions) -> None:
    """Refuse options on a spec where there is none, and on a server where none is named.

    Raises: UsageError.
    """
    if options.url and not options.spec and (options.profile or options.is_patch):
        given = "--profile" if options.profile else "--patch"
        raise UsageError(f"{given} is about a spec, and none is given", hint="tritonsmith tune SPEC --url HOST:PORT")
    if options.grpc_url and not options.url:
        raise UsageError("--grpc-url without --url", hint="--url HOST:PORT names the running server")


def words_of(variation: Variation) -> str:
    """Return a variation as `--vary` takes it."""
    return f"{variation.field}={','.join(map(str, variation.values))}"


def _loads(options: TuneOptions, wanted: Tune) -> tuple[Load, ...]:
    if options.concurrency and options.request_rate:
        message = "--concurrency and --request-rate exclude each other here"
        raise UsageError(message, hint="a configuration is the best for one kind of load")
    given = parse_levels(options.concurrency, options.request_rate)
    loads = given or loads_of(wanted) or parse_levels(DEFAULT_TUNED, None)
    return tuple(sorted(loads, key=lambda load: load.value))


def _scalar(value: Value) -> Scalar:
    if value is None:
        return NOTHING
    if isinstance(value, dict):
        return EMPTY
    return f"[{','.join(value)}]" if isinstance(value, tuple) else scalar_of(value)
