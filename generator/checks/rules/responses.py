"""Whether response cache, decoupled responses and metrics go together."""

from __future__ import annotations

from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import ModelMetrics

from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.registry import Stage, check
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.suggest import did_you_mean

_CACHE = "response_cache.enable"
_DISABLE = "leave response_cache out"
# Source: core: metric_model_reporter.cc, the histograms whose buckets a model can set.
_HISTOGRAMS = ("nv_inference_first_response_histogram_ms",)


@check(
    "TS451",
    "a model of sequences has no response cache",
    triton="Response Cache does not currently support model {name} with sequence batching scheduler. Please disable "
    "the response cache.",
    stage=Stage.POLL,
    on=("response_cache",),
)
def sequences_are_not_cached(model: ModelCase) -> Iterator[Finding]:
    """The answer to a request of a sequence depends on those before, which the cache does not know.

    Source: core: model_config_utils.cc (ValidateModelConfig).
    """
    if model.config.response_cache.enable and model.config.HasField("sequence_batching"):
        yield model.error(_CACHE, "a response cache with sequence_batching", remedy=_DISABLE)


@check(
    "TS452",
    "a decoupled model has no response cache",
    triton="Response Cache does not currently support model {name} with 'decoupled' transaction policy. Please disable "
    "the response cache.",
    stage=Stage.POLL,
    on=("response_cache",),
)
def decoupled_responses_are_not_cached(model: ModelCase) -> Iterator[Finding]:
    """The cache keeps one response for a request, a decoupled model sends any number; an ensemble is decoupled as
    soon as one of its steps is.

    Source: core: model_config_utils.cc (ValidateModelConfig).
    """
    says_so = model.config.model_transaction_policy.decoupled
    if model.config.response_cache.enable and (says_so or model.name in model.case.decoupled):
        whose = "a decoupled step" if model.is_ensemble else "decoupled responses"
        yield model.error(_CACHE, f"a response cache with {whose}", remedy=_DISABLE)


@check("TS453", "a response cache is the server's too", on=("response_cache",))
def caches_are_the_servers_too(model: ModelCase) -> Iterator[Finding]:
    """A server that is started without --cache-config ignores the model's setting silently.

    Where nobody said how the server is started, as of a repository that is not ours, it is a note.
    """
    server = model.target.server
    if not model.config.response_cache.enable:
        return
    if server is None and not (model.config.HasField("sequence_batching") or model.name in model.case.decoupled):
        message = "response_cache is enabled: without a cache of the server's nothing is cached"
        yield model.note(_CACHE, message, remedy="start the server with e.g. --cache-config local,size=104857600")
    elif server is not None and not server.response_cache:
        message = "response_cache is enabled, and the server has no cache: nothing is cached"
        yield model.warning(_CACHE, message, remedy="give the server a cache (server.response_cache), or " + _DISABLE)


def _controls(model: ModelCase) -> Iterator[tuple[str, ModelMetrics.MetricControl]]:
    for index, control in enumerate(model.config.model_metrics.metric_control):
        yield f"model_metrics.metric_control[{index}]", control


@check(
    "TS461",
    "a metric control says which metric",
    triton="metric control must specify 'metric_identifier'",
    stage=Stage.POLL,
    on=("model_metrics",),
)
def metrics_are_identified(model: ModelCase) -> Iterator[Finding]:
    """A control changes the buckets of one metric.

    Source: core: model_config_utils.cc (ValidateModelMetrics), since 24.11.
    """
    for path, control in _controls(model):
        if not control.HasField("metric_identifier"):
            message = "a metric control without metric_identifier"
            yield model.error(path, message, remedy=f'add metric_identifier {{ family: "{_HISTOGRAMS[0]}" }}')


@check(
    "TS462",
    "a metric has a family",
    triton="metric identifier must specify non-empty 'family'",
    stage=Stage.POLL,
    on=("model_metrics",),
)
def metrics_have_a_family(model: ModelCase) -> Iterator[Finding]:
    """The family is the metric's name.

    Source: core: model_config_utils.cc (ValidateModelMetrics), since 24.11.
    """
    for path, control in _controls(model):
        if control.HasField("metric_identifier") and not control.metric_identifier.family:
            message = "a metric_identifier without family"
            yield model.error(f"{path}.metric_identifier", message, remedy=f'add family: "{_HISTOGRAMS[0]}"')


@check(
    "TS463",
    "a metric control says what changes",
    triton="metric control must specify 'histogram_options'",
    stage=Stage.POLL,
    on=("model_metrics",),
)
def metrics_have_options(model: ModelCase) -> Iterator[Finding]:
    """A control without options changes nothing.

    Source: core: model_config_utils.cc (ValidateModelMetrics), since 24.11.
    """
    for path, control in _controls(model):
        if not control.HasField("histogram_options"):
            message = "a metric control without histogram_options"
            yield model.error(path, message, remedy="add histogram_options { buckets: [ ... ] }")


@check(
    "TS464",
    "a histogram has buckets",
    triton="histogram options must specify non-empty 'buckets'",
    stage=Stage.POLL,
    on=("model_metrics",),
)
def histograms_have_buckets(model: ModelCase) -> Iterator[Finding]:
    """The buckets are the upper bounds between which values are counted.

    Source: core: model_config_utils.cc (ValidateModelMetrics), since 24.11.
    """
    for path, control in _controls(model):
        if control.HasField("histogram_options") and not control.histogram_options.buckets:
            message = "histogram_options without buckets"
            yield model.error(f"{path}.histogram_options", message, remedy="add buckets, e.g. [ 10, 100, 1000 ]")


@check("TS465", "a metric control is for a metric with buckets", on=("model_metrics",))
def metrics_are_known(model: ModelCase) -> Iterator[Finding]:
    """Triton ignores the control of a family that it does not know, with a warning in its log.

    Source: core: metric_model_reporter.cc.
    """
    for path, control in _controls(model):
        family = control.metric_identifier.family
        if family and family not in _HISTOGRAMS:
            message = f"metric family '{family}' has no buckets that a model can set: the control is ignored"
            hint = f"use {_HISTOGRAMS[0]}.{did_you_mean(family, _HISTOGRAMS)}"
            yield model.warning(f"{path}.metric_identifier.family", message, remedy=hint)
