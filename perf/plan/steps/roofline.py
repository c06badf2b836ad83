"""How long a step of a replica takes, from what it must read, compute and send, and what of a data sheet is reached.

A step multiplies its tokens with the weights, attends to what the cache holds, exchanges sums between GPUs and is
prepared by the host. Each of these is bytes or operations divided by a rate; the shares of a GPU's rates that serving
reaches are fitted on published tables (perf/bench/fit_roofline.py), never on one model or GPU alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tritonsmith.generator.catalog.gpus import Gpu, Precision
from tritonsmith.perf.plan.core import LanguageModel, LayerGroup, Serving, WeightType
from tritonsmith.perf.plan.precisions import CACHE_BYTES, WEIGHT_BYTES, body_type

HALF_BYTES = 2.0  # of an activation, and of a weight that is not quantised
# What multiplies such weights, best first: the first that the GPU has is taken.
_ARITHMETIC: dict[WeightType, tuple[Precision, ...]] = {
    "fp32": ("fp16",), "fp16": ("fp16",), "bf16": ("bf16", "fp16"), "fp8": ("fp8", "fp16"), "int8": ("int8", "fp16"),
    "int4": ("fp16",), "nvfp4": ("fp4", "fp16"), "mxfp4": ("fp16",),
}  # fmt: skip


@dataclass(frozen=True)
class Efficiency:
    """Shares of a data sheet's rates that serving reaches, and times that no rate explains, in seconds."""

    fp16: float  # of the arithmetic, in big multiplications
    fp8: float
    fp4: float
    experts: float  # of the above, where tokens are sorted to experts
    weights: float  # of the memory's bandwidth
    cache: float  # likewise, reading keys and values
    attention: float  # of the arithmetic in fp16, attending to a prompt
    nvlink: float
    pcie: float
    exchange_s: float  # an all-reduce or all-to-all, besides its bytes
    layer_s: float  # launching a layer's kernels for prompts
    graph_s: float  # likewise for decoding, from a CUDA graph
    sequence_s: float  # the host, between two steps, for each sequence


FITTED = Efficiency(
    fp16=0.673, fp8=0.621, fp4=0.45, experts=0.847, weights=0.741, cache=0.693, attention=0.92,
    nvlink=0.398, pcie=0.428, exchange_s=2.93e-6, layer_s=124e-6, graph_s=58e-6, sequence_s=5.67e-6,
)  # fmt: skip


# Four in five published numbers lie between these shares of the estimate where their model is left out of the fit. Two
# models with experts do not tell how far off others are, hence a factor of two (perf/bench/fit_roofline.py).
DENSE_INTERVAL, EXPERTS_INTERVAL = (0.788, 1.404), (0.672, 1.343)


def cache_bytes(group: LayerGroup, serving: Serving, context: float) -> float:
    """Return what one GPU reads of a sequence's cache in a layer of this kind for one more token."""
    size = CACHE_BYTES[serving.cache_type]
    if group.attention == "linear":
        return group.state_bytes / serving.spread.tensor
    if group.attention == "mla":
        return group.latent * size * _keys(group, context) + group.index_bytes * context
    return 2 * math.ceil(group.kv_heads / serving.spread.tensor) * group.head_size * size * _keys(group, context)


def _keys(group: LayerGroup, context: float) -> float:
    """Return how many of `context` tokens a token attends to."""
    most = group.window if group.attention == "window" else group.selected
    return min(context, most) if most else context


def attention_flops(group: LayerGroup, model: LanguageModel, context: float, is_prefill: bool) -> float:
    """Return the operations of one token's attention to `context` others in a layer, over all heads.

    Keys and values of latent attention are as long as the latent vector when decoding, as a head's when prefilling.
    """
    if group.attention == "linear":
        return 4.0 * group.state_bytes / HALF_BYTES
    size = group.latent if group.attention == "mla" and not is_prefill else group.head_size or model.head_size
    return 4.0 * model.heads * size * _keys(group, context)


@dataclass(frozen=True)
class RooflineTimes:
    """Step times of a model on GPUs, as core.StepTimes wants them.

    They are of the whole replica: with pipeline parallelism, how long the pipeline is kept busy, not how long one
    prompt takes through it; with attention's data parallelism, of tokens spread evenly over the ranks.
    """

    model: LanguageModel
    serving: Serving
    gpu: Gpu
    efficiency: Efficiency = field(default=FITTED)

    @property
    def source(self) -> str:
        """What these times follow from."""
        return f"roofline of {self.gpu.name} ({self.gpu.source}), fitted on TensorRT-LLM's published throughput"

    @property
    def interval(self) -> tuple[float, float]:
        """Shares of an estimate between which the truth lies four times in five."""
        return EXPERTS_INTERVAL if self.model.experts else DENSE_INTERVAL

    def prefill_s(self, tokens: float, context: float) -> float:
        """Return how long a step keeps the replica busy that reads so many tokens of one prompt behind `context`.

        A token attends to `context + tokens / 2` others in the mean; several short prompts in one step are told by a
        context that makes this mean right, below 0.
        """
        spread = self.serving.spread
        keys = max(0.0, context + tokens / 2)
        work = sum(g.count * attention_flops(g, self.model, keys, is_prefill=True) for g in self.model.layers)
        rate = self.gpu.flops["fp16"] * self.efficiency.attention * spread.tensor * spread.data
        # Stages of a pipeline work on different chunks at the same time.
        launch_s = self.model.layer_count * self.efficiency.layer_s
        layers_s = self._layers_s(tokens, 1.0) + tokens * work / rate + launch_s
        return layers_s / spread.pipeline

    def decode_s(self, sequences: float, context: float) -> float:
        """Return how long a step takes that adds a token to each sequence of the replica, of this mean length.

        A pipeline works on as many parts of the batch as it has stages, and each passes every stage.
        """
        spread = self.serving.spread
        together = max(1.0, sequences / spread.pipeline)
        own = max(1.0, together / spread.data)
        read = sum(g.count * cache_bytes(g, self.serving, context) for g in self.model.layers) * own
        work = sum(g.count * attention_flops(g, self.model, context, is_prefill=False) for g in self.model.layers)
        attention_s = max(
            read / (self.gpu.bytes_per_s * self.efficiency.cache),
            work * own / (self.gpu.flops["fp16"] * self.efficiency.attention * spread.tensor),
        )
        launch_s = self.model.layer_count * self.efficiency.graph_s
        host_s = self.efficiency.sequence_s * sequences + launch_s
        return self._layers_s(together, together) + attention_s + host_s

    def _layers_s(self, tokens: float, logits: float) -> float:
        """Return what the multiplications and exchanges of a step take through all layers, and the output's table."""
        return self._dense_s(tokens, logits) + self._experts_s(tokens) + self._exchange_s(tokens)

    def _dense_s(self, tokens: float, logits: float) -> float:
        """Weights that every token is multiplied with; each rank of attention's data parallelism has all of them."""
        model, spread = self.model, self.serving.spread
        dense = model.parameters.value - model.expert_parameters.value - model.embedding_parameters.value
        kind = body_type(self.serving.weight_type, has_experts=model.experts > 0)
        table = float(model.vocab_size * model.hidden_size)
        own, own_logits = max(1.0, tokens / spread.data), max(1.0, logits / spread.data)
        return (
            self._multiply_s(dense, own, dense, kind) + self._multiply_s(table, own_logits, table, "bf16")
        ) / spread.tensor

    def _experts_s(self, tokens: float) -> float:
        """Weights of routed experts: those that some token touches are read, spread over all GPUs of a stage."""
        model, spread = self.model, self.serving.spread
        if not model.experts:
            return 0.0
        share = model.experts_per_token / model.experts
        touched = 1 - (1 - share) ** max(1.0, tokens)
        weights = model.expert_parameters.value
        seconds = self._multiply_s(weights, tokens * share, weights * touched, self.serving.weight_type)
        return seconds / (spread.tensor * spread.data) / self.efficiency.experts

    def _multiply_s(self, used: float, tokens: float, read: float, kind: WeightType) -> float:
        """Return how long one GPU takes that multiplies tokens with `used` weights each and reads `read` of them."""
        # MXFP4 is multiplied with activations in FP8 on Blackwell, and widened before.
        wanted = ("fp8",) if kind == "mxfp4" and "fp4" in self.gpu.flops else _ARITHMETIC[kind]
        precision = next(name for name in wanted if name in self.gpu.flops)
        reached = {"fp8": self.efficiency.fp8, "int8": self.efficiency.fp8, "fp4": self.efficiency.fp4}
        share = reached.get(precision, self.efficiency.fp16)
        compute_s = 2 * used * tokens / (self.gpu.flops[precision] * share)
        return max(compute_s, read * WEIGHT_BYTES[kind] / (self.gpu.bytes_per_s * self.efficiency.weights))

    def _exchange_s(self, tokens: float) -> float:
        """All-reduces of tensor parallelism, two a layer; tokens to and from experts with data parallelism."""
        spread, model = self.serving.spread, self.model
        share = self.efficiency.nvlink if self.gpu.domain >= spread.tensor * spread.data else self.efficiency.pcie
        rate = self.gpu.link_bytes_per_s * share
        row, seconds = model.hidden_size * HALF_BYTES, 0.0
        if spread.tensor > 1:
            sent = 2 * (spread.tensor - 1) / spread.tensor * (tokens / spread.data) * row
            seconds += 2 * (sent / rate + self.efficiency.exchange_s)
        if spread.data > 1 and model.experts:
            there = min(model.experts_per_token, spread.data - 1) * (tokens / spread.data) * row
            seconds += 2 * (there / rate + self.efficiency.exchange_s)
        return seconds * model.layer_count
