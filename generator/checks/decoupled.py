"""Which ensembles are decoupled, and where their streams meet what must not meet them.

Triton infers it from the steps; what an ensemble's own model_transaction_policy says is overwritten.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.checks.case import Case
from tritonsmith.generator.checks.rules.ensembles.nesting import in_order

_SINK = None  # the response: it reads all of the ensemble's outputs


@dataclass
class _Tensor:
    """A tensor on the way from request to response; `stream` is which decoupled step it comes from, 0 for none."""

    step: int = -1
    stream: int = 0
    is_visited: bool = False
    sources: list[str] = field(default_factory=list)
    readers: list[str | None] = field(default_factory=list)


@dataclass(frozen=True)
class Streams:
    """What follows from the decoupled steps of an ensemble.

    `meeting` is the index of the step (as many as there are steps: the response) that reads tensors of different
    streams, None where none does.
    """

    is_decoupled: bool
    meeting: int | None = None


def decoupled_models(case: Case) -> frozenset[str]:
    """Return the models that may answer a request with any number of responses, ensembles by their steps."""
    ensembles = {name: config for name, config in case.configs.items() if config.platform == "ensemble"}
    steps = {name: _names(config) for name, config in ensembles.items()}
    found = {
        name
        for name, config in case.configs.items()
        if name not in ensembles and config.model_transaction_policy.decoupled
    }
    for name in in_order(steps)[0] if found else ():
        if not found.isdisjoint(steps[name]) and _streams(ensembles[name], found).is_decoupled:
            found.add(name)
    return frozenset(found)


def streams_of(case: Case, config: ModelConfig) -> Streams:
    """Return the streams of an ensemble."""
    if case.decoupled.isdisjoint(_names(config)):
        return Streams(False)
    return _streams(config, case.decoupled)


def _names(config: ModelConfig) -> tuple[str, ...]:
    return tuple({step.model_name for step in config.ensemble_scheduling.step})


def _streams(config: ModelConfig, decoupled: Container[str]) -> Streams:
    return _follow(config, [step.model_name in decoupled for step in config.ensemble_scheduling.step])


def _follow(config: ModelConfig, is_decoupled: Sequence[bool]) -> Streams:
    """Follow the tensors from the request on, each as soon as all that its step reads is there.

    Source: core: ensemble_utils.cc (ValidateEnsembleConfig).
    """
    steps = config.ensemble_scheduling.step
    tensors = _linked(config)
    streams, step_streams = 0, dict[int, int]()
    queue = [tensors[given.name] for given in config.input]
    for tensor in queue:
        tensor.is_visited = True
    for tensor in queue:  # it grows on the way
        for name in tensor.readers:
            reader = tensors[name]
            before = [tensors[source] for source in reader.sources]
            if reader.is_visited or not all(source.is_visited for source in before):
                continue
            stream = before[0].stream
            if any(source.stream != stream for source in before):
                return Streams(True, len(steps) if name is _SINK else reader.step)
            if name is not _SINK and is_decoupled[reader.step] and reader.step not in step_streams:
                streams += 1
                stream = streams
            reader.stream = step_streams.setdefault(reader.step, stream)
            reader.is_visited = True
            queue.append(reader)
    return Streams(streams > 0)


def _linked(config: ModelConfig) -> dict[str | None, _Tensor]:
    outputs = [made.name for made in config.output]
    tensors: dict[str | None, _Tensor] = {name: _Tensor() for name in outputs}
    tensors |= {given.name: _Tensor() for given in config.input}
    tensors[_SINK] = _Tensor(len(config.ensemble_scheduling.step), sources=outputs)
    for index, step in enumerate(config.ensemble_scheduling.step):
        for written in step.output_map.values():
            tensor = tensors.setdefault(written, _Tensor())
            tensor.step = index
            tensor.sources += step.input_map.values()
        for read in step.input_map.values():
            tensors.setdefault(read, _Tensor()).readers += step.output_map.values()
    for name in outputs:
        tensors[name].readers.append(_SINK)
    return tensors
