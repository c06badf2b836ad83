"""What a Hugging Face folder holds: a model's shape, its weights, its tokenizer, where its answers end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.findings import Finding, Place, error
from tritonsmith.generator.inspect.architecture import Architecture
from tritonsmith.generator.inspect.checkpoint import sum_weights
from tritonsmith.generator.inspect.json_file import JsonObject, read_json
from tritonsmith.generator.inspect.onnx import read_onnx
from tritonsmith.generator.inspect.safetensors_file import Weights

# What transformers and tokenizers read, beside config.json.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)
# Any of these is a vocabulary.
_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
_INDEX = "model.safetensors.index.json"
# What `tritonsmith export` writes instead of weights, and what it notes in it. Source: the CPU engine's model_file.py.
GRAPH = "model.onnx"
GRAPH_FORMAT = "tritonsmith.llama/1"


@dataclass(frozen=True)
class TokenizerFacts:
    """The tokenizer's files in a folder, by name; empty where there is none."""

    files: tuple[str, ...] = ()
    has_chat_template: bool = False

    @property
    def has_vocabulary(self) -> bool:
        """Whether text can be made into tokens with it."""
        return bool(set(self.files) & set(_VOCABULARIES))


@dataclass(frozen=True)
class HuggingFaceFacts:
    """A Hugging Face folder; `end_ids` are the tokens that end an answer, `findings` what is wrong with it.

    One that `tritonsmith export` wrote holds a graph for ONNX Runtime where the weights were: `is_exported`.
    """

    path: Path
    architecture: Architecture
    weights: Weights
    tokenizer: TokenizerFacts
    end_ids: tuple[int, ...] = ()
    pad_id: int | None = None
    is_encoder_decoder: bool = False
    is_exported: bool = False
    findings: tuple[Finding, ...] = ()


def is_huggingface(found: JsonObject) -> bool:
    """Whether a config.json is a Hugging Face model's."""
    return "architectures" in found or "model_type" in found


def read_huggingface(folder: Path) -> HuggingFaceFacts:
    """Return the facts of a Hugging Face folder.

    Raises: SpecError where there is none.
    """
    found = read_json(folder / "config.json", "config.json of the model")
    # Models that also see or hear keep the language model's shape below.
    text = found.below("text_config") if "text_config" in found else found
    generation = _optional(folder / "generation_config.json", found)
    ends = generation.wholes("eos_token_id") or found.wholes("eos_token_id") or text.wholes("eos_token_id")
    pads = generation.wholes("pad_token_id") or found.wholes("pad_token_id")
    is_exported = _is_exported(folder, found)
    return HuggingFaceFacts(
        path=folder,
        architecture=_architecture(folder, found, text),
        weights=Weights() if is_exported else sum_weights(_weight_files(folder, found), found.findings),
        tokenizer=read_tokenizer(folder, found.findings),
        end_ids=ends,
        pad_id=pads[0] if pads else None,
        is_encoder_decoder=found.flag("is_encoder_decoder"),
        is_exported=is_exported,
        findings=tuple(found.findings),
    )


def read_tokenizer(folder: Path, findings: list[Finding]) -> TokenizerFacts:
    """Return which files of a tokenizer a folder holds."""
    files = tuple(name for name in TOKENIZER_FILES if (folder / name).is_file())
    has_template = any(name.startswith("chat_template") for name in files)
    if "tokenizer_config.json" in files:
        config = read_json(folder / "tokenizer_config.json", "tokenizer_config.json")
        findings.extend(config.findings)
        has_template = has_template or "chat_template" in config
    return TokenizerFacts(files, has_template)


def _architecture(folder: Path, found: JsonObject, text: JsonObject) -> Architecture:
    heads = text.whole("num_attention_heads", least=1)
    hidden = text.whole("hidden_size", least=1)
    names = found.texts("architectures")
    quantisation, kv_cache = _quantisation(folder, found)
    return Architecture(
        name=names[0] if names else found.text("model_type", ""),
        # transformers 5 writes dtype, before it was torch_dtype
        data_type=found.text("dtype", "") or found.text("torch_dtype", "") or text.text("dtype", "float16"),
        vocab_size=text.whole("vocab_size", least=1),
        hidden_size=hidden,
        layers=text.whole("num_hidden_layers", least=1),
        heads=heads,
        kv_heads=text.whole("num_key_value_heads", heads, least=1),
        head_size=text.whole("head_dim", hidden // heads, least=1),
        max_positions=text.whole("max_position_embeddings", 0),
        quantisation=quantisation,
        kv_cache_quantisation=kv_cache,
        experts=text.whole("num_local_experts", 0) or text.whole("num_experts", 0) or text.whole("n_routed_experts", 0),
        tokens_per_expert=text.whole("num_experts_per_tok", 0),
    )


def _quantisation(folder: Path, found: JsonObject) -> tuple[str, str]:
    """Return how weights and KV cache are quantised: ModelOpt's hf_quant_config.json, else the model's own config."""
    written = _optional(folder / "hf_quant_config.json", found).below("quantization")
    if written.values:
        return written.text("quant_algo", ""), written.text("kv_cache_quant_algo", "")
    return found.below("quantization_config").text("quant_method", ""), ""


def _optional(path: Path, found: JsonObject) -> JsonObject:
    """Return a file beside config.json, an empty object where there is none; its findings go to the same list."""
    values = read_json(path, path.name).values if path.exists() else {}
    return JsonObject(path, values, found.findings)


def _is_exported(folder: Path, found: JsonObject) -> bool:
    """Whether a folder holds a graph and no weights; what is wrong with the graph becomes a finding."""
    if not (folder / GRAPH).exists() or (folder / _INDEX).exists() or any(folder.glob("*.safetensors")):
        return False
    try:
        graph = read_onnx(folder / GRAPH)
    except SpecError as problem:
        found.findings.append(error(problem.message, Place(problem.where), remedy=problem.hint))
        return True
    found.findings.extend(graph.findings)
    if graph.metadata.get("format") != GRAPH_FORMAT:
        remedy = "tritonsmith export MODEL FOLDER, of a model with its safetensors"
        found.findings.append(
            error("the graph was not written by `tritonsmith export`", Place(str(folder / GRAPH)), remedy=remedy)
        )
    return True


def _weight_files(folder: Path, found: JsonObject) -> list[Path]:
    """Return the files with the weights: those of the index where there is one."""
    if not (folder / _INDEX).exists():
        paths = sorted(folder.glob("*.safetensors"))
        if not paths:
            remedy = "model.safetensors, or what `tritonsmith export` wrote; .bin, .pth and .gguf have to be converted"
            found.complain(f"no safetensors file lies in {folder}", remedy=remedy)
        return paths
    index = _optional(folder / _INDEX, found).below("weight_map", is_required=True)
    names = sorted({name for name in index.values.values() if isinstance(name, str)})
    for name in names:
        if PurePosixPath(name).name != name:
            index.complain(f"the weights '{name}' lie outside the model's folder")
    return [folder / name for name in names if PurePosixPath(name).name == name]
