"""GPUs, ranks, replicas, nodes, and who starts the processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tritonsmith.ensembles.text_generation.llms import Llm
from tritonsmith.ensembles.text_generation.rules.registry import Case, rule
from tritonsmith.generator.findings import Finding


@rule("TL040", "each instance has as many GPUs as its engine has ranks")
def gpus_are_as_many_as_ranks(case: Case) -> Iterator[Finding]:
    """Source: TensorRT-LLM: executor (ParallelConfig: deviceIds against the engine's world size)."""
    for llm in case.llms:
        is_known = llm.facts.kind != "elsewhere" and not llm.facts.is_exported
        for group in llm.gpus if is_known else ():
            if len(group) != llm.ranks:
                message = f"gpu_device_ids {_text(group)} are {len(group)}, but {_size(case, llm)}"
                yield case.use.error(message, *llm.where("gpu_device_ids"), hint=f"{llm.ranks} for each instance")
            if len(set(group)) < len(group):
                message = f"gpu_device_ids {_text(group)} names a GPU twice in one instance"
                yield case.use.error(message, *llm.where("gpu_device_ids"), hint="one GPU for each rank")


def _size(case: Case, llm: Llm) -> str:
    """Return how many ranks an engine has, in words, and where that stands."""
    if llm.facts.kind == "huggingface":
        build = case.settings.build
        each = f"build.tensor_parallel {build.tensor_parallel} x build.pipeline_parallel {build.pipeline_parallel}"
        return f"the engine is to be built with world_size {llm.ranks} ({each})"
    key = _MAPPING if llm.facts.engine else "mapping.world_size"
    return f"the engine was built with world_size {llm.ranks} ({llm.facts.says(key)})"


_MAPPING = "pretrained_config.mapping.world_size"


@rule("TL041", "the GPUs are there")
def gpus_are_there(case: Case) -> Iterator[Finding]:
    """GPUs are counted from 0 on each machine."""
    count = case.use.hardware.gpus
    for llm in case.llms if count else ():
        beyond = sorted({gpu for group in llm.gpus for gpu in group if gpu >= count * case.use.nodes})
        if beyond:
            where = f"{count} on each of {case.use.nodes} nodes" if case.use.nodes > 1 else str(count)
            message = f"{llm.name} asks for GPU {beyond[0]}; the hardware has {where} (0 to {count - 1})"
            yield case.use.error(message, *llm.where("gpu_device_ids"), hint="hardware: {count: ...}, or fewer GPUs")


@rule("TL042", "each instance has a group of GPUs")
def groups_are_as_many_as_replicas(case: Case) -> Iterator[Finding]:
    """Instances take the groups of gpu_device_ids in turn; the models' ranks are Σ groups."""
    for llm in case.llms:
        count = len(llm.gpus)
        if "gpu_device_ids" in llm.given and count != llm.replicas:
            message = f"gpu_device_ids has {count} group{'s'[: count != 1]}, but replicas is {llm.replicas}"
            yield case.use.error(message, *llm.where("gpu_device_ids"), hint="a group for each replica: 0,1;2,3")


@rule("TL043", "replicas have an orchestrator")
def replicas_have_an_orchestrator(case: Case) -> Iterator[Finding]:
    """In leader mode the server's own process is the engine's first rank, so it can hold one engine's instance.

    Source: TensorRT-LLM: docs of the backend (leader and orchestrator mode).
    """
    for llm in case.llms:
        if llm.replicas > 1 and case.use.server.orchestrator == "none":
            message = f"{llm.replicas} replicas of {llm.name} need an orchestrator; without one a server runs one"
            hint = "server: {orchestrator: spawn}; or several servers behind a load balancer"
            path = ("replicas",) if llm.role == "tensorrt_llm" else (*llm.at, "replicas")
            yield case.use.error(message, *path, hint=hint)


@rule("TL044", "several LLMs have as many ranks each, or an orchestrator")
def leaders_have_one_world(case: Case) -> Iterator[Finding]:
    """In leader mode every rank of mpirun loads every LLM, so all have the same number of ranks."""
    sizes = {llm.facts.spread.world_size: llm for llm in case.llms if llm.facts.kind in ("engine", "checkpoint")}
    if len(sizes) > 1 and case.use.server.orchestrator == "none":
        listed = ", ".join(f"{llm.name} {size} ({llm.facts.says(_MAPPING)})" for size, llm in sizes.items())
        message = f"the engines have different numbers of ranks: {listed}"
        yield case.use.error(message, "engine", hint="server: {orchestrator: spawn}")


@rule("TL045", "MPI ranks are given where an orchestrator expects them, each once")
def participants_are_told(case: Case) -> Iterator[Finding]:
    """Rank 0 is the orchestrator. Source: TensorRT-LLM: model_instance_state.cc (participant_ids is mandatory)."""
    expected = case.use.server.orchestrator == "participants"
    for llm in case.llms:
        if not expected and "participant_ids" in llm.given:
            message = f"participant_ids are for server.orchestrator participants; it is {case.use.server.orchestrator}"
            yield case.use.error(message, *llm.where("participant_ids"), hint="leave it out")
        elif expected and case.version >= (0, 13):
            yield from _participants(case, llm)
    ranks = Counter(rank for llm in case.llms for group in llm.participants for rank in group)
    for rank in sorted(rank for rank, count in ranks.items() if count > 1):
        message = f"participant_ids gives rank {rank} twice: each MPI rank runs one engine's rank"
        yield case.use.error(message, *case.llms[0].where("participant_ids"), hint="leave it out: they are counted")
    if expected and case.version < (0, 13):
        message = f"{case.release} has no participant_ids, so no orchestrator without spawned processes"
        yield case.use.error(message, hint='server: {orchestrator: spawn}, or triton: "24.09" or later')


def _participants(case: Case, llm: Llm) -> Iterator[Finding]:
    if len(llm.participants) != llm.replicas:
        message = f"participant_ids has {len(llm.participants)} groups, but replicas is {llm.replicas}"
        yield case.use.error(message, *llm.where("participant_ids"), hint="a group for each replica: 1,2;3,4")
    for group, gpus in zip(llm.participants, llm.gpus, strict=False):
        if len(group) != len(gpus):
            message = f"participant_ids {_text(group)} are {len(group)}, but the instance has {len(gpus)} GPUs"
            yield case.use.error(message, *llm.where("participant_ids"), hint="an MPI rank for each GPU")
        if 0 in group:
            message = "participant_ids names rank 0, which is the orchestrator"
            yield case.use.error(message, *llm.where("participant_ids"), hint="count from 1")


@rule("TL046", "nodes are many enough for the ranks, and said where they are read")
def nodes_hold_the_ranks(case: Case) -> Iterator[Finding]:
    """One copy of an engine spans `nodes` machines; num_nodes is an orchestrator's alone."""
    nodes = case.use.nodes
    for llm in case.llms:
        size, per_node = llm.facts.spread.world_size, case.use.hardware.gpus
        if nodes > 1 and size % nodes and llm.facts.kind in ("engine", "checkpoint"):
            message = f"{size} ranks ({llm.facts.says(_MAPPING)}) cannot be spread evenly over {nodes} nodes"
            yield case.use.error(message, "nodes", hint="as many ranks on each node")
        if per_node and size > per_node * nodes:
            message = f"{size} ranks ({llm.facts.says(_MAPPING)}) need more than {nodes} node of {per_node} GPUs"
            yield case.use.error(message, "nodes", hint=f"nodes: {-(-size // per_node)}")
        if "num_nodes" in llm.given and case.use.server.orchestrator == "none":
            message = "num_nodes is read by an orchestrator alone"
            yield case.use.error(
                message, *llm.where("num_nodes"), hint="`nodes` of the pipeline; the launcher spreads ranks"
            )


@rule("TL047", "experts are spread over the GPUs only where there are experts")
def experts_are_there(case: Case) -> Iterator[Finding]:
    """moe_tp_size x moe_ep_size GPUs share the experts, and they are those of tensor parallelism."""
    for llm in case.llms:
        spread, shape = llm.facts.spread, llm.facts.architecture
        key = "pretrained_config.mapping" if llm.facts.engine else "mapping"
        if shape and spread.moe_expert > 1 and not shape.experts:
            message = f"moe_ep_size {spread.moe_expert} ({llm.facts.says(key)}), but {shape.name} has no experts"
            yield case.use.warning(message, "engine", hint="build it without expert parallelism")
        product = spread.moe_tensor * spread.moe_expert
        if product > 1 and product != spread.tensor:
            message = (
                f"moe_tp_size {spread.moe_tensor} x moe_ep_size {spread.moe_expert} are {product}, "
                f"but tp_size is {spread.tensor} ({llm.facts.says(key)})"
            )
            yield case.use.error(message, "engine", hint="their product is tp_size")


def _text(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))
