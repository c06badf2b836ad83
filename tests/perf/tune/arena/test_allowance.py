"""A calibration keeps to its time, on models that are made up and a clock that runs as told."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.counters import ModelCounters
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.streams import Goals
from tritonsmith.perf.simulate.calibration import Probe
from tritonsmith.perf.tune.arena.allowance import Allowance, Plan, affordable
from tritonsmith.perf.tune.arena.journal import Journal
from tritonsmith.perf.tune.arena.predict import Calibrated, Predictor
from tritonsmith.perf.tune.arena.probes import Work, contention_of, latency_as_served, probe_works, works_of
from tritonsmith.perf.tune.core import Candidate
from tritonsmith.perf.variants import changed_configs

STEP = """backend: "python" max_batch_size: 8 dynamic_batching {} instance_group [{kind: KIND_CPU count: 1}]"""
BASE = {name: text_format.Parse(f'name: "{name}" {STEP}', ModelConfig()) for name in ("m", "n", "o")}
OTHER_FILE, FOUR = {"models.m.default_model_filename": "int8.onnx"}, {"models.n.instance_group.count": 4}
WORKS = list(works_of(list(BASE), [BASE, *(BASE | changed_configs(one, BASE) for one in (OTHER_FILE, FOUR))], {}))
FULL = 4 * 2 * 3 + 2 + 2 * 2  # levels, rounds and models; the other file; two and four instances in two rounds


@dataclass
class Machine:
    """Computes 1 ms and 0.2 ms a row, twice that with four instances; each probe takes `probe_s`, more or less."""

    probe_s: float = 1.0
    jitter: float = 0.0
    spent_s: float = 0.0
    asked: list[tuple[str, str, int, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draw = random.Random(1)

    def measure(self, work: Work, instances: int, clients: int, number: int) -> Probe:
        self.asked.append((work.model, work.config.default_model_filename, instances, clients, number))
        self.spent_s += self.probe_s * math.exp(self.draw.gauss(0, self.jitter))
        return probe(clients, instances)


def probe(clients: int, instances: int = 1) -> Probe:
    rows, count = min(8, clients), 300
    batch_us = (1000 + 200 * rows) * (2 if instances == 4 else 1)
    counters = ModelCounters(
        rows * count, 0, 0, rows * count, count, {}, {rows: count}, {rows: count * batch_us * 1000}, 0, 0
    )
    return Probe(clients, rows * instances / batch_us * 1e6, np.full(100, float(batch_us)), counters)


def calibrated(machine: Machine, until_s: float = math.inf) -> Calibrated:
    services, slowdowns = probe_works(WORKS, 2, machine.measure, Allowance(lambda: machine.spent_s, until_s))
    return Calibrated("m", BASE, services, contention_of(slowdowns), 1200.0, {})


def test_with_time_enough_everything_is_probed() -> None:
    machine = Machine()
    found = calibrated(machine)
    assert len(machine.asked) == len(set(machine.asked)) == FULL
    assert found.contention.factors[3] == pytest.approx(2.0)
    assert calibrated(Machine(), 1000.0) == found


@pytest.mark.parametrize("until_s", [20.0, 30.0, 45.0, 60.0])
@pytest.mark.parametrize("probe_s", [1.0, 2.0])
def test_a_busy_machine_makes_fewer_probes_in_the_time_that_is_allowed(until_s: float, probe_s: float) -> None:
    machine = Machine(probe_s, jitter=0.2)
    calibrated(machine, until_s)
    assert machine.spent_s <= until_s + 2 * probe_s
    assert machine.spent_s >= min(until_s, FULL * probe_s) * 0.6


def test_without_time_each_model_is_still_probed_alone_and_full() -> None:
    machine = Machine()
    found = calibrated(machine, 0.0)
    assert [(model, clients) for model, _, _, clients, _ in machine.asked] == [
        (model, clients) for model in BASE for clients in (1, 25)
    ]
    assert {model for model, _ in found.services} == set(BASE)


def test_what_was_not_probed_is_predicted_from_what_was() -> None:
    predict = Predictor(calibrated(Machine(), 0.0), Goals())
    same, load = predict(Candidate("as it is", {}), Load("concurrency", 8)), Load("concurrency", 8)
    assert predict(Candidate("other", OTHER_FILE), load).throughput_per_s == pytest.approx(same.throughput_per_s)


def test_rounds_are_dropped_first_then_levels_then_numbers_of_instances() -> None:
    machine = Machine()
    calibrated(machine, 24.0)
    assert {(number, clients) for model, *_, clients, number in machine.asked if model == "m"} == {
        (0, clients) for clients in (1, 4, 9, 25)
    }
    whole = Plan(3, (1, 25, 4, 9), (2, 4))
    assert affordable(whole, math.inf) == whole
    assert affordable(whole, 14) == Plan(2, whole.levels, whole.counts)
    assert affordable(whole, 8) == Plan(1, whole.levels, whole.counts)
    assert affordable(whole, 7) == Plan(1, (1, 25, 4), (2, 4))
    assert affordable(whole, 4) == Plan(1, (1, 25), (4,))
    assert affordable(whole, -5) == Plan(1, (1, 25), ())


def test_the_latency_as_served_is_seen_once_at_least() -> None:
    machine = Machine(4.0)

    def alone(number: int) -> Probe:
        return machine.measure(WORKS[0], 1, 1, number)

    assert latency_as_served(alone, 3, 2, Allowance(lambda: machine.spent_s, 5.0)) == 1200
    assert len(machine.asked) == 1
    latency_as_served(alone, 3, 2, Allowance(lambda: machine.spent_s))
    assert len(machine.asked) == 1 + 3


def test_a_journal_replays_what_was_decided_however_long_the_replay_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(machine: Machine) -> Mapping[tuple[str, str], Any]:
        journal = Journal(tmp_path, "mine")

        def measure(work: Work, instances: int, clients: int, number: int) -> Probe:
            question = {"work": work.key, "model": work.model, "round": [instances, clients, number]}
            if journal.answer(question) is None:
                machine.measure(work, instances, clients, number)
                journal.add(question, {}, machine.spent_s)
            return probe(clients, instances)

        return probe_works(WORKS, 2, measure, Allowance(lambda: journal.spent_s, 31.0))[0]

    first, again = Machine(1.7, jitter=0.3), Machine(5.0)
    assert run(first) == run(again)
    assert first.asked and not again.asked
    assert "asked otherwise" not in capsys.readouterr().err
