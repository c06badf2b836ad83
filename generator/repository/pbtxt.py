"""config.pbtxt: a ModelConfig as text, and text as a ModelConfig."""

from __future__ import annotations

from dataclasses import replace

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.findings import Finding, Place, error
from tritonsmith.generator.repository.textproto import Reader
from tritonsmith.generator.repository.tokens import Tokens


def render_config(config: ModelConfig) -> str:
    """Return the configuration as Triton's text: fields in the order of the message, maps sorted by key."""
    text: str = text_format.MessageToString(config, as_utf8=True, use_short_repeated_primitives=True)
    return text


def parse_config(text: str, file: str) -> ModelConfig | tuple[Finding, ...]:
    """Return the configuration, or everything for which Triton would refuse the text.

    The message is the newest that `tritonclient` knows: fields that an older server lacks are accepted here.
    """
    config = ModelConfig()
    reader = Reader(Tokens(text))
    reader.read(config)
    if not reader.problems:
        return config
    return tuple(
        replace(
            error(problem.message, Place(file, problem.line, problem.column), remedy=problem.remedy), fix=problem.fix
        )
        for problem in sorted(reader.problems, key=lambda problem: (problem.line, problem.column))
    )
