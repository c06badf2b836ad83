"""Models around TensorRT-LLM: what its backend reads, what the models between them say alike, how they are started."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tritonsmith.generator.catalog.tensorrtllm.parameters import TENSORRT_LLM, parameters_of
from tritonsmith.generator.catalog.tensorrtllm.versions import OLDEST, parse_version
from tritonsmith.generator.checks.case import Case, ModelCase
from tritonsmith.generator.checks.registry import check, check_case
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.findings import Finding, Phase, error
from tritonsmith.generator.manifests.launch import is_engine_model, llm_document, plan_launch
from tritonsmith.generator.suggest import did_you_mean

# Parameters of Python models that name other models.
_NAMING = (
    "tensorrt_llm_model_name",
    "tensorrt_llm_draft_model_name",
    "preprocessing_model_name",
    "context_model_name",
    "generation_model_name",
    "multimodal_encoders_name",
)
# Of the memory that is free when a model loads, the backend takes so much where nothing is said.
_FRACTION = 0.9


@check("TS701", "no placeholder of a template is left", phase=Phase.REQUEST, on=("parameters",))
def placeholders_are_filled(model: ModelCase) -> Iterator[Finding]:
    """A `${...}` that is left in a parameter is text to the backend: a path that does not exist, a default in silence.

    Source: tensorrtllm_backend: tools/fill_template.py (safe_substitute); server #6813, #8592.
    """
    for name, parameter in model.config.parameters.items():
        if "${" in parameter.string_value:
            message = f"parameter {name} is '{parameter.string_value}': a placeholder that was never filled"
            yield model.error(f"parameters.{name}", message, remedy="fill it, or leave the parameter out")


@check("TS702", "TensorRT-LLM's backend can read its parameters", on=("parameters",))
def parameters_are_read(model: ModelCase) -> Iterator[Finding]:
    """What it cannot read it takes for absent, with a line in the log: `yes` is no boolean, `Low` no fraction.

    Source: TensorRT-LLM: triton_backend: model_instance_state.cc (getParameter).
    """
    release, config = model.target.release, model.config
    version = parse_version(release.tensorrt_llm)
    known = parameters_of(TENSORRT_LLM, version) if version >= OLDEST and is_engine_model(model.model) else {}
    for name, parameter in config.parameters.items() if known else ():
        value, path = parameter.string_value, f"parameters.{name}"
        if name not in known:
            message = f"the backend of {release.name} has no parameter '{name}'.{did_you_mean(name, known)}"
            yield model.warning(path, message, remedy="it is ignored: leave it out")
        elif value and "${" not in value and known[name].normalised(value) != value:
            message = f"parameter {name} is '{value}', which the backend does not read"
            yield model.error(path, message, remedy=known[name].form)
    for name in ("gpt_model_type", "gpt_model_path") if known else ():
        if name not in config.parameters and "encoder_model_path" not in config.parameters:
            message = f"parameter {name} is missing, without which the backend does not load"
            yield model.error("parameters", message, remedy=known[name].about or known[name].form)


@check_case("TS703", "LLMs on one GPU leave memory for one another")
def fractions_add_up(case: Case) -> Iterator[Finding]:
    """A fraction is taken of what is free when a model loads; 0.9 and 0.9 leave the second a tenth, and no one a rest.

    Source: tensorrtllm_backend #59, TensorRT-LLM #486, #1188.
    """
    for one, other in combinations(_engines(case), 2):
        first, second = one.config, other.config
        shared = _gpus(first) & _gpus(second)
        if not shared or any("max_tokens_in_paged_kv_cache" in config.parameters for config in (first, second)):
            continue
        total = _fraction(first) + _fraction(second)
        if total > _FRACTION + 1e-9:
            message = (
                f"{one.name} and {other.name} share GPU {min(shared)}, and their kv_cache_free_gpu_mem_fraction add up "
                f"to {total:g} ({_fraction(first):g} + {_fraction(second):g})"
            )
            hint = f"together at most {_FRACTION}, or max_tokens_in_paged_kv_cache for each"
            yield other.warning("parameters", message, remedy=hint)


@check("TS704", "models that call one another agree whether they stream", phase=Phase.REQUEST, on=("parameters",))
def policies_agree(model: ModelCase) -> Iterator[Finding]:
    """A decoupled caller of one that is not gets one answer for a stream; the other way round it gets an error.

    Source: tensorrtllm_backend #70, #89, #268, #626.
    """
    for name in ("tensorrt_llm_model_name", "context_model_name", "generation_model_name"):
        called = model.case.configs.get(_text(model.config, name))
        if called is None or called.HasField("ensemble_scheduling"):
            continue
        mine, theirs = (found.model_transaction_policy.decoupled for found in (model.config, called))
        if mine != theirs:
            message = f"decoupled is {_word(mine)} here and {_word(theirs)} in {called.name}, which it calls"
            yield model.error("model_transaction_policy", message, remedy="write the same in both")


@check_case("TS705", "one start serves all LLMs")
def one_start_serves_all(case: Case) -> Iterator[Finding]:
    """Ranks, orchestrators and the LLM API's workers are processes of one mpirun.

    Source: TensorRT-LLM: triton_backend/scripts/launch_triton_server.py.
    """
    try:
        plan_launch(case.repository)
    except RepositoryError as problem:
        first = next(iter(_engines(case)), None)
        if first is not None:
            yield first.error("parameters", problem.message, remedy=problem.hint)
        else:
            yield error(problem.message, key=case.repository.name, remedy=problem.hint)


@check("TS706", "an llmapi model says the same in config.pbtxt and model.yaml", phase=Phase.REQUEST)
def llmapi_policies_agree(model: ModelCase) -> Iterator[Finding]:
    """NVIDIA's launcher starts with --disable-auto-complete-config, and then model.yaml's policy is never looked at.

    Source: TensorRT-LLM: triton_backend/all_models/llmapi/tensorrt_llm/1/model.py (auto_complete_config).
    """
    document, config = llm_document(model.model), model.config
    said = bool((document.get("triton_config") or {}).get("decoupled", False))
    written = config.model_transaction_policy.decoupled
    if document and said != written:
        message = f"decoupled is {_word(said)} in model.yaml's triton_config and {_word(written)} in config.pbtxt"
        yield model.error("model_transaction_policy", message, remedy="write the same in both")
    if document and config.max_batch_size:
        message = f"max_batch_size is {config.max_batch_size}; a request of an llmapi model is one prompt"
        yield model.error("max_batch_size", message, remedy="leave it out")


@check("TS707", "a parameter that names a model names one of the repository's", phase=Phase.REQUEST, on=("parameters",))
def named_models_are_there(model: ModelCase) -> Iterator[Finding]:
    """Otherwise each request fails, long after the model has loaded."""
    known = model.case.repository.models
    for name in _NAMING:
        called = _text(model.config, name)
        if called and "${" not in called and called not in known:
            message = f"parameter {name} names '{called}', which is not in the repository.{did_you_mean(called, known)}"
            hint = f"the repository holds {', '.join(list(known)[:8])}"
            yield model.error(f"parameters.{name}", message, remedy=hint)


@check("TS708", "TensorRT-LLM's backend owns the GPUs itself")
def groups_are_on_the_cpu(model: ModelCase) -> Iterator[Finding]:
    """Instances are KIND_CPU, one for each group of gpu_device_ids; with KIND_GPU each GPU would load the engine."""
    if not is_engine_model(model.model):
        return
    config = model.config
    if any(group.kind == ModelInstanceGroup.KIND_GPU for group in config.instance_group):
        message = "the instance group is KIND_GPU; the backend takes its GPUs from gpu_device_ids"
        yield model.error("instance_group", message, remedy="kind: KIND_CPU, count: 1")
    count = sum(group.count or 1 for group in config.instance_group) or 1
    groups = len(_text(config, "gpu_device_ids").split(";"))
    if groups != count and "gpu_device_ids" in config.parameters:
        message = f"{count} instances, but gpu_device_ids has {groups} group{'s'[: groups != 1]}"
        yield model.error("instance_group", message, remedy="a group for each instance")


def _engines(case: Case) -> list[ModelCase]:
    return [model for model in case.models() if is_engine_model(model.model)]


def _text(config: ModelConfig, name: str) -> str:
    return config.parameters[name].string_value if name in config.parameters else ""


def _gpus(config: ModelConfig) -> set[int]:
    words = (_text(config, "gpu_device_ids") or "0").replace(";", ",").split(",")
    return {int(word) for word in words if word.strip().isdecimal()}


def _fraction(config: ModelConfig) -> float:
    try:
        return float(_text(config, "kv_cache_free_gpu_mem_fraction") or _FRACTION)
    except ValueError:
        return _FRACTION


def _word(value: bool) -> str:
    return "true" if value else "false"
