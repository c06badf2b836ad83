"""What a server, or a repository, has: which model is meant, its steps, and the configurations of them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.configs import as_message
from tritonsmith.backends.client.control import Control
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.suggest import did_you_mean

Served = Mapping[str, Mapping[str, Any]]  # by model its configuration as the server gives it
Calls = Mapping[str, Sequence[str]]  # of BLS, by caller


def the_model(configs: Mapping[str, ModelConfig], given: str | None = None) -> str:
    """Return the one model that can only be meant: the given one, else the only ensemble, else the only model.

    Raises: UsageError where the given one is not there, or where there are several.
    """
    if given and given not in configs:
        raise UsageError(f"no model '{given}' here.{did_you_mean(given, configs)}", hint=f"it has {', '.join(configs)}")
    ensembles = [name for name, config in configs.items() if config.ensemble_scheduling.step]
    for candidates in ([given] if given else [], ensembles, list(configs)):
        if len(candidates) == 1:
            return candidates[0]
    raise UsageError(f"which model? There are {', '.join(configs) or 'none'}", hint="name one")


def reached(model: str, configs: Mapping[str, ModelConfig], calls: Calls | None = None) -> tuple[str, ...]:
    """Return a model and, where it is an ensemble, its steps, however deep; with `calls`, what these call, too.

    Raises: UsageError for the model or a step that has no configuration; a called model may be loaded only then.
    """
    found: dict[str, None] = {}
    waiting = [model]
    while waiting:
        name = waiting.pop(0)
        if name not in configs:
            hint = "tritonsmith check says what is wrong with it"
            raise UsageError(f"'{name}' is needed, but there is no such model that can be read", hint=hint)
        if name not in found:
            found[name] = None
            waiting += [step.model_name for step in configs[name].ensemble_scheduling.step]
            waiting += [other for other in (calls or {}).get(name, ()) if other in configs]
    return tuple(found)


def computing(model: str, configs: Mapping[str, ModelConfig], calls: Calls | None = None) -> tuple[str, ...]:
    """Return those of them that are no ensembles: they do the work.

    Raises: as `reached`.
    """
    return tuple(name for name in reached(model, configs, calls) if not configs[name].ensemble_scheduling.step)


def composing_models(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the models of an ensemble's steps, each once, in the order of the steps; none for another model."""
    steps = config.get("ensemble_scheduling", {}).get("step", [])
    return tuple(dict.fromkeys(str(step["model_name"]) for step in steps))


def is_decoupled(configs: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether one of a model's and its steps' configurations allows any number of responses."""
    return any(config.get("model_transaction_policy", {}).get("decoupled", False) for config in configs.values())


def ready_configs(control: Control) -> dict[str, ModelConfig]:
    """Read the configurations of all models that are ready, by name.

    Raises: ServerError.
    """
    names = sorted({state.name for state in control.index() if state.state == "READY"})
    return {name: as_message(control.config(name)) for name in names}


def only_model(control: Control) -> str:
    """Return the one model of a server that can only be meant.

    Raises: as `the_model`; ServerError.
    """
    return the_model(ready_configs(control))


def read_configs(control: Control, model: str, version: str = "") -> dict[str, dict[str, Any]]:
    """Read the configurations of a model and of the models below it, ensembles within ensembles included."""
    configs = {model: control.config(model, version)}
    for name in composing_models(configs[model]):
        configs |= read_configs(control, name)
    return configs
