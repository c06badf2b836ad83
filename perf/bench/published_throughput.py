"""Published throughput of language models as data, and what the roofline says of the same runs."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tritonsmith.generator.catalog.gpus import GPUS
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.plan.core import (
    CacheType,
    Figure,
    LanguageModel,
    LayerGroup,
    Memory,
    Serving,
    Spread,
    Traffic,
    WeightType,
    exact,
)
from tritonsmith.perf.plan.memory.replica import memory
from tritonsmith.perf.plan.steps.roofline import FITTED, Efficiency, RooflineTimes
from tritonsmith.perf.plan.steps.throughput import prompt_s, sequences_in_flight, throughput

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "data" / "plan" / "throughput"
# Rows of these releases and models fit the constants, first tokens and times between tokens below beside them.
FIT_RELEASES = ("0.14", "1.0")
FIT_MODELS = ("Llama-3.1-8B", "Llama-3.1-70B", "Mixtral-8x7B", "Qwen3-235B-A22B")
# Times to the first token fit what throughput cannot tell: what a step takes that has little to compute.
FIRST_TOKEN_MODELS, FIRST_TOKEN_GPUS = ("LLaMA-7B", "Llama-2-70B", "Mixtral-8x7B"), ("A100-SXM-80GB", "H100-SXM-80GB")
TOKEN_GAP_SERVERS = ("NIM 1.8.0",)
# Of one shape but for the table: who leaves one out of a fit leaves out both.
_SHAPES = {"Llama-2-70B": "Llama-3.1-70B"}
# How many requests a run had, by input and output tokens (sources.json).
_REQUESTS = {
    (128, 128): 30000, (128, 2048): 3000, (128, 4096): 1500, (500, 2000): 3000, (1000, 1000): 3000, (1000, 2000): 1500,
    (1024, 1024): 3000, (1024, 2048): 1500, (1024, 8192): 1500, (1024, 32768): 1000, (2048, 128): 3000,
    (2048, 2048): 1500, (5000, 500): 1500, (8192, 1024): 1500, (20000, 2000): 1000, (32768, 1024): 1000,
}  # fmt: skip
_LEAST_SEQUENCES, _MOST_SEQUENCES = 64, 4096  # of an engine (sources.json: batch)
_KV_FRACTION = 0.95  # 'in many cases' (0.20 and later), 0.9 where that was too much


@dataclass(frozen=True)
class Row:
    """One published number: a replica's generated tokens per second. `batch` is 0 where it was in-flight batching."""

    release: str
    model: str
    gpu: str
    weights: WeightType
    spread: Spread
    input_tokens: int
    output_tokens: int
    batch: int
    tokens_per_s: float

    @property
    def fits_constants(self) -> bool:
        """Whether the constants are fitted on it."""
        return self.release in FIT_RELEASES and self.model in FIT_MODELS

    @property
    def setting(self) -> tuple[object, ...]:
        """What was run, but for the release."""
        return self.model, self.gpu, self.weights, self.spread, self.input_tokens, self.output_tokens, self.batch


def held_out(rows: Iterable[Row]) -> list[Row]:
    """Return the rows that tell nothing that the fit has seen: of settings that no release in the fit has run."""
    rows = list(rows)
    fitted = {row.setting for row in rows if row.fits_constants}
    return [row for row in rows if row.setting not in fitted]


def has_shape_of(model: str, other: str) -> bool:
    """Whether two models take as long for a step."""
    return _SHAPES.get(model, model) == _SHAPES.get(other, other)


@dataclass(frozen=True)
class FirstToken:
    """A published time to the first token of a request that a replica has for itself."""

    model: str
    gpu: str
    weights: WeightType
    tensor: int
    input_tokens: int
    first_token_ms: float

    @property
    def fits_constants(self) -> bool:
        """Whether the constants are fitted on it."""
        return self.model in FIRST_TOKEN_MODELS and self.gpu in FIRST_TOKEN_GPUS


def read_first_tokens() -> tuple[FirstToken, ...]:
    """Return all published times to a first token."""
    with (FOLDER / "first_tokens.csv").open(encoding="utf-8") as file:
        return tuple(
            FirstToken(
                cells["model"],
                cells["gpu"],
                cells["weights"],  # type: ignore[arg-type]
                int(cells["tensor"]),
                int(cells["input"]),
                float(cells["first_token_ms"]),
            )
            for cells in csv.DictReader(file)
        )


def first_token_ms(row: FirstToken, model: LanguageModel, efficiency: Efficiency = FITTED) -> float:
    """Return the estimate of a published time to the first token."""
    serving = Serving(Spread(row.tensor), row.weights, "fp16")
    return RooflineTimes(model, serving, GPUS[row.gpu], efficiency).prefill_s(row.input_tokens, 0) * 1e3


@dataclass(frozen=True)
class TokenGap:
    """A published mean time between tokens, with so many requests in flight."""

    server: str
    model: str
    gpu: str
    weights: WeightType
    tensor: int
    input_tokens: int
    output_tokens: int
    concurrency: int
    inter_token_ms: float

    @property
    def fits_constants(self) -> bool:
        """Whether the constants are fitted on it."""
        return self.server in TOKEN_GAP_SERVERS


def read_token_gaps() -> tuple[TokenGap, ...]:
    """Return all published times between tokens."""
    with (FOLDER / "steps.csv").open(encoding="utf-8") as file:
        return tuple(
            TokenGap(
                cells["server"],
                cells["model"],
                cells["gpu"],
                cells["weights"],  # type: ignore[arg-type]
                int(cells["tensor"]),
                int(cells["input"]),
                int(cells["output"]),
                int(cells["concurrency"]),
                float(cells["inter_token_ms"]),
            )
            for cells in csv.DictReader(file)
        )


def inter_token_ms(row: TokenGap, model: LanguageModel, efficiency: Efficiency = FITTED) -> float:
    """Return the estimate of a published time between tokens: a step, and the others' prompts that are read beside."""
    serving = Serving(Spread(row.tensor), row.weights, _cache_type(row.weights, row.gpu))
    times = RooflineTimes(model, serving, GPUS[row.gpu], efficiency)
    traffic = Traffic(1.0, row.input_tokens, row.output_tokens)
    beside_s = (row.concurrency - 1) * prompt_s(times, serving, traffic, row.concurrency) / row.output_tokens
    return (times.decode_s(row.concurrency, row.input_tokens + row.output_tokens / 2) + beside_s) * 1e3


def _cache_type(weights: WeightType, gpu: str) -> CacheType:
    """Return the cache's type where a table does not say it (sources.json: cache)."""
    is_widened = weights == "mxfp4" and GPUS[gpu].compute_capability < (10, 0)
    return "fp16" if weights in ("fp16", "bf16") or is_widened else "fp8"


def read_rows() -> tuple[Row, ...]:
    """Return all published numbers, in the order of the file."""
    with (FOLDER / "published.csv").open(encoding="utf-8") as file:
        return tuple(_row(cells) for cells in csv.DictReader(file))


def _row(cells: Mapping[str, Any]) -> Row:
    data = int(cells["data"])
    return Row(
        release=cells["release"],
        model=cells["model"],
        gpu=cells["gpu"],
        weights=cells["weights"],
        spread=Spread(int(cells["tensor"]), int(cells["pipeline"]), data, data),
        input_tokens=int(cells["input"]),
        output_tokens=int(cells["output"]),
        batch=int(cells["batch"] or 0),
        tokens_per_s=float(cells["tokens_per_s"]),
    )


def read_models() -> dict[str, LanguageModel]:
    """Return the shapes of the models in the tables."""
    shapes = json.loads((FOLDER / "models.json").read_text(encoding="utf-8"))
    return {name: _model(name, shape) for name, shape in shapes.items()}


def _model(name: str, shape: Mapping[str, Any]) -> LanguageModel:
    source, windowed = shape["source"], shape.get("windowed", 0)
    full = shape["layers"] - windowed
    if latent := shape.get("latent", 0):
        layers = [LayerGroup(full, "mla", shape["kv_heads"], shape["head"], latent=latent)]
    else:
        layers = [LayerGroup(full, "full", shape["kv_heads"], shape["head"])]
    if windowed:
        layers.append(LayerGroup(windowed, "window", shape["kv_heads"], shape["head"], window=shape["window"]))
    tables = 1 if shape.get("tied") else 2
    return LanguageModel(
        name=name,
        layers=tuple(layers),
        hidden_size=shape["hidden"],
        heads=shape["heads"],
        head_size=shape["head"],
        intermediate_size=shape["inter"],
        vocab_size=shape["vocab"],
        parameters=exact(shape["parameters"], source),
        expert_parameters=exact(shape["experts_parameters"], source),
        embedding_parameters=exact(tables * shape["vocab"] * shape["hidden"], source),
        weight_type="bf16",
        experts=shape.get("experts", 0),
        experts_per_token=shape.get("per_token", 0),
        source=source,
    )


def served(row: Row, model: LanguageModel) -> tuple[Serving, Memory]:
    """Return how a published run was served, and what its memory holds.

    An engine is built for as many sequences as its cache holds, at least 64 (sources.json: batch); memory for their
    logits is then taken by each rank of attention's data parallelism. Static batches are known to have fitted.
    """
    cache = _cache_type(row.weights, row.gpu)
    length = row.input_tokens + row.output_tokens
    ranks = row.spread.data
    serving = Serving(row.spread, row.weights, cache, _LEAST_SEQUENCES * ranks, kv_fraction=_KV_FRACTION)
    held = memory(model, serving, GPUS[row.gpu], tokens_per_sequence=length)
    if row.batch:
        tokens = exact(row.batch * length, "published")
        return replace(serving, max_batch_size=row.batch), replace(held, kv_tokens=tokens)
    fitting = int(held.kv_tokens.value / length / ranks)
    most = max(_LEAST_SEQUENCES, min(_MOST_SEQUENCES, fitting))
    serving = replace(serving, max_batch_size=most * ranks)
    return serving, memory(model, serving, GPUS[row.gpu], tokens_per_sequence=length)


def estimate(row: Row, model: LanguageModel, efficiency: Efficiency = FITTED) -> tuple[float, float, float]:
    """Return tokens per second of a published run, and the interval's ends; zeros where the model is told not to fit.

    A run is over after so many requests: full batches, and a last one that is not full.
    """
    gpu, traffic = GPUS[row.gpu], Traffic(1.0, row.input_tokens, row.output_tokens)
    serving, held = served(row, model)
    times = RooflineTimes(model, serving, gpu, efficiency)
    try:
        sequences = sequences_in_flight(serving, held, traffic)
        requests = row.batch or _REQUESTS[row.input_tokens, row.output_tokens]
        seconds = sum(
            count * size * row.output_tokens / _tokens_per_s(times, model, serving, held, traffic, size).value
            for count, size in ((requests // sequences, sequences), (1, requests % sequences))
            if count and size
        )
    except UsageError:
        return 0.0, 0.0, 0.0
    value = requests * row.output_tokens / seconds
    figure = _tokens_per_s(times, model, serving, held, traffic, sequences)
    return value, value * figure.low / figure.value, value * figure.high / figure.value


def _tokens_per_s(
    times: RooflineTimes, model: LanguageModel, serving: Serving, held: Memory, traffic: Traffic, sequences: int
) -> Figure:
    return throughput(times, model, replace(serving, max_batch_size=sequences), held, traffic).tokens_per_s
