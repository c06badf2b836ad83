"""What a model's weights take on the fullest GPU of a replica."""

from __future__ import annotations

from math import ceil

from tritonsmith.perf.plan.core import Figure, LanguageModel, Part, Serving, WeightType, exact
from tritonsmith.perf.plan.precisions import WEIGHT_BYTES, body_type


def weight_bytes(model: LanguageModel, weights: WeightType) -> Figure:
    """Return what all weights take, once each: what has to be stored and read."""
    tables = _table_bytes(weights) * model.embedding_parameters.value
    experts = WEIGHT_BYTES[weights] * model.expert_parameters.value
    body = body_bytes(model, weights)
    figure, rest = model.parameters, experts + tables
    known = model.expert_parameters.value + model.embedding_parameters.value
    value, low, high = (body * (count - known) + rest for count in (figure.value, figure.low, figure.high))
    return Figure(value, low, high, f"{figure.source}; {weights}")


def body_bytes(model: LanguageModel, weights: WeightType) -> float:
    """Return the bytes of a parameter that is neither a table's nor a routed expert's."""
    return WEIGHT_BYTES[body_type(weights, has_experts=model.experts > 0)]


def weight_parts(model: LanguageModel, serving: Serving) -> tuple[Part, ...]:
    """Return layers, experts and tables, each with its arithmetic."""
    parts = [_body(model, serving)]
    if model.experts:
        parts.append(_experts(model, serving))
    return (*parts, _tables(model, serving))


def _table_bytes(weights: WeightType) -> float:
    """Return the bytes of a parameter of the input's or output's table: neither is quantised."""
    return WEIGHT_BYTES["fp32" if weights == "fp32" else "bf16"]


def _body(model: LanguageModel, serving: Serving) -> Part:
    """All of the layers but routed experts: split over tensor parallelism, but for what it has to copy."""
    tensor, stages = serving.spread.tensor, serving.spread.pipeline
    width = body_bytes(model, serving.weight_type)
    known = model.expert_parameters.value + model.embedding_parameters.value
    stage = ceil(model.layer_count / stages) / model.layer_count
    copied = _copied(model, tensor)
    figure = model.parameters
    low, value, high = (
        ((count - known) / tensor + copied) * stage * width for count in (figure.low, figure.value, figure.high)
    )
    split = f"{(figure.value - known) / 1e9:,.3f} G parameters / TP{tensor}"
    more = f" + {copied / 1e9:,.3f} G copied" if copied else ""
    layers = f" x {stage:.3g} of the layers" if stages > 1 else ""
    return Part(
        "weights of the layers",
        Figure(value, low, high, f"{figure.source}; {serving.weight_type}"),
        f"({split}{more}){layers} x {width:g} B{f'; {model.uncounted} not counted' if model.uncounted else ''}",
    )


def _copied(model: LanguageModel, tensor: int) -> float:
    """Return what a GPU holds beyond its part: heads of keys and values where they are too few, MLA's latents."""
    beyond = 0.0
    for group in model.layers:
        if group.attention == "mla":
            beyond += group.count * model.hidden_size * group.latent * (1 - 1 / tensor)
        elif group.kv_heads:
            heads = max(1, ceil(group.kv_heads / tensor)) - group.kv_heads / tensor
            beyond += group.count * 2 * model.hidden_size * group.head_size * heads
    return beyond


def _experts(model: LanguageModel, serving: Serving) -> Part:
    """Routed experts: whole ones over expert parallelism, each split over the GPUs that are left."""
    spread, width = serving.spread, WEIGHT_BYTES[serving.weight_type]
    ranks = spread.tensor * spread.data
    held, split = ceil(model.experts / spread.expert), max(1, ranks // spread.expert)
    stage = ceil(model.layer_count / spread.pipeline) / model.layer_count
    each = model.expert_parameters.value / model.experts
    layers = f" x {stage:.3g} of the layers" if spread.pipeline > 1 else ""
    return Part(
        "weights of the experts",
        exact(each * held / split * stage * width, f"{model.expert_parameters.source}; {serving.weight_type}"),
        f"{held} of {model.experts} experts x {each / 1e9:,.3f} G parameters / {split}{layers} x {width:g} B",
    )


def _tables(model: LanguageModel, serving: Serving) -> Part:
    """Tables of input and output: the output's is split, the input's copied unless the build asked to split it.

    Source: TensorRT-LLM: examples/models/core/llama/convert_checkpoint.py (use_parallel_embedding, off by default);
    _torch/modules/embedding.py splits both.
    """
    tensor = serving.spread.tensor
    width = _table_bytes(serving.weight_type)
    one = model.vocab_size * model.hidden_size * width
    is_tied = model.embedding_parameters.value < 1.5 * model.vocab_size * model.hidden_size
    output = 0.0 if is_tied or serving.spread.pipeline > 1 else one / tensor
    split = one / tensor + output
    value = one + output
    arithmetic = f"{model.vocab_size:,} x {model.hidden_size:,} x {width:g} B"
    arithmetic += f" + as much / TP{tensor} for the output" if output else ""
    return Part("tables of input and output", Figure(value, split, value, "vocab_size x hidden_size"), arithmetic)
