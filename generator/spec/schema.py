"""The spec's JSON Schema, for editors: our keys from their own definitions, ModelConfig's from its descriptor."""

from __future__ import annotations

import json
from typing import Any, get_args

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.catalog.releases import RELEASES
from tritonsmith.generator.spec.deploy import Deploy
from tritonsmith.generator.spec.settings import EngineSettings, Hardware, Server
from tritonsmith.generator.spec.sharing import PROFILE, Mode, Sharing
from tritonsmith.generator.spec.tune import Tune

_NAME = {"type": "string", "pattern": "^[A-Za-z0-9_.-]+$"}
_NAMES = {"type": "array", "items": {"type": "string"}}
_INLINE = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_WHOLE = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64}
_UNSIGNED = {FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64}


def spec_schema(pipelines: dict[str, dict[str, Any]] | None = None) -> dict[str, Any]:
    """Return the schema; `pipelines` maps a blueprint's name to the schema of its settings."""
    definitions: dict[str, Any] = {}
    model = _message(ModelConfig.DESCRIPTOR, definitions)
    definitions["Model"] = _model(definitions[model])
    layer = _layer(definitions, pipelines or {})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tritonsmith spec",
        "description": "Triton's own ModelConfig written in YAML, plus what Triton cannot know.",
        "type": "object",
        "properties": {
            **layer,
            "profiles": {
                "description": "what differs between places; --profile NAME lays one over the spec",
                "type": "object",
                "additionalProperties": {"type": "object", "properties": layer, "additionalProperties": False},
            },
        },
        "additionalProperties": False,
        "$defs": dict(sorted(definitions.items())),
    }


def _layer(definitions: dict[str, Any], pipelines: dict[str, dict[str, Any]]) -> dict[str, Any]:
    definitions["Pipeline"] = _pipeline(definitions, pipelines)
    return {
        "repository": {**_NAME, "description": "the repository's name"},
        "triton": {"description": "the release it is written for, e.g. 24.10", "enum": [*RELEASES]},
        "hardware": {"oneOf": [{"enum": ["none", None]}, _settings(Hardware, definitions)]},
        "sharing": _sharing(definitions),
        "server": {"oneOf": [_settings(Server, definitions), {"type": "null"}]},
        "models": {
            "type": "object",
            "propertyNames": _NAME,
            "additionalProperties": {"oneOf": [{"$ref": "#/$defs/Model"}, {"type": "null"}]},
        },
        "pipelines": {
            "type": "object",
            "additionalProperties": {"oneOf": [{"$ref": "#/$defs/Pipeline"}, {"type": "null"}]},
        },
        "tune": {"oneOf": [_tune(definitions), {"type": "null"}]},
        "deploy": {"oneOf": [_settings(Deploy, definitions), {"type": "null"}]},
    }


def _settings(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = kind.model_json_schema(ref_template="#/$defs/{model}")
    definitions.update(schema.pop("$defs", {}))
    definitions[kind.__name__] = schema
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _sharing(definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of `sharing:`, a mode or a mapping with it."""
    modes = [mode for mode in get_args(Mode) if mode != "mig"]
    reference = _settings(Sharing, definitions)
    sliced = {"type": "string", "pattern": f"^mig:{PROFILE.removeprefix('^')}"}
    definitions["Sharing"]["properties"]["mode"] = {"anyOf": [{"enum": [*modes, "mig"]}, sliced]}
    return {"oneOf": [{"enum": modes}, sliced, reference, {"type": "null"}]}


def _tune(definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of `tune:`, whose values may be written as numbers."""
    reference = _settings(Tune, definitions)
    scalar = {"type": ["string", "number", "boolean", "null"]}
    empty = {"type": "object", "maxProperties": 0}
    value = {"anyOf": [scalar, {"type": "array", "items": scalar}, empty]}
    values = {"type": "array", "items": value, "minItems": 1}
    fields = {"type": "object", "additionalProperties": values}
    definitions["Tune"]["properties"]["vary"] |= {"additionalProperties": fields}
    return reference


def _pipeline(definitions: dict[str, Any], pipelines: dict[str, dict[str, Any]]) -> dict[str, Any]:
    base = {
        "type": "object",
        "properties": {
            "use": {"enum": sorted(pipelines)},
            "with": {"type": "object"},
            "names": _TEXTS,
            "engine": {"oneOf": [{"type": "string"}, _settings(EngineSettings, definitions), {"type": "null"}]},
            "replicas": {"type": "integer", "minimum": 1, "description": "copies of the engine"},
            "nodes": {"type": "integer", "minimum": 1, "description": "machines that one copy of the engine spans"},
        },
        "required": ["use"],
        "additionalProperties": False,
    }
    rules = []
    for name, schema in sorted(pipelines.items()):
        own = _prefixed(schema, name)
        definitions.update({f"{name}.{key}": value for key, value in own.pop("$defs", {}).items()})
        definitions[name] = own
        condition = {"properties": {"use": {"const": name}}}
        rules.append({"if": condition, "then": {"properties": {"with": {"$ref": f"#/$defs/{name}"}}}})
    return {**base, "allOf": rules} if rules else base


def _prefixed(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a blueprint's schema whose definitions bear its name: others have definitions of the same names."""
    renamed: dict[str, Any] = json.loads(json.dumps(schema).replace('"#/$defs/', f'"#/$defs/{name}.'))
    return renamed


def _model(config: dict[str, Any]) -> dict[str, Any]:
    """Return ModelConfig's schema with the keys that are ours."""
    versions = {"type": "object", "propertyNames": {"pattern": "^(0|[1-9][0-9]*)$"}, "additionalProperties": True}
    step = {
        "type": "object",
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "integer"},
            "model_namespace": {"type": "string"},
            "input_map": {**_TEXTS, "description": "the model's tensor: the ensemble's"},
            "output_map": {**_TEXTS, "description": "the model's tensor: the ensemble's"},
        },
        "required": ["model_name"],
        "additionalProperties": False,
    }
    ours = {
        "file": {"description": "the model file, or one per version", "oneOf": [{"type": "string"}, versions]},
        "files": {
            "type": "object",
            "additionalProperties": {"anyOf": [{"type": "string"}, _INLINE]},
            "description": "path in the model's folder: file, or {text: what stands in it}",
        },
        "variants": {**_TEXTS, "description": "name: a file that may stand in for the model's; tune chooses one"},
        "python": {"type": "string", "description": "a folder with model.py and config.pbtxt, or blueprint:NAME/MODEL"},
        "ensemble": {
            "description": "Triton's steps; a bare name is wired by tensor name",
            "type": "array",
            "items": {"oneOf": [{"type": "string"}, step]},
            "minItems": 1,
        },
        "calls": {**_NAMES, "description": "models that a Python model calls (BLS)"},
        "expose": {**_NAMES, "description": "tensors that become outputs although a step consumes them"},
    }
    nullable = {key: {"anyOf": [schema, {"type": "null"}]} for key, schema in ours.items()}
    return {**config, "properties": {**nullable, **config["properties"]}}


def _message(descriptor: Descriptor, definitions: dict[str, Any]) -> str:
    """Add a message's schema to the definitions and return its name there."""
    name = descriptor.full_name.removeprefix("inference.")
    if name not in definitions:
        definitions[name] = {}  # a message that contains itself ends here
        properties = {field.name: _field(field, definitions) for field in descriptor.fields}
        definitions[name] = {"type": "object", "properties": properties, "additionalProperties": False}
    return name


def _field(field: FieldDescriptor, definitions: dict[str, Any]) -> dict[str, Any]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        value = _value(field.message_type.fields_by_name["value"], definitions)
        entry = {"oneOf": [value, {"type": "null"}]}
        return {"oneOf": [{"type": "object", "additionalProperties": entry}, {"type": "null"}]}
    value = _value(field, definitions)
    return {"oneOf": [{"type": "array", "items": value} if field.is_repeated else value, {"type": "null"}]}


def _value(field: FieldDescriptor, definitions: dict[str, Any]) -> dict[str, Any]:
    if field.message_type is not None:
        reference = {"$ref": f"#/$defs/{_message(field.message_type, definitions)}"}
        is_short = field.message_type.name == "ModelParameter"  # {mean: 0.5} is short for {mean: {string_value: "0.5"}}
        return {"oneOf": [reference, {"type": ["string", "number", "boolean"]}]} if is_short else reference
    if field.enum_type is not None:
        return {"enum": [value.name for value in field.enum_type.values]}
    if field.cpp_type in _WHOLE:
        return {"type": "integer"}
    if field.cpp_type in _UNSIGNED:
        return {"type": "integer", "minimum": 0}
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return {"type": "boolean"}
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return {"type": ["string", "number", "boolean"]}
    return {"type": "number"}
