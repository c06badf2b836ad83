"""What a spec says beside the models: the hardware it is written for, and what its server is started with."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from tritonsmith.generator.findings import Finding, error
from tritonsmith.generator.spec.tree import Mapping, Node, Scalar, Sequence, kind_of, to_data
from tritonsmith.generator.suggest import did_you_mean


def _read_flag(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value.lower() not in ("true", "false"):
        raise ValueError("expected true or false")
    return value.lower() == "true"


Port = Annotated[int, Field(ge=0, le=65535)]
# As in a model's configuration: pydantic alone would take yes, on and 1 too.
Flag = Annotated[bool, BeforeValidator(_read_flag)]


class Settings(BaseModel):
    """A mapping of the spec with a closed list of keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Hardware(Settings):
    """The machine that the repository is for; no GPU unless said."""

    gpu: str = Field("", description="the GPU's name, e.g. H100-SXM-80GB; empty for none")
    count: int = Field(1, ge=1, description="GPUs of that name")

    @property
    def gpus(self) -> int:
        """The number of GPUs."""
        return self.count if self.gpu else 0


class ResponseCache(Settings):
    """The server's response cache."""

    size_bytes: int = Field(64 * 1024 * 1024, gt=0, description="memory of the local cache")


class RateLimit(Settings):
    """The server's rate limiter; resources are counted for every device unless a device is named."""

    resources: dict[str, int] = Field(default_factory=dict, description="name: count, or name@device: count")


class Metrics(Settings):
    """The metrics endpoint."""

    enabled: Flag = True
    interval_ms: int = Field(default=2000, gt=0)
    config: dict[str, str] = Field(default_factory=dict, description="--metrics-config, e.g. summary_latencies: true")


class Tracing(Settings):
    """Request tracing."""

    mode: Literal["triton", "opentelemetry"] = "triton"
    level: tuple[Literal["TIMESTAMPS", "TENSORS"], ...] = ("TIMESTAMPS",)
    rate: int = Field(1000, gt=0, description="one request in so many is traced")
    config: dict[str, str] = Field(default_factory=dict, description="the mode's own settings, e.g. url, file")


class Tls(Settings):
    """TLS of the gRPC endpoint; Triton's HTTP endpoint has none."""

    certificate: str = Field(description="path of the PEM certificate")
    key: str = Field(description="path of the PEM key")
    root: str = Field("", description="path of the root certificates, for mutual TLS")


class Server(Settings):
    """What a server of this repository must be started with; it becomes the arguments wherever it is started."""

    http_port: Port = 8000
    grpc_port: Port = 8001
    metrics_port: Port = 8002
    model_control_mode: Literal["none", "poll", "explicit"] = Field(
        "explicit", description="where we start it, models are loaded one by one whatever the mode"
    )
    orchestrator: Literal["none", "spawn", "participants"] = Field(
        "none",
        description="TensorRT-LLM's engines in processes of their own, each over its GPUs: spawn starts them from the "
        "server's, participants expects mpirun to have done so",
    )
    strict_model_config: Flag = Field(False, description="judge configurations as written, complete nothing")
    exit_timeout_s: int = Field(30, ge=0, description="how long requests in flight may take when the server ends")
    load_threads: int = Field(4, ge=1, description="models loaded at the same time")
    log_verbose: int = Field(0, ge=0, le=4)
    response_cache: ResponseCache | None = None
    rate_limit: RateLimit | None = None
    metrics: Metrics = Field(default_factory=Metrics)
    tracing: Tracing | None = None
    tls: Tls | None = Field(
        None, description="relative paths count from the folder in which the server is started, not from the spec's"
    )
    backend_config: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="backend: {setting: value}, e.g. python: {shm-default-byte-size: 16777216}"
    )


class EngineSettings(Settings):
    """An LLM's engine, checkpoint or Hugging Face folder, and how the server gets at it."""

    source: str = Field("", alias="from", description="the folder on this machine, relative to the spec")
    place: Literal["copy", "link", "mounted"] = Field(
        "copy", description="copy it into the repository; name it where it lies; or name where the server has it"
    )
    at: str = Field("", description="mounted: the absolute path at which the server finds it")

    @model_validator(mode="after")
    def _names_a_place(self) -> EngineSettings:
        if self.place == "mounted" and not self.at.startswith("/"):
            raise ValueError("place: mounted needs `at`, the absolute path at which the server finds the engine")
        if self.place != "mounted" and (self.at or not self.source):
            raise ValueError(f"place: {self.place} takes `from`, the folder here; `at` belongs to place: mounted")
        return self


S = TypeVar("S", bound=BaseModel)


def read_settings(kind: type[S], node: Node, key: str, findings: list[Finding]) -> S | None:
    """Return a tree as settings; what is wrong is added to `findings` and None returned."""
    if not isinstance(node, Mapping):
        findings.append(error(f"expected a mapping, got {kind_of(node)}", node.place, key=key))
        return None
    try:
        return kind.model_validate(to_data(node))
    except ValidationError as problems:
        findings.extend(validation_findings(problems, kind, node, key))
        return None


def validation_findings(problems: ValidationError, kind: type[BaseModel], node: Mapping, key: str) -> list[Finding]:
    """Return pydantic's problems with a tree as findings, each at the place of its value."""
    return [_finding(kind, node, key, problem) for problem in problems.errors(include_url=False)]


def _finding(kind: type[BaseModel], node: Mapping, key: str, problem: Any) -> Finding:
    """Return pydantic's problem as a finding at the value's own place."""
    place, names = node.place, []
    inner: type[BaseModel] | None = kind  # whose keys are read next
    known: list[str] = []
    current: Node = node
    for part in problem["loc"]:
        names.append(str(part))
        rows = {row.alias or name: row for name, row in inner.model_fields.items()} if inner else {}
        known, inner = list(rows), _model_in(rows[str(part)].annotation) if str(part) in rows else inner
        if isinstance(current, Mapping) and str(part) in current.entries:
            place, current = current.place_of(str(part)), current.entries[str(part)]
        elif isinstance(current, Sequence) and isinstance(part, int) and part < len(current.items):
            current = current.items[part]
            place = current.place
    path = ".".join([key, *names])
    if problem["type"] == "extra_forbidden":
        return error(f"unknown key '{names[-1]}'.{did_you_mean(names[-1], known)}", place, key=path)
    text = current.text if isinstance(current, Scalar) else ""
    is_told = isinstance(current, Scalar) and not ("://" in text and "@" in text)  # a password is not repeated
    value = f", got '{text}'" if is_told else ""
    message: str = problem["msg"].removeprefix("Value error, ")
    return error(f"{message[0].lower()}{message[1:]}{value}", place, key=path)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the settings that a field holds: itself, in `X | None`, in a list or a mapping; None where it has none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for one in get_args(annotation) if (found := _model_in(one))), None)
