"""The models of a pipeline that TensorRT-LLM runs: one, or a target and its draft, or context and generation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from tritonsmith.ensembles.blueprint import Use
from tritonsmith.ensembles.text_generation.backend_parameters import ParameterReader, Values
from tritonsmith.ensembles.text_generation.facts import Facts
from tritonsmith.ensembles.text_generation.places import Placed, place_engine
from tritonsmith.ensembles.text_generation.settings import Build, Settings
from tritonsmith.generator.catalog.tensorrtllm.engines import WHOLE_FRACTION
from tritonsmith.generator.catalog.tensorrtllm.speculation import DECODING_MODES
from tritonsmith.generator.catalog.tensorrtllm.versions import Version
from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.inspect.architecture import MOST_RANKS
from tritonsmith.generator.inspect.engine_source import read_engine_source
from tritonsmith.generator.repository.scalars import bool_word
from tritonsmith.generator.spec.document import Engine
from tritonsmith.generator.spec.paths import folder_problem
from tritonsmith.generator.spec.settings import EngineSettings


@dataclass(frozen=True)
class Llm:
    """One model of the backend.

    `given` are the parameters that the spec gives, `parameters` those that are written: defaults too. `own` are those
    that stand at `at`, the others are shared and stand in the pipeline's.
    """

    role: str
    name: str
    engine: Engine
    facts: Facts
    placed: Placed
    given: Mapping[str, str]
    parameters: Mapping[str, str]
    at: tuple[str, ...] = ("with",)  # where its own settings stand in the pipeline
    own: frozenset[str] = frozenset()
    replicas: int = 1
    ranks: int = 1  # its engine's, or those of the engine that engine.sh builds

    @property
    def gpus(self) -> tuple[tuple[int, ...], ...]:
        """The GPUs of each replica; those of its ranks in order where nothing else is said."""
        return groups(self.parameters.get("gpu_device_ids", "")) or (tuple(range(self.ranks)),)

    @property
    def participants(self) -> tuple[tuple[int, ...], ...]:
        """The MPI ranks of each replica, none where no orchestrator expects them."""
        return groups(self.parameters.get("participant_ids", ""))

    def is_on(self, name: str) -> bool:
        """Whether a boolean parameter is written as true."""
        return self.parameters.get(name) == "true"

    def number(self, name: str, default: float = 0) -> float:
        """Return a parameter that is a number."""
        return float(self.parameters.get(name, default))

    def where(self, parameter: str) -> tuple[str, ...]:
        """Return the path of one of its parameters in the pipeline."""
        return (*(self.at if parameter in self.own else ("with",)), "parameters", parameter)


def groups(text: str) -> tuple[tuple[int, ...], ...]:
    """Return `0,1;2,3` as ((0, 1), (2, 3))."""
    return tuple(tuple(int(member) for member in group.split(",")) for group in text.split(";")) if text else ()


def shares_a_gpu(one: Llm, other: Llm) -> bool:
    """Whether two LLMs run on a common GPU."""
    return bool({gpu for group in one.gpus for gpu in group} & {gpu for group in other.gpus for gpu in group})


@dataclass(frozen=True)
class _Asked:
    """What the spec says of one of them; `own` parameters over `shared` ones."""

    role: str
    engine: Engine
    shared: Values = field(default_factory=dict)
    own: Values = field(default_factory=dict)
    at: tuple[str, ...] = ("with",)
    replicas: int = 1


def llms_of(settings: Settings, use: Use, version: Version) -> tuple[Llm, ...]:
    """Return the pipeline's LLMs; none where one cannot be read, findings then say why."""
    use.findings.extend(ParameterReader(use, version).findings(settings.parameters))
    asked = list(_asked(settings, use))
    read = {one.role: facts for one in asked if (facts := _read(one, use)) is not None}
    ranks = {role: _ranks(facts, settings.build) for role, facts in read.items()}
    if not asked or len(read) < len(asked) or _too_many(asked, ranks, use):
        return ()
    made: list[Llm] = []
    for one in asked:
        made.append(_made(one, read[one.role], ranks[one.role], use, version, made, is_alone=len(asked) == 1))
    return tuple(made)


def _ranks(facts: Facts, build: Build) -> int:
    """Return how many ranks an engine has, or will have once engine.sh has built it."""
    is_model = facts.kind == "huggingface" and not facts.is_exported
    return build.tensor_parallel * build.pipeline_parallel if is_model else facts.spread.world_size


def _too_many(asked: list[_Asked], sizes: Mapping[str, int], use: Use) -> bool:
    """Whether more ranks are asked for than can be meant; a finding then says so."""
    ranks = sum(one.replicas * sizes[one.role] for one in asked)
    if ranks > MOST_RANKS:
        use.findings.append(use.error(f"{ranks:,} ranks are asked for", "replicas", hint=f"at most {MOST_RANKS:,}"))
    return ranks > MOST_RANKS


def _asked(settings: Settings, use: Use) -> Iterator[_Asked]:
    """Yield what the spec asks for; what of it is not there becomes a finding."""
    if use.engine is None:
        hint = "engine: ./folder, of an engine, a checkpoint or a Hugging Face model"
        if "engine" not in use.tree.entries:  # else it is told what is wrong with it
            use.findings.append(use.error("the pipeline has no engine", hint=hint))
        return
    if settings.disaggregated is not None:
        phases = {"context": settings.disaggregated.context, "generation": settings.disaggregated.generation}
        for role, phase in phases.items():
            at = ("with", "disaggregated", role)
            engine = _chosen(phase.engine, use, at) if phase.engine else use.engine
            if engine is not None:
                yield _Asked(role, engine, settings.parameters, phase.parameters, at, phase.replicas)
        return
    yield _Asked("tensorrt_llm", use.engine, settings.parameters, replicas=use.replicas)
    if settings.draft is not None:
        engine = _chosen(settings.draft.engine, use, ("with", "draft"))
        if engine is not None:
            yield _Asked("tensorrt_llm_draft", engine, {}, settings.draft.parameters, ("with", "draft"))


def _chosen(settings: EngineSettings, use: Use, at: tuple[str, ...]) -> Engine | None:
    """Return an engine that is not the pipeline's own; None where its folder is not there."""
    path = use.folder / settings.source if settings.source else None
    if path is not None and (problem := folder_problem(path, settings.source)):
        hint = f"the folder of an engine; paths are relative to the spec, in {use.folder}"
        use.findings.append(use.error(problem, *at, "engine", hint=hint))
        return None
    return Engine(path, settings.place, settings.at)


def _read(asked: _Asked, use: Use) -> Facts | None:
    """Return what the engine's folder says; None where it cannot be understood."""
    at = ("engine",) if asked.engine is use.engine else (*asked.at, "engine")
    try:
        facts = Facts(read_engine_source(asked.engine.path) if asked.engine.path else None)
    except SpecError as problem:
        told = use.error(f"{problem.where}: {problem.message}", *at, hint=problem.hint)
        use.findings.extend(problem.findings or [told])
        return None
    found = facts.source.findings if facts.source else ()
    use.findings.extend(finding for finding in found if finding not in use.findings)  # one engine, read for two models
    return None if found else facts


def _made(
    asked: _Asked, facts: Facts, ranks: int, use: Use, version: Version, before: list[Llm], *, is_alone: bool
) -> Llm:
    """Return an LLM with its parameters: those of the spec, over those of the engine, over the backend's."""
    at = (*asked.at, "parameters")
    reader = ParameterReader(use, version, at)
    use.findings.extend(reader.findings(asked.own))
    given = {**asked.shared, **asked.own}
    placed = place_engine(asked.engine, use.names[asked.role])
    defaults = engine_defaults(facts, version) | _places_defaults(asked, facts, ranks, use, before)
    if not is_alone and asked.role.startswith("tensorrt_llm"):
        defaults["kv_cache_free_gpu_mem_fraction"] = f"{WHOLE_FRACTION / 2}"
    if facts.engine and facts.engine.encoder:
        defaults |= {"encoder_model_path": f"{placed.path}/encoder", "cross_kv_cache_fraction": "0.5"}
        placed = replace(placed, path=f"{placed.path}/decoder")
    return Llm(
        role=asked.role,
        name=use.names[asked.role],
        engine=asked.engine,
        facts=facts,
        placed=placed,
        given=reader.given(given),
        parameters={**reader.values(given, defaults), "gpt_model_path": placed.path},
        at=asked.at,
        own=frozenset(asked.own),
        replicas=asked.replicas,
        ranks=ranks,
    )


def engine_defaults(facts: Facts, version: Version) -> dict[str, str]:
    """Return the parameters that follow from what an engine was built for; none where there is no engine to be read."""
    engine = facts.engine
    if engine is None:
        return {}
    mode = DECODING_MODES.get(engine.options.speculation)
    # Reused blocks of an INT8 KV cache give other answers (TensorRT-LLM #2166).
    can_reuse = facts.can_reuse and engine.architecture.kv_cache_quantisation != "INT8"
    defaults = {
        "max_beam_width": str(engine.limits.max_beam_width),
        "enable_kv_cache_reuse": bool_word(can_reuse),
        "enable_chunked_context": bool_word(facts.can_reuse and mode is None),
    }
    if mode is not None:
        defaults["decoding_mode"] = mode
    if facts.hinders_inflight and version < (0, 20):
        defaults["gpt_model_type"] = "V1"
    return defaults


def _places_defaults(asked: _Asked, facts: Facts, size: int, use: Use, before: list[Llm]) -> dict[str, str]:
    """Return on which GPUs, and as which MPI ranks, an LLM runs; nothing where it is rank 0 on GPU 0 anyway.

    Nor where an engine spans nodes: each rank takes a GPU of its own node then, and a list of all GPUs is refused.
    Source: TensorRT-LLM: runtime/worldConfig.cpp (device ids are those of one node, taken by rank modulo their number).
    """
    defaults: dict[str, str] = {}
    is_apart = asked.role in ("context", "generation")  # a draft shares its target's GPUs
    first = 1 + max((gpu for llm in before for group in llm.gpus for gpu in group), default=-1) if is_apart else 0
    is_spread = use.nodes > 1 and facts.kind == "engine" and asked.engine.place != "mounted"
    if is_apart or asked.replicas > 1 or (size > 1 and not is_spread):
        defaults["gpu_device_ids"] = _numbered(first, asked.replicas, size)
    if use.server.orchestrator == "participants":
        taken = max((rank for llm in before for group in llm.participants for rank in group), default=0)
        defaults["participant_ids"] = _numbered(taken + 1, asked.replicas, size)
    return defaults


def _numbered(first: int, replicas: int, size: int) -> str:
    """Return consecutive numbers in groups: `0,1;2,3`."""
    starts = range(first, first + replicas * size, size)
    return ";".join(",".join(str(start + rank) for rank in range(size)) for start in starts)
