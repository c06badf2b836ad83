"""What a plan says of sharing: a slice where a replica hardly uses its GPU, and why not where it does."""

from dataclasses import replace

import pytest

from tests.perf.plan.small_models import DENSE, quick, write_config
from tritonsmith.perf.plan.core import Candidate, Objectives, Traffic
from tritonsmith.perf.plan.models.read import read_model
from tritonsmith.perf.plan.options import Wishes
from tritonsmith.perf.plan.plan import find
from tritonsmith.perf.plan.show.sharing_advice import chosen_text, needed_bytes, sharing_advice

TRAFFIC = Traffic(2, 200, 20)


@pytest.fixture(scope="module")
def pick(tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    tmp_path = tmp_path_factory.mktemp("model")
    wishes = Wishes(("H100-SXM-80GB",), TRAFFIC, Objectives(ttft_ms=500), max_gpus=1)
    found = find(read_model(write_config(tmp_path, DENSE)), wishes, quick).pick
    assert found is not None
    return found


def busy(pick: Candidate, share: float, replicas: int = 2) -> Candidate:
    assert pick.replicas is not None
    tails = replace(pick.replicas.tails_all_up, utilisation=share)
    return replace(pick, replicas=replace(pick.replicas, working=replicas, spare=0, tails_all_up=tails))


def test_engines_that_are_idle_most_of_the_time_are_advised_the_smallest_slice_that_holds_them(pick: Candidate) -> None:
    idle = busy(pick, 0.05)
    assert idle.replicas is not None
    found = sharing_advice(idle, idle.replicas, TRAFFIC)
    assert found.sharing.mode == "mig"
    assert "memory's bandwidth" in found.reason


def test_busy_engines_keep_their_gpus(pick: Candidate) -> None:
    worked = busy(pick, 0.7)
    assert worked.replicas is not None
    found = sharing_advice(worked, worked.replicas, TRAFFIC)
    assert found.sharing.mode == "none"
    assert [mode for mode, _ in found.others] == ["mig", "instances", "mps", "time-slicing"]


def test_the_cache_of_what_is_in_flight_is_counted_and_no_more(pick: Candidate) -> None:
    assert pick.replicas is not None
    needed = needed_bytes(pick, pick.replicas, TRAFFIC)
    held = sum(part.bytes.value for part in pick.memory.parts)
    assert held < needed < pick.memory.gpu_bytes
    assert needed_bytes(pick, pick.replicas, replace(TRAFFIC, rate_per_s=1e4)) > needed


def test_of_slices_and_shares_that_were_asked_for_it_is_told_what_they_are_like() -> None:
    assert chosen_text("L40S/mps:4").startswith("GPU sharing: mps of 4\n  isolation: memory beyond a share is refused")
    assert "latency: steady" in chosen_text("H100-SXM-80GB/mig:3g.40gb")
