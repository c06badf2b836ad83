"""What a sweep measured, as graphs: the pipeline of its model in every variant, as the server has it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.configs import as_message
from tritonsmith.backends.client.control import Control
from tritonsmith.ensembles.draw.core import Graph
from tritonsmith.ensembles.draw.repository import draw_served
from tritonsmith.generator.errors import RepositoryError, ServerError
from tritonsmith.generator.repository.lock import read_lock
from tritonsmith.perf.document import SweepPlan
from tritonsmith.perf.served import Calls
from tritonsmith.perf.variants import all_variants, changed_configs

Configs = Mapping[str, ModelConfig]


def draw_variants(plan: SweepPlan, served: Configs, called: Configs, calls: Calls) -> dict[str, Graph]:
    """Return the pipeline in every variant; `called` are the models that those served call (BLS)."""
    return {
        name: draw_served({**called, **served, **changed_configs(variant, served)}, plan.model, calls)
        for name, variant in all_variants(plan).items()
    }


def known_calls(repository: Path | None) -> Calls:
    """Return the BLS calls of a repository that we built, by caller; none of others and of running servers."""
    with suppress(RepositoryError, OSError):
        return dict(read_lock(repository).settings.get("calls", {})) if repository is not None else {}
    return {}


def called_configs(control: Control, served: Configs, calls: Calls) -> dict[str, ModelConfig]:
    """Return the configurations of the models that those served call, directly or through others."""
    found: dict[str, ModelConfig] = {}
    waiting = [name for model in served for name in calls.get(model, ())]
    while waiting:
        name = waiting.pop()
        if name in served or name in found:
            continue
        with suppress(ServerError):  # it may be loaded when it is called only
            found[name] = as_message(control.config(name))
            waiting += calls.get(name, ())
    return found
