"""A model's configuration as a server gives it, as a message, and as the load API takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from tritonclient.grpc.model_config_pb2 import ModelConfig


def as_message(config: Mapping[str, Any]) -> ModelConfig:
    """Return a configuration as a server gives it, without what this client does not know."""
    return ParseDict(dict(config), ModelConfig(), ignore_unknown_fields=True)


def as_submitted(config: Mapping[str, Any]) -> ModelConfig:
    """Return a served configuration as it is submitted.

    The preferred batch size that Triton fills in, the largest batch, is left out: it would hold where that is changed.
    """
    message = as_message(config)
    if list(message.dynamic_batching.preferred_batch_size) == [message.max_batch_size]:
        message.dynamic_batching.ClearField("preferred_batch_size")
    return message


def as_json(config: ModelConfig) -> dict[str, Any]:
    """Return a configuration as the load API takes it."""
    document: dict[str, Any] = MessageToDict(config, preserving_proto_field_name=True)
    return document
