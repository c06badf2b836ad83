"""config.pbtxt: a ModelConfig as text, and text as a ModelConfig."""

from __future__ import annotations

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.findings import Finding, Place, error


def render_config(config: ModelConfig) -> str:
    """Return the configuration as Triton's text: fields in the order of the message, maps sorted by key."""
    text: str = text_format.MessageToString(config, as_utf8=True, use_short_repeated_primitives=True)
    return text


def parse_config(text: str, file: str) -> ModelConfig | Finding:
    """Return the configuration, or where and why the text is none.

    The message is the newest that `tritonclient` knows: fields that an older server lacks are accepted here.
    """
    try:
        return text_format.Parse(text, ModelConfig())
    except text_format.ParseError as problem:
        line, column = problem.GetLine() or 0, problem.GetColumn() or 0
        reason = str(problem).removeprefix(f"{line}:{column} : ")
        return error(
            f"not a model configuration: {reason}",
            Place(file, line, column),
            remedy="see https://github.com/triton-inference-server/server/blob/main/docs/user_guide/model_configuration.md",
        )
