"""What is changed in a model's configuration so that this machine's server can load it, and what is said about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from google.protobuf.message import Message
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tritonsmith.generator.catalog.backends import BACKENDS, STANDARD_BACKENDS
from tritonsmith.generator.catalog.releases import fields_newer_than
from tritonsmith.generator.repository.complete import backend_of
from tritonsmith.generator.repository.core import Model
from tritonsmith.generator.repository.names import versions_of
from tritonsmith.generator.suggest import did_you_mean

Accelerators = Literal["cpu_execution_accelerator", "gpu_execution_accelerator"]
KIND_CPU, KIND_GPU = ModelInstanceGroup.KIND_CPU, ModelInstanceGroup.KIND_GPU

GPU_BACKENDS = frozenset({"tensorrt", "vllm"})


@dataclass(frozen=True)
class Host:
    """What a server has to offer: GPUs, backends by name, and the release that decides which fields it knows."""

    gpus: int
    backends: frozenset[str]
    release: str
    stand_ins: frozenset[str] = frozenset()  # those of `backends` that are ours in place of a C++ backend


def without_newer_fields(config: ModelConfig, release: str) -> tuple[ModelConfig, list[str]]:
    """Return the configuration without the fields that appeared after `release`, and their paths.

    Such a field is a parse error for the older server.
    """
    newer = list(fields_newer_than(release, config))
    if not newer:
        return config, []
    older = ModelConfig()
    older.CopyFrom(config)
    for path in newer:
        _clear(older, path.split("."))
    return older, newer


def fit_to_host(config: ModelConfig, host: Host) -> tuple[ModelConfig, list[str]]:
    """Return the configuration with what this machine lacks replaced, and a line for each change."""
    fitted = ModelConfig()
    fitted.CopyFrom(config)
    changes = []
    if not host.gpus:
        changes += [*_groups_on_cpu(fitted), *_without_accelerators(fitted, "gpu_execution_accelerator", "no GPU here")]
    if backend_of(Model("", config)) in host.stand_ins:
        changes += _without_accelerators(fitted, "cpu_execution_accelerator", "the embedded server's backend has none")
    return fitted, changes


def refusal(model: Model, host: Host) -> str:
    """Return why this server cannot load a model, with the way out; empty where nothing is against it."""
    backend = backend_of(model)
    if not backend or backend == "ensemble" or backend in host.backends or _has_own_library(model, backend):
        return _missing_python_file(model) if backend == "python" else ""
    lacking = (
        f"needs the backend '{backend}', which the embedded server does not have "
        f"(it has {', '.join(sorted(host.backends))})"
    )
    if backend not in STANDARD_BACKENDS:
        suggestion = did_you_mean(backend, STANDARD_BACKENDS)
        return f"{lacking}.{suggestion or f' Put its libtriton_{backend}.so into the folder of the model'}"
    gpu = " and an NVIDIA GPU" if backend in GPU_BACKENDS else ""
    return f"{lacking}; it needs NVIDIA's container{gpu}: tritonsmith serve --container"


def load_order(configs: Mapping[str, ModelConfig | None], calls: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return the models so that each comes after its steps and after those it calls; cycles end where they are met."""
    order: dict[str, None] = {}
    entered: set[str] = set()

    def enter(name: str) -> None:
        if name in entered or name not in configs:
            return
        entered.add(name)
        for needed in depends_on(configs[name], calls.get(name, ())):
            enter(needed)
        order[name] = None

    for name in configs:
        enter(name)
    return list(order)


def depends_on(config: ModelConfig | None, calls: tuple[str, ...] = ()) -> list[str]:
    """Return the models that a model is made of or calls."""
    steps = [step.model_name for step in config.ensemble_scheduling.step] if config is not None else []
    return list(dict.fromkeys([*steps, *calls]))


def _groups_on_cpu(config: ModelConfig) -> list[str]:
    """Put GPU instance groups on the CPU; also KIND_AUTO with `gpus`, which 2.51 resolves to CPU and then refuses."""
    changes = []
    for index, group in enumerate(config.instance_group):
        if group.kind == KIND_GPU or (group.kind != KIND_CPU and group.gpus):
            was = ModelInstanceGroup.Kind.Name(group.kind)
            was += f" gpus {list(group.gpus)}" if group.gpus else ""
            group.kind = KIND_CPU
            group.ClearField("gpus")
            group.ClearField("secondary_devices")
            changes.append(f"instance_group[{index}] {was} -> KIND_CPU (no GPU here)")
    return changes


def _without_accelerators(config: ModelConfig, field: Accelerators, why: str) -> list[str]:
    """Clear the execution accelerators in a field and return a line for each."""
    accelerators = config.optimization.execution_accelerators
    names = [accelerator.name for accelerator in getattr(accelerators, field)]
    if names:  # clearing what is not there would make the empty messages around it appear
        accelerators.ClearField(field)
    return [f"{field} {name} left out ({why})" for name in names]


def _has_own_library(model: Model, backend: str) -> bool:
    """Whether the model brings its C++ backend: a library in its folder or a version folder wins over all others."""
    name = f"libtriton_{backend}.so"
    return any(path in model.files for path in (name, *(f"{version}/{name}" for version in versions_of(model))))


def _missing_python_file(model: Model) -> str:
    """Say which Python file is missing: 2.51 hangs for ever in such a load (server#8766)."""
    name = (model.config.default_model_filename if model.config else "") or BACKENDS["python"].model_file
    wanted = (f"{version}/{name}" for version in versions_of(model))
    missing = [path for path in wanted if path not in model.files]
    return f"{missing[0]} is not there (tritonserver would wait for it without end)" if missing else ""


def _clear(message: Message, path: list[str]) -> None:
    """Clear the field at a dotted path, in every element where a part of the path is a list."""
    if len(path) == 1:
        message.ClearField(path[0])
        return
    child = getattr(message, path[0])
    for part in [child] if isinstance(child, Message) else child:
        _clear(part, path[1:])
