"""The text pipelines of a repository, found by their tensors, and what must be known of each to speak for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.ensembles.text_generation.chat import ChatTemplate, read_chat_template
from tritonsmith.ensembles.text_generation.model_parameters import find_folder
from tritonsmith.ensembles.text_generation.tokenise import Encoding, read_encoding, read_limits
from tritonsmith.ensembles.text_generation.tokenizer_folder import read_tokenizer
from tritonsmith.generator.catalog.datatypes import BY_NUMBER
from tritonsmith.generator.manifests.openai import Configs, models_behind


@dataclass(frozen=True)
class Input:
    """An input as a client sends it: the batch axis included, a single value."""

    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Pipeline:
    """A model that takes and gives text. `aliases` are the other models of the repository that say the same.

    `engine` is the model of the backend behind it, which is told to stop; empty where there is none to tell.
    """

    name: str
    model: str
    inputs: Mapping[str, Input]
    outputs: frozenset[str]
    encoding: Encoding
    template: ChatTemplate | None
    engine: str = ""
    is_ensemble: bool = False
    is_streaming: bool = True  # else it takes no request for a stream: its text comes whole
    aliases: tuple[str, ...] = ()

    @property
    def is_llmapi(self) -> bool:
        """Whether its tensors are those of TensorRT-LLM's LLM API."""
        return "sampling_param_max_tokens" in self.inputs

    @property
    def max_seq_len(self) -> int | None:
        """Tokens of prompt and answer together; None where nothing says it."""
        return self.encoding.limits.max_seq_len

    @property
    def names(self) -> tuple[str, ...]:
        """What clients may call it."""
        return (self.name, *self.aliases)


def find_pipelines(configs: Configs, repository: Path) -> tuple[list[Pipeline], list[str]]:
    """Return the text pipelines of a repository, and why others that look like one are none.

    An ensemble and a tensorrt_llm_bls around the same engine are one pipeline, named like the ensemble and answered
    by tensorrt_llm_bls, whose text is exact also while it streams.
    """
    found: list[Pipeline] = []
    reasons: list[str] = []
    for name, config in sorted(configs.items()):
        if config is None:
            continue
        try:
            found += _read(name, config, configs, repository)
        except ValueError as problem:
            reasons.append(f"{name}: {problem}")
    return list(_joined(found)), reasons


def _joined(found: Sequence[Pipeline]) -> Iterator[Pipeline]:
    """Yield the pipelines, those with the same engine as one."""
    by_engine: dict[str, list[Pipeline]] = {}
    for pipeline in found:
        by_engine.setdefault(pipeline.engine or pipeline.model, []).append(pipeline)
    for group in by_engine.values():
        ensembles = [one for one in group if one.is_ensemble]
        exact = next((one for one in group if not one.is_ensemble), group[0])
        named = ensembles[0] if ensembles else exact
        aliases = tuple(one.name for one in group if one is not named)
        yield replace(exact, name=named.name, aliases=aliases)


def _read(name: str, config: ModelConfig, configs: Configs, repository: Path) -> Iterator[Pipeline]:
    """Yield the pipeline that a model is, nothing for another kind of model.

    Raises: ValueError where its tokenizer or its preprocessing cannot be understood.
    """
    names, outputs = {one.name for one in config.input}, frozenset(one.name for one in config.output)
    if "text_input" not in names or "text_output" not in outputs:
        return
    asked = [config]  # an ensemble is decoupled as its steps are, and says nothing of it
    if "sampling_param_max_tokens" in names:
        encoding, engine = _llmapi_encoding(config, repository / name), ""
    elif (behind := models_behind(config, configs)) is not None:
        preprocessing, engine = behind
        encoding = _encoding(preprocessing, configs, repository)
        asked = [*([] if _is_ensemble(config) else asked), *filter(None, [configs.get(engine)])]
    else:
        return
    try:
        template = read_chat_template(encoding.tokenizer.path)
    except ValueError:
        template = None  # the model completes; whoever chats with it is told
    inputs, is_streaming = _inputs(config), all(one.model_transaction_policy.decoupled for one in asked)
    yield Pipeline(name, name, inputs, outputs, encoding, template, engine, _is_ensemble(config), is_streaming)


def _encoding(name: str, configs: Configs, repository: Path) -> Encoding:
    config = configs.get(name)
    if config is None:
        raise ValueError(f"it calls '{name}', which the repository does not have")
    folder = repository / name
    as_triton_gives_it = json_format.MessageToDict(config, preserving_proto_field_name=True)
    return read_encoding(as_triton_gives_it, str(folder), _version_folder(folder).name)


def _llmapi_encoding(config: ModelConfig, model: Path) -> Encoding:
    """Return how a model of the LLM API encodes: by its parameter tokenizer_dir, else by what its model.yaml names."""
    version = _version_folder(model)
    path = version / "model.yaml"
    try:
        settings: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as problem:
        raise ValueError(f"{path} cannot be read: {problem}") from problem
    said = settings if isinstance(settings, dict) else {}
    own = config.parameters["tokenizer_dir"].string_value if "tokenizer_dir" in config.parameters else ""
    names = [str(text) for text in (own or said.get("tokenizer"), said.get("model")) if text]
    if not names:
        raise ValueError(f"{path} names no model")
    places = [find_folder(name, model, version.name) for name in names]
    texts = {"max_seq_len": str(said["max_seq_len"])} if said.get("max_seq_len") else {}
    return Encoding(read_tokenizer(places[0]), None, True, read_limits(texts, places[::-1]), frozenset())


def _version_folder(model: Path) -> Path:
    """Return the folder of the newest version, which is the one that answers."""
    versions = [one for one in model.iterdir() if one.name.isdecimal()]
    if not versions:
        raise ValueError(f"{model} has no version")
    return max(versions, key=lambda one: int(one.name))


def _inputs(config: ModelConfig) -> dict[str, Input]:
    batch = (1,) if config.max_batch_size > 0 else ()
    return {one.name: Input(BY_NUMBER[one.data_type].wire, batch + (1,) * len(one.dims)) for one in config.input}


def _is_ensemble(config: ModelConfig | None) -> bool:
    return config is not None and bool(config.ensemble_scheduling.step)
