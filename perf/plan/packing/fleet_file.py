"""A fleet as a person writes it: GPUs, models with their memory, rate, latency and limit, as YAML."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from tritonsmith.generator.catalog.gpus import Gpu
from tritonsmith.generator.errors import SpecError, UsageError
from tritonsmith.generator.findings import Finding, error
from tritonsmith.generator.spec import tree
from tritonsmith.generator.spec.settings import Flag, Settings, read_settings
from tritonsmith.perf.limits import MEMORY_UNITS_MIB, TIME_UNITS_MS, parse_limit
from tritonsmith.perf.plan.core import exact
from tritonsmith.perf.plan.memory.overheads import driver_part
from tritonsmith.perf.plan.packing.core import ANY, MOST_LOAD, Fleet, Kind, Tenant
from tritonsmith.perf.plan.packing.file_memory import Needs, needs_of
from tritonsmith.perf.plan.shares import gpu_of, named

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
# Below 500 MB where nothing is loaded, of which the pool takes 64 MiB; and the kernels of what is loaded.
# Source: https://github.com/triton-inference-server/server/issues/8368; tritonserver --help: cuda-memory-pool-byte-size
RESERVE_BYTES = 2**30
MOST_VARIATION = 2.0
_QUANTITY = re.compile(r"([0-9]*\.?[0-9]+) ?([A-Za-z]+)(/s)?")


def _quantity(value: Any, units: Mapping[str, float], example: str, *, per_s: bool = False) -> Any:
    """Return a text like "6GiB" in the unit that is 1."""
    found = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None or found[2] not in units or bool(found[3]) != per_s or float(found[1]) <= 0:
        raise ValueError(f"expected a number above 0 with a unit, such as {example} ({', '.join(units)})")
    return float(found[1]) * units[found[2]]


_BYTES = {unit: mib * 2**20 for unit, mib in MEMORY_UNITS_MIB.items()}
_SECONDS = {unit: ms / 1e3 for unit, ms in TIME_UNITS_MS.items()}


def _seconds_by_kind(value: Any) -> Any:
    if isinstance(value, dict):
        return {kind: _quantity(text, _SECONDS, "12ms") for kind, text in value.items()}
    return {ANY: _quantity(value, _SECONDS, "12ms")}


def _count_alone(value: Any) -> Any:
    return value if isinstance(value, dict) else {"count": value}


def _limit(text: str) -> str:
    try:
        parse_limit(text, "slo", tuple(QUANTILES))
    except UsageError as problem:
        raise ValueError(f"{problem.message}; {problem.hint}") from None
    return text


def _share(value: Any) -> Any:
    found = re.fullmatch(r"([0-9]*\.?[0-9]+) ?%", value) if isinstance(value, str) else None
    if found is None or float(found[1]) > MOST_VARIATION * 100:
        raise ValueError(f"expected a share up to {MOST_VARIATION:.0%}, such as 20%")
    return float(found[1]) / 100


Share = Annotated[float, BeforeValidator(_share)]
Bytes = Annotated[float, BeforeValidator(lambda value: _quantity(value, _BYTES, "6GiB"))]
BytesPerSecond = Annotated[float, BeforeValidator(lambda value: _quantity(value, _BYTES, "2GB/s", per_s=True))]
SecondsByKind = Annotated[dict[str, float], BeforeValidator(_seconds_by_kind)]


class GpusWritten(Settings):
    """GPUs of one name; their memory need not be said where the name is known."""

    count: int = Field(ge=1, le=10_000)
    memory: Bytes | None = None
    price_per_hour: float = Field(1.0, gt=0, description="of one; without prices the fewest GPUs are looked for")


class ModelWritten(Settings):
    """A model: its memory or its file, how often it is asked, how long a request keeps the GPU busy, its limit."""

    memory: Bytes | None = Field(None, description="of the GPU, of one replica, the server's own aside")
    file: str = Field("", description="its file or folder, relative to the fleet's file")
    kv_tokens: int = Field(0, ge=0, description="a language model's cache; without it the engine takes what is left")
    max_batch_size: int = Field(1, ge=1, description="rows at once of an ONNX or TensorRT model: its activations")
    axes: dict[str, Annotated[int, Field(ge=1)]] = Field({}, description="{sequence: 512}: sizes of its open axes")
    rate: float = Field(0.0, ge=0, description="requests per second, of all replicas together")
    latency: SecondsByKind = Field({}, description="12ms, or by GPU {L4: 30ms, H100: 8ms}: one request, alone")
    varies: Share = Field(0.0, description="20%: the latency's standard deviation over it")
    slo: Annotated[str, AfterValidator(_limit)] | None = Field(None, description="p99=50ms")
    replicas: int = Field(0, ge=0, le=1000, description="each on a GPU of its own; 0: as many as the rate needs")
    spare: int = Field(0, ge=0, le=100, description="replicas that may be lost: the others answer everything")
    owner: str = Field("", description="models of different owners share no GPU")
    alone: Flag = Field(
        False, description="shares its GPUs with nobody, as an engine that takes the rest for its cache"
    )
    resident: Flag = Field(False, description="never loaded on demand")

    @model_validator(mode="after")
    def _makes_sense(self) -> ModelWritten:
        if (self.memory is None) == (not self.file):
            raise ValueError("give one of memory and file")
        if not self.file and self.model_fields_set & {"kv_tokens", "max_batch_size", "axes"}:
            raise ValueError("kv_tokens, max_batch_size and axes say how large a model is whose `file` is given")
        if self.rate and not self.latency:
            raise ValueError("a rate needs a latency: how long one request keeps the GPU busy, alone")
        if self.slo and not (self.rate and self.latency):
            raise ValueError("an slo needs a rate and a latency")
        if self.replicas and self.spare >= self.replicas:
            raise ValueError(f"{self.spare} spare replicas of {self.replicas} leave none")
        return self


class FleetWritten(Settings):
    """The whole file."""

    gpus: dict[str, Annotated[GpusWritten, BeforeValidator(_count_alone)]] = Field(min_length=1)
    models: dict[str, ModelWritten] = Field(min_length=1)
    disk: BytesPerSecond | None = Field(None, description="what a cold load reads; without it all stays resident")
    reserve: Bytes = Field(float(RESERVE_BYTES), description="of each GPU, for the server itself and CUDA's context")
    load: float = Field(MOST_LOAD, gt=0, le=1, description="the share of its time in which a GPU may be busy")


def read_fleet(path: Path) -> Fleet:
    """Return the fleet that a file describes.

    Raises: SpecError with everything that is wrong with it; UsageError where there is no such file; what reading a
    model's file raises.
    """
    if not path.is_file():
        raise UsageError(f"--pack: there is no file {path}", hint="a fleet is YAML: {gpus: {L40S: 2}, models: {...}}")
    findings: list[Finding] = []
    root = tree.parse_tree(tree.read_text(path), str(path), findings).without_nulls()
    written = read_settings(FleetWritten, root, "fleet", findings)
    kinds = _kinds(written, root, findings) if written else {}
    if written:
        _refuse_unknown_gpus(written, kinds, root, findings)
    if findings or written is None:
        raise SpecError("the fleet makes no sense", where=str(path), findings=findings)
    tenants = tuple(_tenant(name, model, kinds, path) for name, model in written.models.items())
    return Fleet(tenants, tuple(kinds.values()), written.disk or 0.0, written.load)


def _kinds(written: FleetWritten, root: tree.Mapping, findings: list[Finding]) -> dict[str, Kind]:
    """Return the kinds of GPU by their names as written."""
    kinds = {}
    for name, given in written.gpus.items():
        try:
            kinds[name] = _kind(name, given, written.reserve)
        except UsageError as problem:
            place = _place(root, "gpus", name)
            findings.append(error(problem.message, place, key=f"gpus.{name}", remedy=problem.hint))
    return kinds


def _kind(name: str, given: GpusWritten, reserve_bytes: float) -> Kind:
    """Return a kind of GPU with what models may take of it.

    Raises: UsageError for a name that is not known and has no memory, or where nothing is left.
    """
    if given.memory:
        known, total, driver = name, given.memory, 0.0
    else:
        gpu = _known_gpu(name)
        known, total, driver = gpu.name, float(gpu.memory_bytes), driver_part(gpu).bytes.high
    left = math.floor(total - driver - reserve_bytes)
    terms = " - ".join(f"{size / 2**30:.2f}" for size in (total, driver, reserve_bytes))
    source = f"{terms} = {left / 2**30:.2f} GiB: nvidia-smi's total less the driver's less the reserve"
    if left <= 0:
        raise UsageError(f"nothing is left for models: {source}", hint="take a larger GPU, or a smaller `reserve`")
    return Kind(known, left, given.count, given.price_per_hour, source)


def _known_gpu(name: str) -> Gpu:
    try:
        return gpu_of(named(name))
    except UsageError as problem:
        hint = f"{problem.hint}; or say its memory: {{{name}: {{count: 1, memory: 48GB}}}}"
        raise UsageError(problem.message, hint=hint) from None


def _refuse_unknown_gpus(
    written: FleetWritten, kinds: Mapping[str, Kind], root: tree.Mapping, findings: list[Finding]
) -> None:
    for name, model in written.models.items():
        for gpu in model.latency:
            if gpu != ANY and gpu not in kinds:
                message, key = f"latency on '{gpu}', of which the fleet has none", f"models.{name}.latency"
                place = _place(root, "models", name)
                findings.append(error(message, place, key=key, remedy=f"it has {', '.join(written.gpus)}"))


def _place(root: tree.Mapping, section: str, name: str) -> Any:
    node = root.entries.get(section)
    return node.place_of(name) if isinstance(node, tree.Mapping) else root.place


def _tenant(name: str, model: ModelWritten, kinds: Mapping[str, Kind], path: Path) -> Tenant:
    needs = _needs(name, model, path)
    limit = parse_limit(model.slo, "slo", tuple(QUANTILES)) if model.slo else None
    return Tenant(
        name,
        needs.memory_bytes,
        rate_per_s=model.rate,
        service_s={kinds[gpu].name if gpu else ANY: seconds for gpu, seconds in model.latency.items()},
        variation=model.varies,
        limit_s=limit.at_most / 1e3 if limit else math.inf,
        share=QUANTILES[limit.metric.removesuffix("_ms")] if limit else 0.99,
        replicas=model.replicas,
        spare=model.spare,
        load_bytes=needs.load_bytes,
        owner=model.owner,
        is_alone=model.alone or needs.takes_the_rest,
        is_resident=model.resident,
        note=needs.note,
    )


def _needs(name: str, model: ModelWritten, path: Path) -> Needs:
    if model.memory is not None:
        return Needs(exact(model.memory, f"{path.name}: models.{name}.memory"), model.memory)
    file = path.parent / model.file
    return needs_of(file, name, kv_tokens=model.kv_tokens, batch_size=model.max_batch_size, axes=model.axes)
