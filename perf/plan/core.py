"""The nouns of a plan: numbers that know their error and source, a model's shape, how it is spread, what was asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import sqrt
from typing import Literal, Protocol

WeightType = Literal["fp32", "fp16", "bf16", "fp8", "int8", "int4", "nvfp4", "mxfp4"]
CacheType = Literal["fp16", "bf16", "fp8", "int8"]
Attention = Literal["full", "window", "mla", "linear"]


@dataclass(frozen=True)
class Figure:
    """A number, an interval that is to hold the truth four times in five, and where it comes from.

    Its unit is in the name of the field that holds it. `low` equals `high` where the number is exact.
    """

    value: float
    low: float
    high: float
    source: str


def exact(value: float, source: str) -> Figure:
    """Return a number that follows from what is given."""
    return Figure(value, value, value, source)


def about(value: float, share: float, source: str) -> Figure:
    """Return a number that may be off by this share: from value / (1 + share) to value x (1 + share)."""
    return Figure(value, value / (1 + share), value * (1 + share), source)


@dataclass(frozen=True)
class LayerGroup:
    """Layers of a decoder that are alike in what they keep for a token.

    `full` keeps all tokens, `window` the last `window` ones, `mla` a `latent` vector instead of keys and values,
    `linear` (and state-space) layers a state of `state_bytes` per sequence, whatever its length. Sparse attention keeps
    `index_bytes` more for a token, and reads `selected` of the tokens that it keeps.
    """

    count: int
    attention: Attention = "full"
    kv_heads: int = 0
    head_size: int = 0
    window: int = 0
    latent: int = 0  # kv_lora_rank + qk_rope_head_dim
    state_bytes: int = 0
    index_bytes: int = 0
    selected: int = 0


@dataclass(frozen=True)
class LanguageModel:
    """A decoder as its config.json, checkpoint or engine describes it.

    `parameters` counts all, `expert_parameters` those of routed experts, `embedding_parameters` the tables of input and
    output. A token uses all that are not experts', and `experts_per_token / experts` of those that are.
    """

    name: str
    layers: tuple[LayerGroup, ...]
    hidden_size: int
    heads: int
    head_size: int
    intermediate_size: int  # of a dense layer's feed-forward part, or of all experts that a token uses together
    vocab_size: int
    parameters: Figure
    expert_parameters: Figure
    embedding_parameters: Figure
    weight_type: WeightType  # as the files store most of them
    experts: int = 0
    experts_per_token: int = 0
    max_positions: int = 0
    source: str = ""
    uncounted: str = ""  # what its files hold besides, and no number here has

    @property
    def layer_count(self) -> int:
        """All layers."""
        return sum(group.count for group in self.layers)


@dataclass(frozen=True)
class Spread:
    """How one replica is spread over GPUs. `data` is attention's data parallelism inside a replica, with `expert`."""

    tensor: int = 1
    pipeline: int = 1
    expert: int = 1
    data: int = 1

    @property
    def gpus(self) -> int:
        """GPUs of one replica. Experts are spread over the same GPUs as attention."""
        return self.tensor * self.pipeline * self.data

    def __str__(self) -> str:
        words = {"TP": self.tensor, "PP": self.pipeline, "EP": self.expert, "DP": self.data}
        return " ".join(f"{word}{size}" for word, size in words.items() if size > 1) or "TP1"


USUAL_BATCH = 256


@dataclass(frozen=True)
class Serving:
    """How a model is to be served by one replica."""

    spread: Spread
    weight_type: WeightType
    cache_type: CacheType
    max_batch_size: int = USUAL_BATCH  # sequences in flight, of all ranks
    max_num_tokens: int = 8192  # in one step
    kv_fraction: float = 0.9  # of the memory that is left for the cache

    @property
    def rank_batch_size(self) -> int:
        """Sequences in flight on one rank of attention's data parallelism, which is what TensorRT-LLM is told."""
        return -(-self.max_batch_size // self.spread.data)

    @property
    def batch_words(self) -> str:
        """How a batch is told that is not the usual one: " batch 2048", else ""."""
        return "" if self.max_batch_size == USUAL_BATCH else f" batch {self.max_batch_size}"


@dataclass(frozen=True)
class Part:
    """Where memory of a GPU goes: `bytes` of it, and the arithmetic, with its numbers, as a person checks it."""

    name: str
    bytes: Figure
    arithmetic: str


def total(parts: Iterable[Part], source: str) -> Figure:
    """Return the bytes of several parts; errors that are independent add up by their squares."""
    found = [part.bytes for part in parts]
    value = sum(figure.value for figure in found)
    less = sqrt(sum((figure.value - figure.low) ** 2 for figure in found))
    more = sqrt(sum((figure.high - figure.value) ** 2 for figure in found))
    return Figure(value, value - less, value + more, source)


@dataclass(frozen=True)
class Memory:
    """What lies in the memory of a replica's fullest GPU; `free_bytes` is before the KV cache takes its fraction."""

    gpu_bytes: float
    parts: tuple[Part, ...]
    kv_bytes_per_token: float  # on that GPU
    state_bytes_per_sequence: float
    kv_tokens: Figure  # that a replica can hold
    free_bytes: Figure

    @property
    def fits(self) -> bool:
        """Whether everything fits, and one token more where tokens are kept."""
        return self.free_bytes.value > 0 and (self.kv_tokens.value >= 1 or self.kv_bytes_per_token == 0)


@dataclass(frozen=True)
class Traffic:
    """What is asked: requests per second, their lengths in tokens; `bursts` 1 is Poisson, above it comes in bursts."""

    rate_per_s: float
    input_tokens: int
    output_tokens: int
    arrivals: tuple[tuple[float, int, int], ...] = ()  # recorded: seconds, input tokens, output tokens
    prefix_share: float = 0.0  # of the input's tokens, found in the cache
    bursts: float = 1.0  # times the mean rate in a burst

    @cached_property
    def longest(self) -> int:
        """Return the tokens of the longest request, its prompt and its answer."""
        return max((one[1] + one[2] for one in self.arrivals), default=self.input_tokens + self.output_tokens)


@dataclass(frozen=True)
class Objectives:
    """What answers must keep to, in milliseconds; None where nothing is asked. `share` of the requests has to."""

    ttft_ms: float | None = None
    tpot_ms: float | None = None
    latency_ms: float | None = None
    share: float = 0.99


class StepTimes(Protocol):
    """How long one step of a replica takes, in seconds: a prefill of tokens, a decoding step of a batch."""

    @property
    def source(self) -> str:
        """What these times follow from."""
        ...

    def prefill_s(self, tokens: float, context: float) -> float:
        """Return how long a step takes that reads so many tokens of one prompt, behind `context` others."""
        ...

    def decode_s(self, sequences: float, context: float) -> float:
        """Return how long a step takes that adds a token to each sequence, whose mean length is `context`."""
        ...


@dataclass(frozen=True)
class Throughput:
    """What one replica does when it always has as many requests in flight as it holds."""

    tokens_per_s: Figure  # generated
    requests_per_s: Figure
    ttft_ms: Figure  # of a request that does not wait
    tpot_ms: Figure
    sequences: int  # in flight


@dataclass(frozen=True)
class Tails:
    """What a request of a given traffic meets at one replica, from a simulation: quantile -> milliseconds.

    `utilisation` is the share of the most that it can do; `busy` the share of time in which it does anything.
    """

    ttft_ms: Mapping[float, float]
    tpot_ms: Mapping[float, float]
    latency_ms: Mapping[float, float]
    share_within: float  # of requests that keep to all objectives
    utilisation: float
    busy: float = 1.0


@dataclass(frozen=True)
class Replicas:
    """How many replicas a traffic needs: `working` answer it, `spare` may be lost.

    `rolling` is what requests meet while one is replaced, which leaves before its successor comes, as GPUs are rarely
    free; None where it is the only one. With `surge` replicas more, the successor coming first, the limits hold.
    `fast` and `slow` are `tails` as they would be if steps took as much less or more time as they may, four times in
    five; times that grow without end are infinite. None where how long steps take is certain.
    """

    working: int
    spare: int
    surge: int
    rate_per_replica: Figure  # the highest within the objectives
    tails: Tails  # with the spare ones down
    tails_all_up: Tails
    fast: Tails | None = None
    slow: Tails | None = None
    rolling: Tails | None = None

    @property
    def total(self) -> int:
        """Replicas to run, without a roll-out's surge."""
        return self.working + self.spare


@dataclass(frozen=True)
class Candidate:
    """One way to serve a model on one kind of GPU; `problem` says why it cannot be, "" where it can.

    `replicas` answer the traffic in one place; costs and energy are of `by_region`, where it comes from several.
    """

    gpu: str  # generator.catalog.gpus' name
    serving: Serving
    memory: Memory
    problem: str = ""
    throughput: Throughput | None = None
    replicas: Replicas | None = None
    cost_per_million_tokens: Figure | None = None
    cost_per_million_requests: Figure | None = None
    cost_per_hour: Figure | None = None
    joules_per_token: Figure | None = None
    by_region: Mapping[str, int] = field(default_factory=dict)  # replicas that serve each one's users, spare ones too
    notes: tuple[str, ...] = field(default=())

    @property
    def fleet(self) -> int:
        """All replicas, those of all regions where there are several; 0 where it cannot be."""
        return sum(self.by_region.values()) or (self.replicas.total if self.replicas else 0)

    @property
    def gpus(self) -> int:
        """GPUs of all replicas; 0 where it cannot be."""
        return self.fleet * self.serving.spread.gpus
