"""What a packing says of sharing: one owner's models are one server's, several owners' GPUs may be slices of fewer."""

from dataclasses import replace

import pytest

from tritonsmith.perf.plan.core import exact
from tritonsmith.perf.plan.packing.core import ANY, Fleet, Kind, Tenant
from tritonsmith.perf.plan.packing.pack import pack
from tritonsmith.perf.plan.packing.sharing import packing_advice, sharing_data, sharing_lines

GIB = 1 << 30


def tenant(name: str, owner: str = "", gib: float = 4, rate: float = 15) -> Tenant:
    return Tenant(name, exact(gib * GIB, "given"), rate, {ANY: 0.005}, limit_s=0.1, owner=owner)


def advised(*tenants: Tenant, gpu: str = "H100-SXM-80GB") -> list[tuple[str, str]]:
    fleet = Fleet(tenants, (Kind(gpu, 78 * GIB, 8),))
    return [(str(found.sharing), found.reason) for _, found in packing_advice(pack(fleet), fleet)]


def test_models_of_one_owner_are_one_servers() -> None:
    ((sharing, reason),) = advised(tenant("detector"), tenant("embedder"))
    assert sharing == "instances"
    assert reason.startswith("one owner, 2 are busy for 15% of a GPU's time")


def test_owners_that_share_no_gpu_may_have_slices_of_one() -> None:
    ((sharing, reason),) = advised(tenant("detector", "a"), tenant("embedder", "b"))
    assert sharing == "mig:1g.10gb"
    assert "strangers" in reason
    ((larger, _),) = advised(tenant("detector", "a", gib=12), tenant("embedder", "b"))
    assert larger == "mig:1g.20gb"


@pytest.mark.parametrize(
    "tenants",
    [
        (tenant("detector"),),
        (tenant("detector", "a", rate=150), tenant("embedder", "b")),  # 0.75 of a GPU: no slice has as much
        (replace(tenant("detector"), rate_per_s=0.0, limit_s=float("inf")),),
    ],
)
def test_where_there_is_nothing_to_say_nothing_is_said(tenants: tuple[Tenant, ...]) -> None:
    assert advised(*tenants) == []


def test_a_gpu_that_cannot_be_cut_or_is_not_known_has_no_slices() -> None:
    apart = (tenant("detector", "a"), tenant("embedder", "b"))
    assert advised(*apart, gpu="L40S") == []
    assert advised(*apart, gpu="some-other") == []


def test_the_advice_is_told_with_what_speaks_for_it() -> None:
    fleet = Fleet((tenant("detector", "a"), tenant("embedder", "b")), (Kind("H100-SXM-80GB", 78 * GIB, 8),))
    text = "\n".join(sharing_lines(pack(fleet), fleet))
    assert [
        word for word in ("isolation:", "density:", "latency:", "{H100-SXM-80GB/mig:1g.10gb: 7}") if word not in text
    ] == []
    assert sharing_data(pack(fleet), fleet)[0]["sharing"] == "mig:1g.10gb"
