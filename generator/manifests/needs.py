"""What a repository's models ask of a pod: bytes, processes, shared memory, GPUs, nodes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tritonsmith.generator.catalog.backends import standard_backends
from tritonsmith.generator.catalog.python_packages import BACKEND_MODULES, BACKEND_OF_IMAGE
from tritonsmith.generator.catalog.releases import EMBEDDED
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.manifests.kv_cache import KvCache, kv_caches
from tritonsmith.generator.manifests.launch import Launch, is_engine_model, llm_document, outside_paths
from tritonsmith.generator.manifests.openai import tokenizers
from tritonsmith.generator.manifests.server import MODELS
from tritonsmith.generator.repository.complete import backend_of
from tritonsmith.generator.repository.core import Content, File, Model, Repository
from tritonsmith.generator.spec.settings import Hardware

ENGINE = "rank0.engine"
_GPU, _CPU, _AUTO = ModelInstanceGroup.KIND_GPU, ModelInstanceGroup.KIND_CPU, ModelInstanceGroup.KIND_AUTO
# Source: core: model_config_utils.cc (SetDefaultInstanceCount): of a group on the CPU that says no count.
_TWO_BY_DEFAULT = frozenset({"onnxruntime", "tensorflow"})
_IN_PYTHON = frozenset({"python", "vllm"})  # backends whose instances are Python processes, in every image


@dataclass(frozen=True)
class Needs:
    """What the models of a repository ask of a pod.

    `python_instances` are the processes of Python-based models, each with shared memory of its own, `cpu_instances`
    the other backends' on the CPU; `gpus` are a pod's.
    """

    repository_bytes: int
    python_instances: int
    gpus: int
    nodes: int  # pods that one replica spans: 1, or a LeaderWorkerSet's size
    is_llm: bool
    ensembles: tuple[str, ...] = ()  # their counters restate their steps': sums over models leave them out
    callers: tuple[str, ...] = ()  # models that call others (BLS): their compute time contains what they wait for
    engines: tuple[str, ...] = ()  # models of TensorRT-LLM's backend, which alone says what waits in it
    kv_caches: tuple[KvCache, ...] = ()  # of the LLMs
    cpu_instances: int = 0
    has_engine: bool = False  # bound to the GPU that it was built for
    engine_gpus_per_node: int = 0  # for which an engine of several nodes was built; 0: not known
    stand_ins: tuple[str, ...] = ()  # backends that NVIDIA's image lacks and tritonsmith has, based on Python
    outside: tuple[str, ...] = ()  # paths that the LLMs name outside the repository
    tokenizers: tuple[str, ...] = ()  # of the text pipelines, as a pod sees them
    models: tuple[str, ...] = ()  # all of them, by name


def needs_of(repository: Repository, hardware: Hardware, launch: Launch | None) -> Needs:
    """Return what a repository's models ask of a pod; `launch` is how TensorRT-LLM is started, None where it is not.

    Raises: UsageError where a file cannot be looked at.
    """
    models = repository.models
    gpus = pod_gpus(repository, hardware, launch)
    release = str(repository.settings.get("triton", EMBEDDED))
    counts = {name: instances_of(model, gpus) for name, model in models.items()}
    lacking = BACKEND_MODULES.keys() - {BACKEND_OF_IMAGE[launch is not None]}
    in_python = {
        name for name, model in models.items() if backend_of(model) in lacking or is_python_based(model, release)
    }
    return Needs(
        repository_bytes=sum(_size(file) for model in models.values() for file in model.files.values()),
        python_instances=sum(sum(counts[name]) for name in in_python),
        gpus=gpus,
        nodes=launch.nodes if launch else 1,
        is_llm=launch is not None or any(map(is_llm, models.values())),
        ensembles=tuple(sorted(name for name, model in models.items() if _is_ensemble(model))),
        callers=tuple(sorted(repository.settings.get("calls", {}))),
        engines=tuple(sorted(name for name, model in models.items() if is_engine_model(model))),
        kv_caches=kv_caches(repository),
        cpu_instances=sum(counts[name][0] for name in models.keys() - in_python),
        has_engine=any(
            (launch is not None and is_engine_model(model)) or backend_of(model) == "tensorrt"
            for model in models.values()
        ),
        engine_gpus_per_node=_gpus_per_node(repository) if launch is not None and launch.nodes > 1 else 0,
        stand_ins=tuple(sorted({backend_of(model) for model in models.values()} & lacking)),
        outside=tuple(map(str, outside_paths(repository, MODELS))),
        tokenizers=tokenizers({name: model.config for name, model in models.items()}, MODELS),
        models=tuple(sorted(models)),
    )


def is_llm(model: Model) -> bool:
    """Whether a model is TensorRT-LLM's: of its backend, or of its LLM API."""
    return is_engine_model(model) or bool(llm_document(model))


def runs_tensorrt_llm(repository: Repository, hardware: Hardware) -> bool:
    """Whether the LLMs are TensorRT-LLM's to run: with a GPU, or where they are engines, which nothing else loads.

    Without, our Python-based backend serves them in one process on the CPU.
    """
    inside = (path for model in repository.models.values() for path in model.files)
    outside = outside_paths(repository, MODELS)
    has_engine = any(path.endswith(ENGINE) for path in inside) or any((path / ENGINE).exists() for path in outside)
    return hardware.gpus > 0 or has_engine


def pod_gpus(repository: Repository, hardware: Hardware, launch: Launch | None) -> int:
    """Return a pod's GPUs: all of a node where ranks span several; else up to the last that is named, at least one.

    None where no group can be on a GPU, or the spec's hardware has none and no LLM needs one.
    """
    if launch is not None and launch.nodes > 1:
        return math.ceil(launch.world_size / launch.nodes)
    named = [*(launch.gpus if launch else ())]
    can_use = launch is not None
    for model in repository.models.values():
        for group in _groups(model) if hardware.gpus and not is_engine_model(model) else ():
            if _is_on_gpu(group, hardware.gpus):
                can_use = True
                named += group.gpus
    return max(named, default=0) + 1 if can_use else 0


def instances_of(model: Model, gpus: int) -> tuple[int, int]:
    """Return a model's instances on the CPU and on a pod's GPUs; none of an ensemble.

    A group on GPUs has its count on each of them.
    Source: core: model_config_utils.cc (NormalizeInstanceGroup, SetDefaultInstanceCount).
    """
    on_cpu = on_gpu = 0
    for group in _groups(model):
        if group.kind != _CPU and _is_on_gpu(group, gpus):
            on_gpu += max(1, group.count) * (len(group.gpus) or gpus)
        else:
            is_two = group.count < 1 and group.kind in (_CPU, _AUTO) and backend_of(model) in _TWO_BY_DEFAULT
            on_cpu += 2 if is_two else max(1, group.count)
    return on_cpu, on_gpu


def is_python_based(model: Model, release: str) -> bool:
    """Whether a model's instances are Python processes; a backend that no image of the release has may well be one."""
    backend = backend_of(model)
    if _is_ensemble(model) or not backend:
        return False
    if backend == "pytorch":  # in Python where a model.py says what is run
        return any(path.endswith("/model.py") for path in model.files)
    return backend in _IN_PYTHON or backend not in standard_backends(release)


def _gpus_per_node(repository: Repository) -> int:
    """Return the GPUs of a node by which an engine's ranks are numbered anew, as it was built."""
    from tritonsmith.generator.checks.case import Case, Target
    from tritonsmith.generator.checks.rules.llm.llms import llms_of

    engines = [llm.engine for llm in llms_of(Case(repository, Target.of(repository)))]
    return max((engine.spread.gpus_per_node for engine in engines if engine), default=0)


def _groups(model: Model) -> Iterator[ModelInstanceGroup]:
    if not _is_ensemble(model):
        config = model.config if model.config is not None else ModelConfig()
        yield from config.instance_group or [ModelInstanceGroup(kind=_AUTO)]


def _is_on_gpu(group: ModelInstanceGroup, gpus: int) -> bool:
    if group.kind == _AUTO:
        return gpus > 0 and all(0 <= number < gpus for number in group.gpus)
    return group.kind == _GPU and gpus > 0


def _is_ensemble(model: Model) -> bool:
    return model.config is not None and model.config.HasField("ensemble_scheduling")


def _size(file: File) -> int:
    try:
        return len(file.data) if isinstance(file, Content) else file.path.stat().st_size
    except OSError as problem:
        raise UsageError(f"cannot look at {problem.filename}: {problem.strerror}") from None
