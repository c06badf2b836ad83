"""What the models around an LLM must say alike: who streams, who calls whom, which types, which tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from tritonsmith.generator.catalog.tensorrtllm.engines import WHOLE_FRACTION
from tritonsmith.generator.catalog.tensorrtllm.parameters import PLACEHOLDER
from tritonsmith.generator.catalog.tensorrtllm.versions import parse_version
from tritonsmith.generator.checks.case import Case, ModelCase
from tritonsmith.generator.checks.registry import check, check_case
from tritonsmith.generator.checks.rules.enums import enum_name
from tritonsmith.generator.checks.rules.llm.llms import Caller, Llm, callers_of, folder_in, llms_of, read_file
from tritonsmith.generator.checks.rules.llm.registry import caller_check
from tritonsmith.generator.findings import Finding, Phase
from tritonsmith.generator.repository.scalars import bool_word
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
_ASKED = ("tensorrt_llm_model_name", "context_model_name", "generation_model_name")
# Of these a tokenizer's folder has one at least: a fast tokenizer, SentencePiece, BPE, WordPiece, tiktoken, NeMo.
_TOKENIZERS = (".model", ".tiktoken", ".nemo", "tokenizer.json", "vocab.json", "vocab.txt", "tekken.json")
_LOGITS = ("context_logits", "generation_logits")


def _text(config: ModelConfig, name: str) -> str:
    text = config.parameters[name].string_value if name in config.parameters else ""
    return "" if PLACEHOLDER in text else text


@check("TS704", "models that call one another agree whether they stream", phase=Phase.REQUEST, on=("parameters",))
def policies_agree(model: ModelCase) -> Iterator[Finding]:
    """A decoupled caller of one that is not gets one answer for a stream; the other way round it gets an error.

    Source: tensorrtllm, Lint rule 10; tensorrtllm_backend #70, #89, #268, #626.
    """
    asked = [name for name in _ASKED if name in model.config.parameters]
    defaults = {"tensorrt_llm_model_name": "tensorrt_llm"}
    for name in dict.fromkeys(_text(model.config, name) or defaults.get(name, "") for name in asked):
        called = model.case.configs.get(name)
        if called is None or called.HasField("ensemble_scheduling"):
            continue
        mine, theirs = (found.model_transaction_policy.decoupled for found in (model.config, called))
        if mine != theirs:
            message = f"decoupled is {bool_word(mine)} here and {bool_word(theirs)} in {called.name}, which it calls"
            yield model.error("model_transaction_policy", message, remedy="write the same in both")


@check("TS707", "a parameter that names a model names one of the repository's", phase=Phase.REQUEST, on=("parameters",))
def named_models_are_there(model: ModelCase) -> Iterator[Finding]:
    """Otherwise each request fails, long after the model has loaded.

    Source: tensorrtllm, Lint rule 14.
    """
    known = model.case.repository.models
    for name in _NAMING:
        called = _text(model.config, name)
        if called and called not in known:
            message = f"parameter {name} names '{called}', which is not in the repository.{did_you_mean(called, known)}"
            hint = f"the repository holds {', '.join(list(known)[:8])}"
            yield model.error(f"parameters.{name}", message, remedy=hint)


@caller_check("TS720", "a caller's batch is no larger than that of the models it calls")
def batches_pass_through(caller: Caller) -> Iterator[Finding]:
    """tensorrt_llm_bls hands a request's batch on as it is; a larger one than the LLM's is refused there.

    NVIDIA's rule is one max_batch_size in all five models. An ensemble's own limit is judged with its steps.

    Source: tensorrtllm, Lint rule 9.
    """
    mine = caller.model.config.max_batch_size
    for name in (caller.asked, "preprocessing", "postprocessing"):
        called = caller.model.case.configs.get(name)
        if called is not None and called.max_batch_size < mine:
            message = f"max_batch_size is {mine} here and {called.max_batch_size} in {name}, which it calls"
            yield caller.model.warning("max_batch_size", message, remedy="the same in all five models")


@caller_check("TS721", "logits have one type in all models")
def logits_have_one_type(caller: Caller) -> Iterator[Finding]:
    """What the LLM answers as FP32 cannot be handed on as FP16: requests for logits fail.

    Source: tensorrtllm, Lint rule 11.
    """
    yield from _same_types(caller, "output", _LOGITS)


@caller_check("TS722", "prompt embedding tables have one type in all models")
def tables_have_one_type(caller: Caller) -> Iterator[Finding]:
    """NVIDIA's tensorrt_llm_bls and ensemble say FP16 whatever is filled in for tensorrt_llm.

    Source: tensorrtllm, Lint rule 12.
    """
    yield from _same_types(caller, "input", ("prompt_embedding_table",))


def _same_types(caller: Caller, kind: str, names: tuple[str, ...]) -> Iterator[Finding]:
    called = caller.model.case.configs.get(caller.asked)
    if called is None:
        return
    theirs = {tensor.name: tensor.data_type for tensor in getattr(called, kind) if tensor.name in names}
    for index, tensor in enumerate(getattr(caller.model.config, kind)):
        other = theirs.get(tensor.name, tensor.data_type)
        if other != tensor.data_type:
            mine, its = enum_name(DataType, tensor.data_type), enum_name(DataType, other)
            message = f"{tensor.name} is {mine} here and {its} in {called.name}, which it calls"
            yield caller.model.error(f"{kind}[{index}].data_type", message, remedy="the same in both")


@caller_check("TS723", "tensorrt_llm_bls finds what it calls under the names that it knows")
def hard_names_are_there(caller: Caller) -> Iterator[Finding]:
    """NVIDIA's tensorrt_llm_bls calls `preprocessing` and `postprocessing`, and `tensorrt_llm` where nothing is said.

    A renamed model is not found, and every request fails.

    Source: tensorrtllm, Lint rule 14; TensorRT-LLM: tensorrt_llm_bls/1/model.py.
    """
    if caller.is_ours:
        return
    models = caller.model.case.repository.models
    needed = ["preprocessing", "postprocessing"]
    needed += ["tensorrt_llm"] if not caller.text("tensorrt_llm_model_name") else []
    missing = [name for name in needed if name not in models]
    if missing:
        message = f"it calls {' and '.join(missing)}, not in the repository under that name"
        yield caller.model.error("", message, remedy="these names are fixed: keep them")


@check_case("TS724", "texts are split and joined by one tokenizer")
def tokenizers_are_one(case: Case) -> Iterator[Finding]:
    """Ids of one tokenizer mean other words in another: the answers read like noise.

    Source: tensorrtllm, Lint rule 15.
    """
    first, second = _by_tensors(case, "QUERY", "INPUT_ID"), _by_tensors(case, "TOKENS_BATCH", "OUTPUT")
    if len(first) != 1 or len(second) != 1:  # several pipelines in one repository: nobody says which go together
        return
    one, other = (_text(model.config, "tokenizer_dir") for model in (first[0], second[0]))
    if one and other and one.rstrip("/") != other.rstrip("/"):
        message = f"tokenizer_dir is '{other}', and '{one}' in {first[0].name}"
        yield second[0].warning("parameters.tokenizer_dir", message, remedy="the same in both")


def _by_tensors(case: Case, given: str, made: str) -> list[ModelCase]:
    return [
        model
        for model in case.models()
        if "tokenizer_dir" in model.config.parameters
        and any(tensor.name == given for tensor in model.config.input)
        and any(tensor.name == made for tensor in model.config.output)
    ]


@check("TS725", "a tokenizer's folder holds a tokenizer", on=("parameters",))
def tokenizers_are_there(model: ModelCase) -> Iterator[Finding]:
    """The model reads it when it is loaded, and does not load without.

    A folder within the repository is looked into; what lies elsewhere on the server nobody can see from here.

    Source: tensorrtllm, Lint rule 15; tensorrtllm_backend #62, #109.
    """
    path = _text(model.config, "tokenizer_dir") if model.config.backend == "python" else ""
    folder = folder_in(model.case, model.model, path) if path else None
    if folder is None:
        return
    if not folder.names:
        message = f"tokenizer_dir '{path}' is {folder} of this repository, which is not there"
        yield model.warning("parameters.tokenizer_dir", message, remedy="copy the tokenizer's files there")
    elif not any(name.endswith(_TOKENIZERS) for name in folder.names):
        message = f"tokenizer_dir '{path}' is {folder} of this repository, which holds no tokenizer"
        yield model.error("parameters.tokenizer_dir", message, remedy="it needs tokenizer.json or tokenizer.model")


@caller_check("TS726", "a draft model answers without its prompt")
def drafts_leave_the_prompt_out(caller: Caller) -> Iterator[Finding]:
    """From 0.20 on NVIDIA's tensorrt_llm_bls asks the server for the draft's exclude_input_in_output.

    Left open it cannot be read; false sends the whole prompt back at every step.

    Source: tensorrtllm, Lint rule 16; TensorRT-LLM: tensorrt_llm_bls/1/lib/triton_decoder.py.
    """
    draft = caller.model.case.by_name.get(caller.draft)
    if draft is None or caller.is_ours or parse_version(draft.target.release.tensorrt_llm) < (0, 20):
        return
    text = _text(draft.config, "exclude_input_in_output")
    if not text:
        message = f"exclude_input_in_output is not set, and {caller.name} must know it of its draft"
        yield draft.error("parameters", message, remedy='exclude_input_in_output: "true"')
    elif text.lower() != "true":
        message = f"exclude_input_in_output is '{text}': the prompt is sent back with every draft"
        yield draft.warning("parameters.exclude_input_in_output", message, remedy='"true"')


@check("TS727", "a stream's text is joined where its tokens are known", on=("ensemble_scheduling",))
def streams_are_joined(model: ModelCase) -> Iterator[Finding]:
    """NVIDIA's postprocessing turns each chunk of tokens into text alone: spaces and letters of several bytes get lost.

    tensorrt_llm_bls with accumulate_tokens does it over the whole answer; so does a postprocessing that remembers.

    Source: tensorrtllm, Lint rule 17; tensorrtllm_backend #34, #112, #332.
    """
    configs = [model.case.by_name.get(step.model_name) for step in model.config.ensemble_scheduling.step]
    steps = [step for step in configs if step is not None]
    llms = {llm.name for llm in model.case.once(llms_of) if llm.model.config.model_transaction_policy.decoupled}
    if not llms.intersection(step.name for step in steps) or model.case.once(callers_of):
        return
    for step in steps:
        if any(tensor.name == "TOKENS_BATCH" for tensor in step.config.input) and _joins_alone(step):
            message = f"{step.name} turns each chunk of a stream into text alone: spaces and long letters get lost"
            yield model.warning("", message, remedy="stream through tensorrt_llm_bls with accumulate_tokens: true")


def _joins_alone(step: ModelCase) -> bool:
    """Whether a model's file is NVIDIA's postprocessing, which keeps nothing between two calls."""
    files = (file for path, file in step.model.files.items() if path.endswith("/model.py") and path.count("/") == 1)
    texts = [read_file(file) or b"" for file in files]
    return any(word in text for text in texts for word in (b"self.tokenizer.batch_decode(", b"self._postprocessing("))


@caller_check("TS728", "tensorrt_llm_bls answers several requests at once")
def callers_are_several(caller: Caller) -> Iterator[Finding]:
    """An instance of NVIDIA's tensorrt_llm_bls waits for one request's answer before it takes the next.

    NVIDIA's advice is as many as requests in flight; about five work.

    Source: tensorrtllm, Lint rule 18; tensorrtllm_backend #257, #416.
    """
    count = sum(group.count or 1 for group in caller.model.config.instance_group) or 1
    if count == 1 and caller.model.config.max_batch_size > 1 and not caller.is_ours:
        message = f"one instance answers one request after the other; max_batch_size is {_batch(caller)}"
        remedy = f"bls_instance_count: {min(_batch(caller), 5)} or more"
        yield caller.model.warning("instance_group", message, remedy=remedy)


def _batch(caller: Caller) -> int:
    return caller.model.config.max_batch_size


@check("TS729", "one instance joins the text of a stream", phase=Phase.REQUEST, on=("ensemble_scheduling",))
def streams_keep_their_order(model: ModelCase) -> Iterator[Finding]:
    """Behind a decoupled step several instances answer in the order in which they finish.

    Seen on Triton 2.51: 1 2 3 4 0 6 7 8.

    Source: tensorrtllm, Lint rule 18.
    """
    steps = [model.case.by_name.get(step.model_name) for step in model.config.ensemble_scheduling.step]
    found = [step for step in steps if step is not None]
    if not any(step.config.model_transaction_policy.decoupled for step in found):
        return
    for step in found:
        count = sum(group.count or 1 for group in step.config.instance_group)
        if count > 1 and any(tensor.name == "TOKENS_BATCH" for tensor in step.config.input):
            message = f"{count} instances answer in the order in which they finish, so a stream's text is shuffled"
            yield step.error("instance_group", message, remedy="count: 1; more instances of tensorrt_llm_bls")


@check_case("TS703", "LLMs on one GPU leave memory for one another")
def fractions_add_up(case: Case) -> Iterator[Finding]:
    """A fraction is taken of what is free when a model loads; 0.9 and 0.9 leave the second a tenth, and no one a rest.

    Source: tensorrtllm, Lint rule 34; tensorrtllm_backend #59, TensorRT-LLM #486, #1188.
    """
    for one, other in combinations(case.once(llms_of)[:64], 2):
        shared = _gpus(one) & _gpus(other)
        if not shared or any(llm.text("max_tokens_in_paged_kv_cache") for llm in (one, other)):
            continue
        total = one.fraction() + other.fraction()
        if total > WHOLE_FRACTION + 1e-9:
            message = (
                f"{one.name} and {other.name} share GPU {min(shared)}, and their kv_cache_free_gpu_mem_fraction add up "
                f"to {total:g} ({one.fraction():g} + {other.fraction():g})"
            )
            hint = f"together at most {WHOLE_FRACTION}, or max_tokens_in_paged_kv_cache for each"
            yield other.model.warning("parameters", message, remedy=hint)


def _gpus(llm: Llm) -> set[int]:
    return {gpu for group in llm.groups("gpu_device_ids") or [[0]] for gpu in group}
