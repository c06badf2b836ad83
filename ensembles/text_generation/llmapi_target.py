"""Target llmapi: one model, text in, text out, around TensorRT-LLM's LLM API; on the laptop around the CPU engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tritonsmith.ensembles.blueprint import FOLDER, Use
from tritonsmith.ensembles.text_generation.backend_parameters import first_release
from tritonsmith.ensembles.text_generation.facts import Facts
from tritonsmith.ensembles.text_generation.places import Placed, place_engine, place_tokenizer, tokenizer_findings
from tritonsmith.ensembles.text_generation.settings import Settings
from tritonsmith.generator.catalog.releases import NEWEST_WITH_TENSORRT_LLM
from tritonsmith.generator.catalog.tensorrtllm.llmapi import (
    ARGUMENTS,
    GONE,
    INPUTS,
    OLDEST,
    OUTPUTS,
    Argument,
    arguments_of,
)
from tritonsmith.generator.catalog.tensorrtllm.tensors import items_of
from tritonsmith.generator.catalog.tensorrtllm.versions import Version, parse_version
from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.inspect.architecture import MOST_RANKS
from tritonsmith.generator.inspect.engine_source import read_engine_source
from tritonsmith.generator.repository.scalars import bool_word
from tritonsmith.generator.spec import tree
from tritonsmith.generator.suggest import did_you_mean

# Engines behind Triton: what the model is served by, laptop and container alike.
ENGINES = FOLDER.parent / "backends" / "python_based" / "tensorrtllm" / "llm"
AT = ("with", "llm")
# Settings of the engine target, and what this target has instead.
_ELSEWHERE = {
    "parameters": "llm: {...}, the arguments of TensorRT-LLM's LLM, in model.yaml",
    "draft": "llm: {speculative_config: {decoding_type: Draft_Target, speculative_model_dir: ...}}",
    "disaggregated": "`trtllm-serve disaggregated`, or Dynamo: no Triton model has it",
    "logits_datatype": "it returns no logits",
    "encoder_input_features_data_type": "it takes no encoder's features",
    "prompt_embedding_table_data_type": "it takes no prompt embedding tables",
    "max_queue_delay_microseconds": "requests are not gathered by Triton, but in flight",
    "build": "nothing is built: it generates from the model itself",
}


def expand_llmapi(settings: Settings, use: Use, version: Version) -> dict[str, Any]:
    """Return the one model of the target; nothing where a finding says why not."""
    count = len(use.findings)
    use.findings.extend(_refusals(settings, use, version))
    facts = _read(use)
    if facts is None or len(use.findings) > count or use.engine is None:
        return {}
    name = _name(use)
    arguments = _arguments(settings, use, version)
    placed, tokenizer = place_engine(use.engine, name), place_tokenizer(settings, use)
    use.findings.extend(tokenizer_findings(settings, use))
    use.findings.extend(_rules(settings, facts, use, arguments, version))
    return {name: _model(settings, use, version, arguments, placed, tokenizer)}


def _name(use: Use) -> str:
    """Return the model's name: the pipeline's, which clients call, unless tensorrt_llm is named in `names:`."""
    given = use.tree.entries.get("names")
    return use.names[
        "tensorrt_llm" if isinstance(given, tree.Mapping) and "tensorrt_llm" in given.entries else "ensemble"
    ]


def _model(
    settings: Settings, use: Use, version: Version, arguments: Mapping[str, Any], placed: Placed, tokenizer: Placed
) -> dict[str, Any]:
    document = {"model": placed.path, **arguments, "triton_config": _triton_config(settings)}
    engines = sorted(path for path in ENGINES.rglob("*.py"))
    files: dict[str, Any] = {f"1/llm/{path.relative_to(ENGINES).as_posix()}": str(path) for path in engines}
    files |= {**placed.files, **tokenizer.files}
    files["1/model.yaml"] = {"text": yaml.safe_dump(document, sort_keys=False)}
    return {
        "python": "blueprint:text_generation/llmapi",
        "files": files,
        "input": items_of(INPUTS, version, {}),
        "output": items_of(OUTPUTS, version, {}),
        # In config.pbtxt too: with NVIDIA's --disable-auto-complete-config, model.yaml's is not looked at.
        "model_transaction_policy": {"decoupled": settings.streaming},
        "instance_group": [{"kind": "KIND_CPU", "count": use.replicas}],
        "parameters": {
            "tokenizer_dir": tokenizer.path,
            "skip_special_tokens": bool_word(settings.skip_special_tokens),
            **({"gpu_device_ids": _groups(arguments, use.replicas)} if use.replicas > 1 else {}),
        },
    }


def _triton_config(settings: Settings) -> dict[str, Any]:
    return {"max_batch_size": 0, "decoupled": settings.streaming, "cancellation_check_period_ms": 100}


def _groups(arguments: Mapping[str, Any], replicas: int) -> str:
    size = world_size(arguments)
    starts = range(0, replicas * size, size)
    return ";".join(",".join(str(start + rank) for rank in range(size)) for start in starts)


def world_size(arguments: Mapping[str, Any]) -> int:
    """Return how many GPUs one instance of a model.yaml spans."""
    sizes = ("tensor_parallel_size", "pipeline_parallel_size", "context_parallel_size")
    tensor, pipeline, context = (int(arguments.get(name, 1)) for name in sizes)
    return tensor * pipeline * context


def _refusals(settings: Settings, use: Use, version: Version) -> Iterator[Finding]:
    if version < OLDEST:
        first = first_release(".".join(map(str, OLDEST)))
        carried = use.release.tensorrt_llm or "none"
        message = f"Triton {use.release.name} (TensorRT-LLM {carried}) has no LLM API behind Triton"
        yield use.error(message, "with", "target", hint=f'target: tensorrtllm, or triton: "{first}" or later')
    for name, instead in _ELSEWHERE.items():
        if getattr(settings, name) != type(settings).model_fields[name].get_default(call_default_factory=True):
            yield use.error(f"'{name}' is for target tensorrtllm", "with", name, hint=instead)
    if use.replicas > MOST_RANKS:
        yield use.error(f"{use.replicas:,} replicas are asked for", "replicas", hint=f"at most {MOST_RANKS}")
    if use.replicas > 1 and version < (1, 2):
        message = f"{use.replicas} replicas: instances on GPUs of their own came with TensorRT-LLM 1.2"
        yield use.error(message, "replicas", hint='triton: "26.03" or later; or several servers')
    if use.engine is None and "engine" not in use.tree.entries:
        yield use.error("the pipeline has no engine", hint="engine: ./folder, of a Hugging Face model")


def _read(use: Use) -> Facts | None:
    try:
        facts = Facts(read_engine_source(use.engine.path) if use.engine and use.engine.path else None)
    except SpecError as problem:
        told = use.error(f"{problem.where}: {problem.message}", "engine", hint=problem.hint)
        use.findings.extend(problem.findings or [told])
        return None
    use.findings.extend(facts.source.findings if facts.source else ())
    return facts


def _arguments(settings: Settings, use: Use, version: Version) -> dict[str, Any]:
    """Return model.yaml's arguments; what is none becomes a finding."""
    known = arguments_of(version)
    blocks = {row.path.partition(".")[0] for row in ARGUMENTS if "." in row.path}
    written: dict[str, Any] = {"max_batch_size": settings.max_batch_size} if settings.max_batch_size else {}
    for name, value in settings.llm.items():
        if name in blocks and isinstance(value, dict):
            below = {key: _argument(f"{name}.{key}", item, known, use, version) for key, item in value.items()}
            written[name] = {key: item for key, item in below.items() if item is not None}
        elif name in blocks and value is None:
            written[name] = None  # switches it off: cuda_graph_config: null
        elif name in blocks:
            use.findings.append(use.error(f"'{value}' is no value of '{name}'", *AT, name, hint="a mapping, or null"))
        elif (found := _argument(name, value, known, use, version)) is not None:
            written[name] = found
    return written


def _argument(path: str, value: Any, known: Mapping[str, Argument], use: Use, version: Version) -> Any:
    at = (*AT, *path.split("."))
    if path not in known:
        use.findings.append(_unknown(path, known, use, version))
        return None
    if path in ("model", "max_batch_size", "skip_tokenizer_init"):
        hint = {"model": "the pipeline's `engine`", "max_batch_size": "with: {max_batch_size: ...}"}.get(
            path, "leave it out"
        )
        use.findings.append(use.error(f"'{path}' is not set here", *at, hint=hint))
        return None
    try:
        return known[path].parse(value)
    except ValueError as problem:
        use.findings.append(use.error(f"'{value}' is no value of '{path}'", *at, hint=str(problem)))
        return None


def _unknown(path: str, known: Mapping[str, Argument], use: Use, version: Version) -> Finding:
    name = path.rpartition(".")[2]
    at = (*AT, *path.split("."))
    if path in GONE:
        return use.error(f"'{path}' is no argument of LLM", *at, hint=GONE[path])
    spans = [row for row in ARGUMENTS if row.path == path]
    if spans:
        later = [row.since for row in spans if parse_version(row.since) > version]
        carried = use.release.tensorrt_llm or "unknown"
        word = f"appeared in {later[0]}" if later else f"is gone since {spans[-1].until}"
        message = f"'{path}' {word}; {use.release.name} has TensorRT-LLM {carried}"
        return use.error(message, *at, hint="leave it out, or choose another release")
    beside = [other.rpartition(".")[2] for other in known if other.count(".") == path.count(".")]
    tops = {other.partition(".")[0] for other in known}
    message = f"LLM has no argument '{path}'.{did_you_mean(name, tops if '.' not in path else beside)}"
    return use.error(message, *at, hint="the keys of TensorRT-LLM's llm_args.py; LLM refuses any other")


def _rules(
    settings: Settings, facts: Facts, use: Use, arguments: Mapping[str, Any], version: Version
) -> Iterator[Finding]:
    """Yield what in model.yaml makes no sense together, or with the model."""
    if facts.kind in ("engine", "checkpoint"):
        message = f"the engine's folder holds {_article(facts.kind)}: LLM generates from the model itself"
        yield use.error(message, "engine", hint="a Hugging Face folder; or target: tensorrtllm")
    if facts.is_exported and use.engine and use.engine.path:
        message = f"{use.engine.path.name} was exported for the CPU engine: no LLM API can generate from it"
        yield use.warning(message, "engine", hint="the Hugging Face folder that it was made of")
    experts = [int(arguments.get(f"moe_{kind}_parallel_size") or 1) for kind in ("tensor", "expert")]
    tensor = int(arguments.get("tensor_parallel_size", 1))
    if experts[0] * experts[1] > 1 and experts[0] * experts[1] != tensor:
        message = (
            f"moe_tensor_parallel_size {experts[0]} x moe_expert_parallel_size {experts[1]} are "
            f"{experts[0] * experts[1]}, but tensor_parallel_size is {tensor}"
        )
        yield use.error(message, *AT, hint="their product is tensor_parallel_size")
    if experts[1] > 1 and facts.architecture and not facts.architecture.experts:
        message = f"moe_expert_parallel_size {experts[1]}, but {facts.architecture.name} has no experts"
        yield use.warning(message, *AT, "moe_expert_parallel_size", hint="leave it out")
    size, count = world_size(arguments), use.hardware.gpus * use.nodes
    if count and size * use.replicas > count:
        message = f"{use.replicas} x {size} GPUs are needed; the hardware has {count}"
        yield use.error(message, *AT, "tensor_parallel_size", hint="hardware: {count: ...}")
    if use.replicas > 1 and size > 1 and use.nodes > 1:
        yield use.error("replicas and nodes exclude one another here", "replicas", hint="a server for each")
    yield from _graphs(arguments, settings, use)
    longest = facts.architecture.max_positions if facts.architecture else 0
    asked = int(arguments.get("max_seq_len", 0))
    if longest and asked > longest:
        message = (
            f"max_seq_len {asked}, but the model has {longest} positions ({facts.says('max_position_embeddings')})"
        )
        yield use.error(message, *AT, "max_seq_len", hint=f"at most {longest}")
    if use.server.orchestrator != "none":
        message = f"server.orchestrator {use.server.orchestrator} is for engines; the LLM API starts its own workers"
        yield use.error(message, "with", "target", hint="leave server.orchestrator out")
    if not use.release.tensorrt_llm_image:
        message = f"NVIDIA has no container of Triton {use.release.name} with TensorRT-LLM"
        hint = f'triton: "{NEWEST_WITH_TENSORRT_LLM}", the newest with one; or an image of your own'
        yield use.warning(message, "with", "target", hint=hint)


def _graphs(arguments: Mapping[str, Any], settings: Settings, use: Use) -> Iterator[Finding]:
    graphs = arguments.get("cuda_graph_config") or {}
    sizes, largest = graphs.get("batch_sizes") or [], graphs.get("max_batch_size")
    if sizes and largest and max(sizes) != largest:
        message = f"cuda_graph_config: max_batch_size {largest}, but the largest of batch_sizes is {max(sizes)}"
        yield use.error(message, *AT, "cuda_graph_config", hint="give one of them")
    limit = settings.max_batch_size
    if limit and sizes and max(sizes) > limit:
        message = f"cuda_graph_config: a graph for {max(sizes)} requests, but max_batch_size is {limit}"
        yield use.warning(message, *AT, "cuda_graph_config", hint=f"at most {limit}")


def _article(kind: str) -> str:
    return "an engine" if kind == "engine" else "a checkpoint"
