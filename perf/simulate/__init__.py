"""A discrete-event simulation of Triton's schedulers: what latency and throughput would be, without a server."""

from tritonsmith.perf.simulate.configuration import read_system
from tritonsmith.perf.simulate.fleet import FleetSize, highest_rate, replicas_for
from tritonsmith.perf.simulate.outcome import ModelOutcome, Outcome, TrafficOutcome
from tritonsmith.perf.simulate.service import Contention, Overhead, ServiceTimes, cores, service_times
from tritonsmith.perf.simulate.simulate import simulate
from tritonsmith.perf.simulate.system import (
    DirectSequences,
    DynamicBatching,
    OldestSequences,
    QueuePolicy,
    RateLimit,
    SimulatedEnsemble,
    SimulatedModel,
    Step,
    System,
)
from tritonsmith.perf.simulate.traffic import Bursty, ClosedLoop, Constant, Poisson, Trace, Traffic

__all__ = [
    "Bursty",
    "ClosedLoop",
    "Constant",
    "Contention",
    "DirectSequences",
    "DynamicBatching",
    "FleetSize",
    "ModelOutcome",
    "OldestSequences",
    "Outcome",
    "Overhead",
    "Poisson",
    "QueuePolicy",
    "RateLimit",
    "ServiceTimes",
    "SimulatedEnsemble",
    "SimulatedModel",
    "Step",
    "System",
    "Trace",
    "Traffic",
    "TrafficOutcome",
    "cores",
    "highest_rate",
    "read_system",
    "replicas_for",
    "service_times",
    "simulate",
]
