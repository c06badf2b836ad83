"""Which ways there are to serve a model: spreads over GPUs, types of weights and cache; and why others are none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tritonsmith.generator.catalog.gpus import Gpu
from tritonsmith.perf.plan.core import USUAL_BATCH, CacheType, LanguageModel, Serving, Spread, WeightType
from tritonsmith.perf.plan.models.built import Built
from tritonsmith.perf.plan.precisions import cache_of, can_calculate
from tritonsmith.perf.plan.shares import is_slice

SIZES = (1, 2, 4, 8, 16, 32, 64)  # of a spread, in GPUs
# Source: TensorRT-LLM's support matrix: Ampere is the oldest; a T4 serves ONNX and TensorRT models alone.
OLDEST: tuple[int, int] = (8, 0)


@dataclass(frozen=True)
class Way:
    """One way to serve on one GPU; `problem` says why it is none, "" where nothing is known against it."""

    gpu: Gpu
    serving: Serving
    problem: str = ""


def ways(
    model: LanguageModel,
    gpus: Sequence[Gpu],
    weights: Sequence[WeightType] = (),
    caches: Sequence[CacheType] = (),
    max_gpus: int = 8,
    built: Built | None = None,
    batches: Sequence[int] = (USUAL_BATCH,),
) -> Iterator[Way]:
    """Yield each combination of GPU, types and spread of at most `max_gpus`, what cannot be with its reason.

    Without `weights` and `caches` they are those of the model's files: to quantise changes answers, so it is asked for.
    `batches` are the most sequences in flight at a replica.
    An engine or a checkpoint has one way on each GPU, that it was `built` for.
    """
    for gpu in gpus:
        if built is not None:
            serving = built.serving(model.weight_type, cache_of(model.weight_type, model.weight_type, gpu))
            problem = bar_of_types(gpu, serving.weight_type, serving.cache_type)
            yield Way(gpu, serving, problem or bar_of_slices(gpu, serving.spread))
            continue
        for weight in weights or (model.weight_type,):
            for cache in caches or (cache_of(weight, model.weight_type, gpu),):
                if barred := bar_of_types(gpu, weight, cache) or bar_of_cache(cache):
                    yield Way(gpu, Serving(Spread(), weight, cache), barred)
                    continue
                for spread in spreads(model, max_gpus):
                    barred = bar_of_spread(model, gpu, spread, max_gpus)
                    for batch in batches[:1] if barred else batches:
                        yield Way(gpu, Serving(spread, weight, cache, batch), barred)


def spreads(model: LanguageModel, max_gpus: int) -> Iterator[Spread]:
    """Yield spreads of at most so many GPUs: tensor x pipeline parallel, experts spread too, attention apart."""
    for tensor in SIZES:
        for pipeline in SIZES:
            if tensor * pipeline > max_gpus:
                continue
            yield Spread(tensor, pipeline)
            if model.experts and tensor > 1:
                yield Spread(tensor, pipeline, expert=tensor)
                yield Spread(1, pipeline, expert=tensor, data=tensor)


def bar_of_types(gpu: Gpu, weight: WeightType, cache: CacheType) -> str:
    """Return why a GPU serves no such types, "" where it does."""
    if gpu.compute_capability < OLDEST:
        return (
            f"TensorRT-LLM needs compute capability {_dotted(OLDEST)}, {gpu.name} has {_dotted(gpu.compute_capability)}"
        )
    capability = f"{gpu.name}, compute capability {_dotted(gpu.compute_capability)}"
    if not can_calculate(gpu, weight):
        return f"TensorRT-LLM has no kernels for {weight} weights on {capability}"
    if not can_calculate(gpu, weight, cache):
        return f"TensorRT-LLM has no kernels for an {cache} KV cache on {capability}"
    return ""


def bar_of_cache(cache: CacheType) -> str:
    """Return why the LLM API, for which a plan is written, keeps no such cache, "" where it does.

    Source: TensorRT-LLM: _torch/pyexecutor/model_loader.py, _VALID_KV_CACHE_DTYPES: fp8, nvfp4, auto.
    """
    return "an int8 KV cache is of engines that were built with one alone" if cache == "int8" else ""


def bar_of_spread(model: LanguageModel, gpu: Gpu, spread: Spread, max_gpus: int) -> str:
    """Return why a model is not to be spread so over such GPUs, "" where it may be."""
    together = spread.tensor * spread.data
    if problem := bar_of_slices(gpu, spread):
        return problem
    if model.heads % spread.tensor:
        return f"TP{spread.tensor} does not divide {model.heads} heads"
    if spread.pipeline > model.layer_count:
        return f"{model.layer_count} layers make no {spread.pipeline} stages"
    if spread.expert > 1 and model.experts % spread.expert:
        return f"EP{spread.expert} does not divide {model.experts} experts"
    if 1 < gpu.domain < together:
        return f"{together} GPUs exceed the NVLink domain of {gpu.domain}: sums would cross the network at each layer"
    wider = [size for size in SIZES if together < size <= min(gpu.domain, max_gpus) and not model.heads % size]
    if spread.pipeline > 1 and wider:
        return "stages inside one NVLink domain: tensor parallelism answers sooner from as many GPUs"
    return ""


def bar_of_slices(gpu: Gpu, spread: Spread) -> str:
    """Return why slices are not spread over, "" for one, or for whole GPUs."""
    if is_slice(gpu.name) and spread.gpus > 1:
        return "no slice or share of a GPU reaches another: an engine stays in one"
    return ""


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
