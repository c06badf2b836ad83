"""Read a language model's shape: from a config.json or its folder, a TensorRT-LLM checkpoint, an engine."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.inspect.checkpoint import sum_weights
from tritonsmith.generator.inspect.json_file import JsonObject, read_json
from tritonsmith.perf.plan.core import Figure, LanguageModel, LayerGroup, exact
from tritonsmith.perf.plan.models.layers import (
    HEAD_SIZES,
    HEADS,
    KV_HEADS,
    Layer,
    Sizes,
    first_of,
    read_layers,
    read_sizes,
)
from tritonsmith.perf.plan.models.stored import stored_type
from tritonsmith.perf.plan.models.types import ModelType, refused, type_of

_WHAT = "config.json of a language model"
_HINT = "name a Hugging Face folder or its config.json, a TensorRT-LLM checkpoint, or an engine's folder"
BIASES = 0.002  # of the parameters that are no experts': biases and norms of heads, which are not counted
# What a config.json speaks of and is not in the decoder's layers: how large they are it does not say.
_UNCOUNTED = {
    "vision_config": "its vision tower",
    "audio_config": "its audio tower",
    "num_nextn_predict_layers": "layers that predict several tokens",
    "mtp_num_hidden_layers": "layers that predict several tokens",
}
# Tensors of these types hold one parameter in each element; others are packed.
_UNPACKED = {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"}


def read_model(path: Path) -> LanguageModel:
    """Return what a plan must know of a model; `path` is a folder with config.json, or such a file.

    Raises: SpecError where nothing is there, or a key is not understood.
    """
    file = path / "config.json" if path.is_dir() else path
    found = read_json(file, _WHAT, hint=_HINT)
    config = _language_part(found)
    kind = type_of(config)
    sizes = read_sizes(config)
    layers = read_layers(config, kind, sizes)
    vocabulary = config.whole("vocab_size", least=1)
    weight_type = stored_type(found, config, file.parent)
    if found.findings or not layers:
        findings = tuple(dict.fromkeys(found.findings))  # each layer reads the keys that all share
        raise SpecError("the shape of the model cannot be read", where=str(file), findings=findings, hint=_HINT)
    _require_heads(config, kind, sizes)
    _require_experts(config, sizes)
    experts = sum(layer.expert_parameters for layer in layers)
    tables = vocabulary * sizes.hidden * (1 if _is_tied(found, config, kind) else 2)
    computed = experts + sum(layer.parameters for layer in layers) + tables + sizes.hidden
    computed += sizes.hidden * config.whole(kind.positions, 0) if kind.positions else 0
    return LanguageModel(
        name=found.text("_name_or_path", "") or (file.resolve().parent.name if _is_in_folder(file) else file.stem),
        layers=_grouped(layers),
        hidden_size=sizes.hidden,
        heads=sizes.heads,
        head_size=sizes.head,
        intermediate_size=max(layer.width for layer in layers),
        vocab_size=vocabulary,
        parameters=_parameters(file, computed, experts),
        expert_parameters=exact(experts, f"{file.name}: its shape"),
        embedding_parameters=exact(tables, f"{file.name}: vocab_size x hidden_size"),
        weight_type=weight_type,
        experts=sizes.experts,
        experts_per_token=sizes.experts_per_token if sizes.experts else 0,
        max_positions=first_of(config, "max_position_embeddings", "n_positions", "seq_length", default=0),
        source=str(file),
        uncounted=_uncounted(found, config),
    )


def _is_in_folder(file: Path) -> bool:
    """Whether what lies beside the file is the model's too."""
    return file.name == "config.json"


def _language_part(found: JsonObject) -> JsonObject:
    """Return the object that holds the decoder's shape."""
    for name in ("text_config", "language_config", "llm_config", "pretrained_config"):
        if name in found:
            return found.below(name)
    return found


def _require_heads(config: JsonObject, kind: ModelType, sizes: Sizes) -> None:
    """Refuse heads that share no keys and values evenly, or whose size is no whole number where it is to follow."""
    if kind.is_mla:
        return
    if sizes.heads % sizes.kv_heads:
        raise refused(
            config, KV_HEADS[0], f"{sizes.heads} heads are no multiple of {sizes.kv_heads} heads of keys and values"
        )
    if sizes.hidden % sizes.heads and not any(name in config for name in HEAD_SIZES):
        message = f"{sizes.heads} heads do not divide a hidden_size of {sizes.hidden}, and there is no head_dim"
        raise refused(config, HEADS[0], message)


def _require_experts(config: JsonObject, sizes: Sizes) -> None:
    if sizes.experts and not 0 < sizes.experts_per_token <= sizes.experts:
        message = f"a token cannot use {sizes.experts_per_token} of {sizes.experts} experts"
        raise refused(config, "num_experts_per_tok", message)


def _uncounted(found: JsonObject, config: JsonObject) -> str:
    """Return what the files hold besides the decoder's layers, in words."""
    words = (words for key, words in _UNCOUNTED.items() if found.values.get(key) or config.values.get(key))
    return " and ".join(dict.fromkeys(words))


def _is_tied(found: JsonObject, config: JsonObject, kind: ModelType) -> bool:
    for place in (config, found):
        if "tie_word_embeddings" in place:
            return place.flag("tie_word_embeddings")
    return config.flag("share_embedding_table", default=kind.is_tied)


def _grouped(layers: list[Layer]) -> tuple[LayerGroup, ...]:
    """Return layers that keep alike together, in the order in which they first come."""
    return tuple(replace(kept, count=count) for kept, count in Counter(layer.kept for layer in layers).items())


def _parameters(file: Path, computed: int, experts: int) -> Figure:
    """Return the parameters: those of the weights beside config.json, else those that follow from the shape."""
    error = BIASES * (computed - experts)
    follows = Figure(computed, computed - error, computed + error, f"{file.name}: its shape, without biases")
    paths = sorted(file.parent.glob("*.safetensors")) if _is_in_folder(file) else []
    if not paths:
        return follows
    problems: list[Finding] = []
    weights = sum_weights(paths, problems)
    if problems:
        raise SpecError("the weights cannot be read", where=str(file.parent), findings=problems)
    # More lies there than is served: layers that predict several tokens, copies in another form.
    is_whole = weights.data_types <= _UNPACKED and computed * (1 - 0.02) <= weights.parameters <= computed * 1.02
    return exact(weights.parameters, f"{len(paths)} safetensors files") if is_whole else follows
