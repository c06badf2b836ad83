"""A plan's pick as a spec that `build` accepts, with the sweep that confirms it in its head."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tritonsmith.generator.catalog.gpus import GPUS
from tritonsmith.generator.catalog.releases import NEWEST_WITH_TENSORRT_LLM, RELEASES
from tritonsmith.generator.errors import AnswerIsNo, UsageError
from tritonsmith.generator.manifests.workload import MIB
from tritonsmith.generator.manifests.yaml_text import to_yaml
from tritonsmith.generator.spec.deploy import Deploy
from tritonsmith.perf.files import write_by_rename, writing
from tritonsmith.perf.plan.confirm import NAME, sweep_command
from tritonsmith.perf.plan.core import Candidate, Serving
from tritonsmith.perf.plan.document import Plan
from tritonsmith.perf.plan.memory.weights import weight_bytes
from tritonsmith.perf.plan.plan import name_of
from tritonsmith.perf.plan.shares import setting_of, whole_of
from tritonsmith.perf.plan.show.words import gpus_text

ENGINES = "/engines"  # where a server finds what is not on this machine
NODE_GPUS, TRAY_GPUS = 8, 4  # of an HGX board or a PCIe server; of a tray of GB200 and GB300


def write_spec(plan: Plan, path: Path) -> Path:
    """Write the pick as a spec and return its path.

    Raises: AnswerIsNo where there is no pick; UsageError where something lies there already.
    """
    if plan.pick is None:
        raise AnswerIsNo("no spec is written: nothing meets what is asked")
    require_free(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    return write_by_rename(path, spec_text(plan, plan.pick, path.parent).encode())


def require_free(path: Path) -> None:
    """Refuse a path where something lies already: specs are edited by hand.

    Raises: UsageError.
    """
    if path.exists():
        raise UsageError(f"{path} exists already", hint="write to another path, and compare: --write planned.yaml")


def spec_text(plan: Plan, pick: Candidate, folder: Path) -> str:
    """Return the spec that lies in a folder: comments that say what was planned, then the settings."""
    head = "".join(f"# {line}\n" for line in _head(plan, pick, folder))
    return head + to_yaml([spec_data(plan, pick, folder)]).removeprefix("---\n")


def spec_data(plan: Plan, pick: Candidate, folder: Path) -> dict[str, Any]:
    """Return the spec as data; paths count from its folder."""
    spread = pick.serving.spread
    per_node = TRAY_GPUS if pick.gpu.startswith("GB") else NODE_GPUS
    nodes = -(-spread.gpus // per_node)
    data: dict[str, Any] = {
        "repository": slug(plan.model.name),
        "triton": release_of(plan),
        "hardware": {"gpu": whole_of(pick.gpu), "count": min(spread.gpus, per_node)},
        "sharing": setting_of(pick.gpu),
        "pipelines": {
            NAME: {
                "use": "text_generation",
                "engine": _engine(plan, pick.serving, folder),
                **({"nodes": nodes} if nodes > 1 else {}),
                "with": _settings(plan, pick, folder),
            }
        },
    }
    if deploy := _deploy(plan, pick, folder):
        data["deploy"] = deploy
    return data


def _deploy(plan: Plan, pick: Candidate, folder: Path) -> dict[str, Any]:
    """Return how many replicas there are, and how long they may start where they read weights from elsewhere."""
    counts = {"replicas": pick.fleet, **_regions(plan)} if pick.replicas is not None else {}
    is_mounted = "from" not in _engine(plan, pick.serving, folder)
    return counts | ({"start_margin_s": start_margin_s(plan, pick.serving)} if is_mounted else {})


def start_margin_s(plan: Plan, serving: Serving) -> int:
    """Return how long a pod may start whose weights are not in the repository, by which `deploy` would count.

    Each node reads all files once, whatever part of them its ranks keep. Source: TensorRT-LLM:
    _torch/models/checkpoints/hf/weight_loader.py (prefetch_files).
    """
    defaults = Deploy()
    return math.ceil(_weights_mib(plan, serving) / defaults.load_mib_per_s) + defaults.start_margin_s


def _weights_mib(plan: Plan, serving: Serving) -> float:
    return weight_bytes(plan.model, serving.weight_type).high / MIB


def _regions(plan: Plan) -> dict[str, Any]:
    """Return each region with its replicas, and the region that takes what waits too long there."""
    if plan.regions is None:
        return {}
    nearest = {name: {"spill_to": others[0]} if others else {} for name, others in plan.regions.spill_over.items()}
    return {"regions": {name: {"replicas": count, **nearest[name]} for name, count in plan.regions.replicas.items()}}


def release_of(plan: Plan) -> str:
    """Return the newest release that carries the TensorRT-LLM of an engine; for anything else the newest with one."""
    version = plan.built.version if plan.built is not None else ""
    fitting = [name for name, release in RELEASES.items() if version and release.tensorrt_llm == version]
    return max(fitting, default=NEWEST_WITH_TENSORRT_LLM)


def slug(name: str) -> str:
    """Return a name that a repository may have: "llama-3.1-70b-instruct" of "meta-llama/Llama-3.1-70B-Instruct"."""
    words = re.sub(r"[^a-z0-9.]+", "-", name.rpartition("/")[2].lower()).strip("-.")
    return words or "model"


def _engine(plan: Plan, serving: Serving, folder: Path) -> dict[str, str]:
    """Return where the engine is: here, where weights of the planned type lie; else where the server has it."""
    source = Path(plan.path)
    if plan.built is not None and source.is_dir():
        return {"from": _relative(source, folder)}
    if source.is_dir() and has_weights(source) and serving.weight_type == plan.model.weight_type:
        return {"from": _relative(source, folder)}
    return {"place": "mounted", "at": engine_path(plan, serving)}


def engine_path(plan: Plan, serving: Serving) -> str:
    """Return where the server is to find the model: a folder of its name, and of its type where it is quantised."""
    suffix = "" if serving.weight_type == plan.model.weight_type else f"-{serving.weight_type}"
    return f"{ENGINES}/{slug(plan.model.name)}{suffix}"


def has_weights(folder: Path) -> bool:
    """Whether weights lie in a folder."""
    return any(folder.glob("*.safetensors"))


def _settings(plan: Plan, pick: Candidate, folder: Path) -> dict[str, Any]:
    source = Path(plan.path)
    target = {"target": "llmapi"} if plan.built is None else {}
    settings: dict[str, Any] = {**target, "max_batch_size": pick.serving.rank_batch_size}
    if "from" not in _engine(plan, pick.serving, folder):
        home = source if source.is_dir() else source.parent
        if (home / "tokenizer.json").is_file():
            settings["tokenizer"] = _relative(home, folder)
        else:
            settings["tokenizer_dir"] = engine_path(plan, pick.serving)
    elif plan.built is not None and not (source / "tokenizer.json").is_file():
        settings["tokenizer_dir"] = engine_path(plan, pick.serving)
    if plan.built is not None:
        return {**settings, "parameters": {"kv_cache_free_gpu_mem_fraction": pick.serving.kv_fraction}}
    return {**settings, "llm": llm_arguments(pick.serving)}


def llm_arguments(serving: Serving) -> dict[str, Any]:
    """Return the arguments of TensorRT-LLM's LLM for a way of serving.

    Source: TensorRT-LLM: llmapi/llm_args.py. Attention's data parallelism goes over the tensor-parallel ranks.
    """
    spread = serving.spread
    arguments: dict[str, Any] = {"tensor_parallel_size": spread.tensor * spread.data}
    if spread.pipeline > 1:
        arguments["pipeline_parallel_size"] = spread.pipeline
    if spread.expert > 1:
        arguments["moe_expert_parallel_size"] = spread.expert
    if spread.data > 1:
        arguments["enable_attention_dp"] = True
    cache: dict[str, Any] = {"free_gpu_memory_fraction": serving.kv_fraction}
    if serving.cache_type == "fp8":
        cache["dtype"] = "fp8"
    return {
        **arguments,
        "max_num_tokens": serving.max_num_tokens,
        "enable_chunked_prefill": True,
        "kv_cache_config": cache,
    }


def _head(plan: Plan, pick: Candidate, folder: Path) -> Iterator[str]:
    gpus = gpus_text(pick.gpus or pick.serving.spread.gpus, pick.gpu)
    yield f"Planned by tritonsmith {plan.tritonsmith}: {gpus}; {name_of(pick)}"
    yield f"Why: {plan.reason}"
    if pick.serving.weight_type != plan.model.weight_type:
        yield (
            f"The model's files are in {plan.model.weight_type}: {engine_path(plan, pick.serving)} has to hold it "
            f"quantised to {pick.serving.weight_type}"
        )
    elif plan.built is None and not has_weights(Path(plan.path)):
        yield f"The weights were not here: the server has to find them in {engine_path(plan, pick.serving)}"
    if "from" not in _engine(plan, pick.serving, folder):
        yield from _weights_elsewhere(plan, pick.serving)
    if products := GPUS[whole_of(pick.gpu)].products:
        yield f"Nodes have the label nvidia.com/gpu.product: {' or '.join(products)}"
    if plan.traffic is not None and pick.replicas is not None:
        yield "What confirms it, once a replica runs:"
        yield f"  {sweep_command(plan, pick.replicas)}"


def _weights_elsewhere(plan: Plan, serving: Serving) -> Iterator[str]:
    """Yield how weights get into pods, and the arithmetic of `start_margin_s`."""
    defaults = Deploy()
    yield "On Kubernetes either deploy: {image: ...} of one that has them there; or engine: {from: FOLDER} of weights"
    yield "  and tokenizer, without tokenizer_dir and start_margin_s, and deploy: {repository: {claim: ...}}"
    yield (
        f"start_margin_s: {_weights_mib(plan, serving):,.0f} MiB of weights / {defaults.load_mib_per_s:g} MiB/s + "
        f"{defaults.start_margin_s} s; less, where the weights' disk is measured to be faster"
    )


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path.resolve(), folder.resolve())
