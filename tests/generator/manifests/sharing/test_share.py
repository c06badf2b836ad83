"""What a server has of a GPU that it shares."""

import pytest

from tritonsmith.generator.catalog.gpus import GPUS, gpu_named
from tritonsmith.generator.catalog.mig import MIB
from tritonsmith.generator.manifests.sharing.share import kv_fraction, resource_of, share_of
from tritonsmith.generator.spec.sharing import Sharing

H100 = GPUS["H100-SXM-80GB"]
GB = 1e9


def test_the_limit_of_mps_is_what_the_daemon_sets() -> None:
    """An L40S of 10 replicas: `set_default_device_pinned_mem_limit 0 4606M` (k8s-device-plugin, issue 764)."""
    found = share_of(Sharing(mode="mps", replicas=10), gpu_named("L40S"))
    assert found.memory_bytes == 4606 * MIB
    assert (found.compute, found.is_enforced) == (0.1, True)


def test_a_third_of_the_processors_is_33_percent() -> None:
    assert share_of(Sharing(mode="mps", replicas=3), H100).compute == 0.33


def test_time_slicing_promises_what_nobody_enforces() -> None:
    found = share_of(Sharing(mode="time-slicing", replicas=4), H100)
    assert found.memory_bytes == H100.memory_bytes // 4 // MIB * MIB
    assert found.visible_bytes == H100.memory_bytes
    assert not found.is_enforced


def test_a_slice_is_all_that_is_seen_of_a_gpu() -> None:
    found = share_of(Sharing(mode="mig", profile="3g.40gb"), H100)
    assert found.memory_bytes == found.visible_bytes == 39.5 * 1024 * MIB
    assert (found.per_gpu, found.resource) == (2, "nvidia.com/mig-3g.40gb")


@pytest.mark.parametrize("mode", ["none", "instances"])
def test_who_does_not_share_between_pods_has_all(mode: str) -> None:
    found = share_of(Sharing.model_validate({"mode": mode}), H100)
    assert (found.memory_bytes, found.resource, found.per_gpu) == (H100.memory_bytes, "nvidia.com/gpu", 1)


@pytest.mark.parametrize(
    ("sharing", "resource"),
    [
        (Sharing(mode="mps"), "nvidia.com/gpu.shared"),
        (Sharing(mode="time-slicing"), "nvidia.com/gpu.shared"),
        (Sharing(mode="mig", profile="1g.10gb+me"), "nvidia.com/mig-1g.10gb.me"),
        (Sharing(mode="instances"), "nvidia.com/gpu"),
    ],
)
def test_a_share_has_a_name_of_its_own(sharing: Sharing, resource: str) -> None:
    assert resource_of(sharing) == resource


@pytest.mark.parametrize("count", [2, 3, 8])
def test_engines_that_take_turns_fit_together_with_the_fraction_of_their_share(count: int) -> None:
    share = share_of(Sharing(mode="time-slicing", replicas=count), H100)
    resident = 6 * GB
    fraction = kv_fraction(share, resident)
    assert 0 < fraction < 1 / count
    free = float(H100.memory_bytes)
    for _ in range(count):  # each takes its part of what it finds free, the weights being there
        free -= resident
        assert free > 0
        free -= fraction * free
    assert free > 0
    assert fraction * (H100.memory_bytes - resident) + resident <= share.memory_bytes


def test_what_sees_its_share_alone_keeps_the_default() -> None:
    for sharing in (Sharing(mode="mps", replicas=2), Sharing(mode="mig", profile="3g.40gb"), Sharing()):
        assert kv_fraction(share_of(sharing, H100), 6 * GB) == 0.9


def test_weights_beyond_the_share_leave_nothing() -> None:
    assert kv_fraction(share_of(Sharing(mode="time-slicing", replicas=8), H100), 16 * GB) == 0
