"""How LLMs are started: releases that have the backend, processes, GPUs, queues, NVIDIA's Python model."""

from __future__ import annotations

from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup

from tritonsmith.generator.catalog.releases import NEWEST_WITH_TENSORRT_LLM
from tritonsmith.generator.checks.case import Case
from tritonsmith.generator.checks.registry import check_case
from tritonsmith.generator.checks.rules.llm.llmapi import documents_of
from tritonsmith.generator.checks.rules.llm.llms import BACKEND, Llm, callers_of, llms_of
from tritonsmith.generator.checks.rules.llm.registry import ASSERTED, THROWN, llm_check
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.findings import Finding, Phase, error

# Read by C++ alone.
_IGNORED_BY_PYTHON = (
    "gpu_weights_percent",
    "iter_stats_max_iterations",
    "request_stats_max_iterations",
    "kv_cache_onboard_blocks",
    "speculative_decoding_fast_logits",
    "num_nodes",
    "participant_ids",
)
# Parameters of NVIDIA's Python models that went with the backend.
_OF_REMOVED_MODELS = {
    "context_model_name": "disaggregated serving",
    "multimodal_model_path": "multimodal models",
    "visual_model_path": "multimodal models",
    "n_mels": "whisper",
}


@check_case("TS705", "one start serves all LLMs")
def one_start_serves_all(case: Case) -> Iterator[Finding]:
    """Ranks, orchestrators and the LLM API's workers are processes of one mpirun.

    Source: tensorrtllm, Lint rules 36 to 39; TensorRT-LLM: triton_backend/scripts/launch_triton_server.py.
    """
    if not case.once(llms_of) and not case.once(documents_of):
        return
    if _lacks_participants(case):
        return  # TS774
    from tritonsmith.generator.manifests.launch import plan_launch

    try:
        plan_launch(case.repository)
    except RepositoryError as problem:
        first = next(iter(case.once(llms_of)), None)
        if first is not None:
            yield first.model.error("parameters", problem.message, remedy=problem.hint)
        else:
            yield error(problem.message, key=case.repository.name, remedy=problem.hint)


def _lacks_participants(case: Case) -> bool:
    server = case.target.server
    return server is not None and server.orchestrator == "participants" and any(map(_has_none, case.once(llms_of)))


def _has_none(llm: Llm) -> bool:
    return not llm.is_python and not llm.text("participant_ids")


@llm_check(
    "TS774",
    "an orchestrator that does not spawn is told who takes part",
    triton=f"{THROWN}Spawning of processes was disabled in orchestrator mode, but participant IDs is missing....",
)
def participants_are_told(llm: Llm) -> Iterator[Finding]:
    """Rank 0 is the orchestrator, and mpirun starts the others: each LLM must know which are its own.

    Source: tensorrtllm, Lint rule 38; TensorRT-LLM: model_instance_state.cc (getParallelConfigFromParams).
    """
    server = llm.model.target.server
    if server is not None and server.orchestrator == "participants" and _has_none(llm):
        message = "the server's orchestrator is participants, and participant_ids is not set"
        yield llm.model.error("parameters", message, remedy="participant_ids: MPI ranks from 1, a group per instance")


@llm_check("TS708", "TensorRT-LLM's backend owns the GPUs itself", phase=Phase.REQUEST)
def groups_are_on_the_cpu(llm: Llm) -> Iterator[Finding]:
    """Instances are KIND_CPU; with KIND_GPU Triton makes one for each GPU, and each loads the whole engine.

    Source: tensorrtllm, Lint rule 40.
    """
    for index, group in enumerate(llm.model.config.instance_group):
        if group.kind == ModelInstanceGroup.KIND_GPU:
            message = "the instance group is KIND_GPU; the backend takes its GPUs from gpu_device_ids"
            yield llm.model.error(f"instance_group[{index}].kind", message, remedy="kind: KIND_CPU, count: 1")


@llm_check("TS771", "each instance has GPUs of its own", phase=Phase.REQUEST)
def instances_have_gpus(llm: Llm) -> Iterator[Finding]:
    """Instances take the groups of gpu_device_ids and participant_ids in turn; a group too few is taken twice.

    In leader mode, without groups, all instances are on the same GPUs.

    Source: tensorrtllm, Lint rules 38 and 40; TensorRT-LLM: model_instance_state.cc (mInstanceIndex).
    """
    count = sum(group.count or 1 for group in llm.model.config.instance_group) or 1
    for name in ("gpu_device_ids", "participant_ids"):
        groups = len(llm.groups(name))
        if groups and groups != count and not llm.is_python:
            plural = "s"[: groups != 1]
            message = f"{count} instance{'s'[: count != 1]}, but {name} has {groups} group{plural}"
            yield llm.model.error("instance_group", message, remedy="a group for each instance, e.g. 0,1;2,3")
    if count > 1 and not llm.text("gpu_device_ids"):
        message = f"{count} instances without gpu_device_ids: each loads the engine on the same GPU"
        yield llm.model.error("instance_group", message, remedy="count: 1, or a group of GPUs for each: 0;1")


@llm_check("TS772", "each instance has as many GPUs as its engine has ranks")
def gpus_are_as_many_as_ranks(llm: Llm) -> Iterator[Finding]:
    """An instance is the whole engine, whose ranks each take a GPU.

    Source: tensorrtllm, Lint rule 36; TensorRT-LLM: executorImpl.cpp (device ids against tp x pp x cp).
    """
    ranks = llm.engine.spread.world_size if llm.engine else 0
    for group in llm.groups("gpu_device_ids") if ranks else ():
        if len(group) != ranks:
            says = llm.says("pretrained_config.mapping.world_size")
            message = f"gpu_device_ids {_joined(group)} are {len(group)}, the engine has {ranks} ranks ({says})"
            yield llm.error("gpu_device_ids", message, f"{ranks} for each instance")
        elif len(set(group)) < len(group):
            message = f"gpu_device_ids {_joined(group)} names a GPU twice in one instance"
            yield llm.error("gpu_device_ids", message, "one GPU for each rank")


@llm_check(
    "TS773",
    "each instance has as many MPI ranks as its engine",
    triton=f"{ASSERTED}When specifying participantIds, participantIds size must be equal to tp*pp*cp...",
)
def participants_are_as_many_as_ranks(llm: Llm) -> Iterator[Finding]:
    """An instance is the whole engine, whose ranks each are a process.

    Source: tensorrtllm, Lint rule 38; TensorRT-LLM: executorImpl.cpp (setOrchLeaderComm).
    """
    ranks = llm.engine.spread.world_size if llm.engine else 0
    for group in llm.groups("participant_ids") if ranks and not llm.is_python else ():
        if len(group) != ranks:
            says = llm.says("pretrained_config.mapping.world_size")
            message = f"participant_ids {_joined(group)} are {len(group)}, the engine has {ranks} ranks ({says})"
            yield llm.error("participant_ids", message, f"{ranks} for each instance")


def _joined(group: list[int]) -> str:
    return ",".join(map(str, group))


@llm_check("TS775", "MPI rank 0 is the orchestrator's")
def rank_0_is_the_orchestrator(llm: Llm) -> Iterator[Finding]:
    """The orchestrator serves requests on rank 0 and cannot run a rank of an engine there.

    Source: tensorrtllm, Lint rule 38; TensorRT-LLM: executorImpl.cpp (setOrchLeaderComm).
    """
    if not llm.is_python and any(0 in group for group in llm.groups("participant_ids")):
        yield llm.error("participant_ids", "participant_ids names rank 0, which is the orchestrator", "count from 1")


@llm_check("TS776", "the queue has an end")
def queues_have_an_end(llm: Llm) -> Iterator[Finding]:
    """max_queue_size 0 takes every request, however long it will wait: clients time out before anything refuses.

    Source: tensorrtllm, Lint rule 42; tensorrtllm_backend #412.
    """
    config = llm.model.config
    is_ours = bool(llm.model.case.repository.settings)  # the spec has `max_queue_size`, and its README says what 0 is
    is_endless = not config.dynamic_batching.default_queue_policy.max_queue_size
    if is_endless and not is_ours and config.HasField("dynamic_batching"):
        message = "max_queue_size is 0: requests beyond what the engine can take wait without limit"
        yield llm.model.note("dynamic_batching.default_queue_policy", message, remedy="max_queue_size: 1000")


@llm_check("TS777", "requests do not wait to be batched", spec="TL005")
def delay_gains_nothing(llm: Llm) -> Iterator[Finding]:
    """In-flight batching takes a request into the next step; waiting for others only adds to its latency.

    Source: tensorrtllm, Lint rule 42.
    """
    delay = llm.model.config.dynamic_batching.max_queue_delay_microseconds
    if delay and llm.text("gpt_model_type").lower() != "v1":
        message = f"max_queue_delay_microseconds is {delay}, which only adds latency with in-flight batching"
        path = "dynamic_batching.max_queue_delay_microseconds"
        yield llm.model.warning(path, message, remedy="leave it out")


@llm_check("TS778", "NVIDIA's Python model reads what is set")
def python_reads_what_is_set(llm: Llm) -> Iterator[Finding]:
    """`triton_backend: python` runs the same engine with fewer settings; the others are ignored without a word.

    Source: tensorrtllm, Lint rule 43; TensorRT-LLM: tensorrt_llm/1/model.py (get_executor_config).
    """
    for name in _IGNORED_BY_PYTHON if llm.is_python else ():
        row = llm.known.get(name)
        if llm.text(name) and (row is None or llm.text(name) != row.default):
            yield llm.warning(name, f"{name} is set, and the Python model does not read it", "backend: tensorrtllm")


@llm_check(
    "TS779",
    "NVIDIA's Python model has one group of GPUs",
    triton="ValueError: invalid literal for int() with base 10: {text}",
)
def python_has_one_group(llm: Llm) -> Iterator[Finding]:
    """It splits gpu_device_ids at commas alone.

    Source: tensorrtllm, Lint rule 43; TensorRT-LLM: tensorrt_llm/1/model.py (get_parallel_config).
    """
    if llm.is_python and ";" in llm.text("gpu_device_ids"):
        message = f"gpu_device_ids '{llm.text('gpu_device_ids')}' has groups, which the Python model cannot read"
        yield llm.error("gpu_device_ids", message, "one group, or backend: tensorrtllm")


@llm_check("TS780", "NVIDIA's Python model runs decoders", phase=Phase.REQUEST)
def python_runs_decoders(llm: Llm) -> Iterator[Finding]:
    """It loads gpt_model_path alone, and has no encoder's answer to read.

    Source: tensorrtllm, Lint rule 43 and part 1.1.
    """
    if llm.is_python and llm.text("encoder_model_path"):
        message = "encoder_model_path is set, and the Python model runs decoders alone"
        yield llm.error("encoder_model_path", message, "backend: tensorrtllm")


@llm_check(
    "TS783",
    "NVIDIA's Python model spawns its processes",
    triton="TritonModelException: Orchestrator mode with --disable-spawn-processes is not supported in the Python "
    "backend....",
)
def python_spawns(llm: Llm) -> Iterator[Finding]:
    """The Python model has no way to join processes that somebody else started.

    Source: tensorrtllm, Lint rule 43; TensorRT-LLM: tensorrt_llm/1/model.py (get_parallel_config).
    """
    server = llm.model.target.server
    if llm.is_python and server is not None and server.orchestrator == "participants":
        message = "the server's orchestrator does not spawn, which the Python model cannot do"
        yield llm.model.error("backend", message, remedy="backend: tensorrtllm, or server: {orchestrator: spawn}")


@llm_check("TS781", "a draft's logits are moved fast only between processes", phase=Phase.REQUEST)
def fast_logits_have_processes(llm: Llm) -> Iterator[Finding]:
    """They go by MPI from process to process, in an orchestrator that does not spawn; else the backend turns it off.

    Source: tensorrtllm, Lint rule 44; TensorRT-LLM: model_instance_state.cc (getSpeculativeDecodingConfigFromParams).
    """
    name, server = "speculative_decoding_fast_logits", llm.model.target.server
    if not llm.is_true(name) or llm.is_python:
        return
    if not llm.text("participant_ids") or (server is not None and server.orchestrator != "participants"):
        message = f"{name} is true without an orchestrator that does not spawn: it is turned off"
        yield llm.error(name, message, "participant_ids, and --multi-model --disable-spawn-processes")


@llm_check("TS784", "logits that are moved are gathered", phase=Phase.REQUEST)
def moved_logits_are_gathered(llm: Llm) -> Iterator[Finding]:
    """A draft that does not gather generation logits has none to give.

    Source: tensorrtllm, Lint rule 24.
    """
    name = "speculative_decoding_fast_logits"
    drafts = {caller.draft for caller in llm.model.case.once(callers_of)}
    if llm.name not in drafts or llm.engine is None or llm.engine.options.gathers_generation_logits:
        return
    if any(other.is_true(name) for other in llm.model.case.once(llms_of)):
        says = llm.says("build_config.gather_generation_logits")
        message = f"{name} is true, the draft was built with gather_generation_logits off ({says})"
        yield llm.error("gpt_model_path", message, "build the draft with --gather_generation_logits")


@llm_check("TS796", "logits that may be asked for are gathered", phase=Phase.REQUEST)
def asked_logits_are_gathered(llm: Llm) -> Iterator[Finding]:
    """A request that asks for logits fails where the engine was built without them.

    NVIDIA's templates have the inputs for all engines, and whether a client sets them no file tells: a note.

    Source: tensorrtllm, Lint rule 24.
    """
    if llm.engine is None:
        return
    options = llm.engine.options
    built = {"context": options.gathers_context_logits, "generation": options.gathers_generation_logits}
    for index, tensor in enumerate(llm.model.config.input):
        for kind, is_gathered in built.items():
            if tensor.name == f"return_{kind}_logits" and not is_gathered:
                says = llm.says(f"build_config.gather_{kind}_logits")
                message = f"requests with {tensor.name} fail: the engine was built without ({says})"
                remedy = f"build it with --gather_{kind}_logits, or let no client ask"
                yield llm.model.note(f"input[{index}]", message, remedy=remedy)


@check_case("TS782", "the release has TensorRT-LLM's backend")
def backend_is_in_the_release(case: Case) -> Iterator[Finding]:
    """The engine path, its backend and NVIDIA's templates around it were removed from TensorRT-LLM in July 2026.

    inflight_batcher_llm, whisper, multimodal and disaggregated_serving need a container up to 26.07; llmapi goes on.

    Source: tensorrtllm, Lint rule 45 and part 8; TensorRT-LLM #15907.
    """
    if case.target.release.name <= NEWEST_WITH_TENSORRT_LLM:
        return
    llms = [llm.model for llm in case.once(llms_of) if not llm.is_python]
    remedy = f"Triton {NEWEST_WITH_TENSORRT_LLM} or older, or the model llmapi"
    for model in llms:
        message = f"Triton {case.target.release.name} has no backend '{BACKEND}'"
        yield model.error("backend", message, remedy=remedy)
    for model in case.models() if llms else ():
        for name, words in _OF_REMOVED_MODELS.items():
            if model.config.backend == "python" and name in model.config.parameters:
                message = f"{words} went from NVIDIA's models with the backend of Triton {NEWEST_WITH_TENSORRT_LLM}"
                yield model.warning(f"parameters.{name}", message, remedy=remedy)
                break
