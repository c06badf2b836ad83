"""Models around the LLM API: model.yaml, and what config.pbtxt must say with it."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from itertools import islice
from typing import Any

from tritonsmith.generator.catalog.tensorrtllm.engines import WHOLE_FRACTION
from tritonsmith.generator.catalog.tensorrtllm.versions import Version, parse_version
from tritonsmith.generator.checks.case import Case, ModelCase
from tritonsmith.generator.checks.registry import check_case
from tritonsmith.generator.checks.rules.llm.llms import Texts, read_file
from tritonsmith.generator.findings import Finding, Phase
from tritonsmith.generator.repository.scalars import bool_word
from tritonsmith.generator.suggest import did_you_mean

_MOST_TOLD = 20  # unknown names of one file


@dataclass(frozen=True)
class Document(Texts):
    """A model with a model.yaml, and what that holds."""

    model: ModelCase
    path: str
    values: Mapping[str, Any]

    @property
    def version(self) -> Version:
        """The release's TensorRT-LLM; of one that is not known yet the newest."""
        from tritonsmith.generator.catalog.tensorrtllm.llmapi import MAIN

        return parse_version(self.model.target.release.tensorrt_llm) if self._is_dated else MAIN

    @property
    def _is_dated(self) -> bool:
        return bool(self.model.target.release.tensorrt_llm)

    def below(self, name: str) -> Mapping[str, Any]:
        """Return a mapping at a key; an empty one where there is none."""
        found = self.values.get(name)
        return found if isinstance(found, dict) else {}

    def size(self, name: str) -> int:
        """Return a whole number of parallel parts, 1 where nothing is said."""
        found = self.values.get(name)
        return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else 1

    @property
    def ranks(self) -> int:
        """The GPUs of one instance."""
        return self.size("tensor_parallel_size") * self.size("pipeline_parallel_size")

    @property
    def instances(self) -> int:
        """The number of instances."""
        return sum(group.count or 1 for group in self.model.config.instance_group) or 1

    def says(self, key: str) -> str:
        """Return where something of model.yaml stands."""
        return f"{self.path}: {key}"


def documents_of(case: Case) -> tuple[Document, ...]:
    """Return the models with a model.yaml of the LLM API."""
    found = (document_of(model) for model in case.models() if model.config.backend == "python")
    return tuple(document for document in found if document is not None)


def document_of(model: ModelCase) -> Document | None:
    """Return a model's model.yaml, None where it has none, or it cannot be understood."""
    for path, file in model.model.files.items():
        if not path.endswith("/model.yaml") or not re.fullmatch(r"\d+/model\.yaml", path):
            continue
        import yaml

        from tritonsmith.generator.catalog.tensorrtllm.llmapi import is_readable

        data = read_file(file)
        if data is None or not is_readable(data):
            continue

        try:
            values = yaml.safe_load(data)
        except (yaml.YAMLError, ValueError, RecursionError):  # the model says so when it is loaded
            continue
        if isinstance(values, dict) and isinstance(values.get("triton_config"), dict):
            return Document(model, path, {key: value for key, value in values.items() if isinstance(key, str)})
    return None


DocumentRule = Callable[[Document], Iterator[Finding]]


def yaml_check(code: str, title: str, *, triton: str = "", phase: Phase = Phase.LOAD) -> Callable[[DocumentRule], Any]:
    """Register a rule about each model with a model.yaml."""

    def register(rule: DocumentRule) -> DocumentRule:
        @wraps(rule)
        def over_documents(case: Case) -> Iterator[Finding]:
            for document in case.once(documents_of):
                yield from rule(document)

        check_case(code, title, triton=triton, phase=phase)(over_documents)
        return rule

    return register


def _is_decoupled(document: Document) -> bool:
    return bool(document.below("triton_config").get("decoupled", False))


@yaml_check("TS706", "config.pbtxt and model.yaml say alike whether the model streams", phase=Phase.REQUEST)
def llmapi_policies_agree(document: Document) -> Iterator[Finding]:
    """NVIDIA's launcher starts with --disable-auto-complete-config, and then model.yaml's policy is never looked at.

    Streams end after one response ("Non-decoupled model cannot send more than one response").

    Source: tensorrtllm, Lint rule 46 (D1); TensorRT-LLM: llmapi/tensorrt_llm/1/model.py (auto_complete_config).
    """
    said, written = _is_decoupled(document), document.model.config.model_transaction_policy.decoupled
    if said != written:
        message = (
            f"decoupled is {bool_word(said)} in model.yaml's triton_config and {bool_word(written)} in config.pbtxt"
        )
        yield document.model.error("model_transaction_policy", message, remedy="write the same in both")


@yaml_check("TS785", "a request of an llmapi model is one prompt", phase=Phase.REQUEST)
def llmapi_does_not_batch(document: Document) -> Iterator[Finding]:
    """The LLM API batches by itself; model.py takes the first element of each tensor, which has no batch axis.

    Source: tensorrtllm, Lint rule 47 (D4); TensorRT-LLM: llmapi/tensorrt_llm/config.pbtxt.
    """
    config = document.model.config
    said = document.below("triton_config").get("max_batch_size")
    if config.max_batch_size > 0:
        message = f"max_batch_size is {config.max_batch_size}; a request of an llmapi model is one prompt"
        yield document.model.error("max_batch_size", message, remedy="leave it out")
    elif isinstance(said, int) and said > 0:
        message = f"max_batch_size is {said} in {document.says('triton_config')}; a request is one prompt"
        yield document.model.error("", message, remedy="max_batch_size: 0")
    for index, tensor in enumerate(config.input):
        if tensor.name == "text_input" and len(tensor.dims) != 1:
            message = f"text_input has dims {list(tensor.dims)}; it is one list of texts, without a batch axis"
            yield document.model.error(f"input[{index}].dims", message, remedy="dims: [ -1 ]")


@yaml_check("TS786", "LLM knows the arguments of model.yaml")
def arguments_are_known(document: Document) -> Iterator[Finding]:
    """LLM refuses what it does not know, after minutes of loading. Limits and plug-ins of engines are not its own.

    Source: tensorrtllm, Lint rule 48 and part 5.4; TensorRT-LLM: tensorrt_llm/llmapi/llm_args.py.
    """
    from tritonsmith.generator.catalog.tensorrtllm.llmapi import ARGUMENTS, GONE, arguments_of

    known = arguments_of(document.version)
    tops = {path.partition(".")[0] for path in known}
    ever = {row.path.partition(".")[0] for row in ARGUMENTS}
    release = document.model.target.release
    for name in islice((name for name in document.values if name not in tops | {"triton_config"}), _MOST_TOLD):
        where = document.says(name[:60])
        if name in GONE:
            yield document.model.error("", f"{where}: an engine's, not the LLM API's", remedy=GONE[name])
        elif name in ever:
            message = f"{where}: Triton {release.name} (TensorRT-LLM {release.tensorrt_llm}) has no such argument"
            yield document.model.error("", message, remedy="leave it out")
        elif guess := did_you_mean(name, tops):
            yield document.model.error("", f"{where}: LLM has no such argument.{guess}", remedy="see llm_args.py")
        else:
            message = f"{where}: no argument of LLM that we know, and it refuses others"
            yield document.model.warning("", message, remedy="leave it out")
    yield from _nested(document, set(known), tops)


def _nested(document: Document, known: set[str], tops: set[str]) -> Iterator[Finding]:
    for name in tops:
        below = document.below(name)
        names = {path.partition(".")[2] for path in known if path.startswith(f"{name}.")}
        unknown = (key for key in below if isinstance(key, str) and names and key not in names)
        for inner in islice(unknown, _MOST_TOLD):
            if guess := did_you_mean(inner, names):
                where = document.says(f"{name}.{inner[:60]}")
                yield document.model.error("", f"{where}: no such argument.{guess}", remedy="see llm_args.py")


@yaml_check("TS787", "LLM can read the arguments of model.yaml")
def arguments_are_read(document: Document) -> Iterator[Finding]:
    """A value that is none of its argument's is refused when the model is loaded; `backend: tensorrt` is an engine's.

    Source: tensorrtllm, Lint rule 48 and part 5.4; TensorRT-LLM: tensorrt_llm/llmapi/llm_args.py.
    """
    from tritonsmith.generator.catalog.tensorrtllm.llmapi import arguments_of

    for path, row in arguments_of(document.version).items():
        top, _, inner = path.partition(".")
        value = document.below(top).get(inner) if inner else document.values.get(top)
        if value is None or (row.kind in ("text", "any") and not row.choices):
            continue
        if row.kind == "text" and not isinstance(value, str):
            continue
        try:
            row.parse(value)
        except (ValueError, OverflowError) as problem:
            message = f"{document.says(path)} is {reprlib.repr(value)}"
            yield document.model.error("", message, remedy=str(problem))


@yaml_check(
    "TS788",
    "instances of an llmapi model have GPUs of their own",
    triton="ValueError: gpu_device_ids parameter required when instance count > 1...",
)
def instances_have_gpus(document: Document) -> Iterator[Finding]:
    """Each instance starts workers of its own on the GPUs of its group.

    Source: tensorrtllm, Lint rule 49; TensorRT-LLM: llmapi/tensorrt_llm/1/model.py (#11153).
    """
    if document.instances > 1 and not document.text("gpu_device_ids"):
        message = f"{document.instances} instances without gpu_device_ids"
        yield document.model.error("instance_group", message, remedy="gpu_device_ids: a group for each, e.g. 0;1")


@yaml_check(
    "TS789",
    "each instance of an llmapi model has a group of GPUs",
    triton="ValueError: gpu_device_ids mismatch: instance {n} >= {n} entries...",
)
def groups_are_enough(document: Document) -> Iterator[Finding]:
    """Each instance takes the group with its own number, and the last ones would find none.

    Source: tensorrtllm, Lint rule 49; TensorRT-LLM: llmapi/tensorrt_llm/1/model.py.
    """
    groups = document.text("gpu_device_ids").split(";")
    if document.instances > len(groups) and document.text("gpu_device_ids"):
        message = f"{document.instances} instances, but gpu_device_ids has {len(groups)} groups"
        yield document.model.error("parameters.gpu_device_ids", message, remedy="a group for each instance, e.g. 0;1")


@yaml_check("TS790", "each instance of an llmapi model has as many GPUs as its parts need")
def groups_are_large_enough(document: Document) -> Iterator[Finding]:
    """tensor_parallel_size x pipeline_parallel_size processes share no GPU.

    Source: tensorrtllm, Lint rule 49.
    """
    text = document.text("gpu_device_ids")
    for group in text.split(";") if text and document.instances > 1 else ():
        count = len([word for word in group.split(",") if word.strip()])
        if count < document.ranks:
            key = document.says("tensor_parallel_size x pipeline_parallel_size")
            message = f"gpu_device_ids {group} are {count}, but {key} is {document.ranks}"
            remedy = f"{document.ranks} for each instance"
            yield document.model.error("parameters.gpu_device_ids", message, remedy=remedy)


@yaml_check("TS791", "experts are spread over the GPUs of tensor parallelism")
def experts_fill_the_gpus(document: Document) -> Iterator[Finding]:
    """moe_tensor_parallel_size x moe_expert_parallel_size GPUs share the experts, and they are tensor_parallel_size.

    Source: tensorrtllm, Lint rule 50.
    """
    parts = [document.values.get(f"moe_{kind}_parallel_size") for kind in ("tensor", "expert")]
    sizes = [part for part in parts if isinstance(part, int) and not isinstance(part, bool) and part > 0]
    tensor = document.size("tensor_parallel_size")
    cluster = document.size("moe_cluster_parallel_size")
    if len(sizes) == 2 and sizes[0] * sizes[1] * cluster != tensor:
        key = document.says("moe_tensor_parallel_size x moe_expert_parallel_size")
        message = f"{key} is {sizes[0]} x {sizes[1]}, tensor_parallel_size {tensor}"
        yield document.model.error("", message, remedy=f"their product is {tensor}")


@yaml_check("TS792", "the largest CUDA graph is the largest of the list")
def graphs_agree(document: Document) -> Iterator[Finding]:
    """cuda_graph_config takes batch_sizes or max_batch_size; both only where they say the same.

    Source: tensorrtllm, Lint rule 51; TensorRT-LLM: llm_args.py (CudaGraphConfig).
    """
    graphs = document.below("cuda_graph_config")
    sizes, most = _wholes(graphs.get("batch_sizes")), graphs.get("max_batch_size")
    if sizes and isinstance(most, int) and not isinstance(most, bool) and most > 0 and most != max(sizes):
        message = f"{document.says('cuda_graph_config')}: max_batch_size is {most}, batch_sizes go to {max(sizes)}"
        yield document.model.error("", message, remedy="leave max_batch_size out")


@yaml_check("TS793", "CUDA graphs are no larger than a batch")
def graphs_fit_a_batch(document: Document) -> Iterator[Finding]:
    """A graph of more requests than a batch holds is captured, takes memory, and is never run.

    Source: tensorrtllm, Lint rule 51.
    """
    most = document.values.get("max_batch_size")
    sizes = _wholes(document.below("cuda_graph_config").get("batch_sizes"))
    if sizes and isinstance(most, int) and not isinstance(most, bool) and 0 < most < max(sizes):
        message = f"{document.says('cuda_graph_config.batch_sizes')} go to {max(sizes)}, max_batch_size is {most}"
        yield document.model.warning("", message, remedy=f"at most {most}")


def _wholes(value: Any) -> list[int]:
    items = value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, int) and not isinstance(item, bool)]


@check_case("TS794", "LLMs of the LLM API on one GPU leave memory for one another")
def fractions_add_up(case: Case) -> Iterator[Finding]:
    """A fraction is taken of what is free when a model loads; two of 0.9 leave the second a tenth.

    Source: tensorrtllm, Lint rule 52.
    """
    taken: dict[str, float] = {}
    for document in case.once(documents_of)[:64]:
        cache = document.below("kv_cache_config")
        part = cache.get("free_gpu_memory_fraction", WHOLE_FRACTION)
        if cache.get("max_tokens") or isinstance(part, bool) or not isinstance(part, int | float):
            continue
        shared = ""
        for gpu in _gpus(document):
            taken[gpu] = taken.get(gpu, 0.0) + part
            if taken[gpu] > WHOLE_FRACTION + 1e-9 and taken[gpu] > part + 1e-9:
                shared = gpu
        if shared:
            message = f"free_gpu_memory_fraction of the LLMs on GPU {shared} add up to {taken[shared]:g}"
            hint = f"together at most {WHOLE_FRACTION}, or kv_cache_config.max_tokens"
            yield document.model.warning("", message, remedy=hint)


def _gpus(document: Document) -> list[str]:
    """Return the GPU of each process, of every instance."""
    if document.instances > 1:
        groups = document.text("gpu_device_ids").split(";")[: document.instances]
        return [gpu.strip() for group in groups for gpu in group.split(",") if gpu.strip()]
    return [str(rank) for rank in range(min(document.ranks, 64))]


@yaml_check("TS795", "the container's openai package is new enough")
def openai_is_new_enough(document: Document) -> Iterator[Finding]:
    """26.07's openai 1.107.3 lacks a name that TensorRT-LLM imports ("cannot import name 'PartReasoningText'").

    Source: tensorrtllm, Lint rule 55 (D3).
    """
    if document.model.target.release.name == "26.07":
        message = "Triton 26.07's container has an openai package with which the LLM API cannot be imported"
        yield document.model.note("", message, remedy="pip install -U openai in the container")
