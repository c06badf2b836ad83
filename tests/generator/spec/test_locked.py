"""Which settings of a lock are believed."""

import pytest

from tritonsmith.generator.spec.locked import are_settings


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"triton": "24.10", "deploy": {"replicas": 3, "gpus": {"resource": "nvidia.com/mig-1g.10gb"}}},
        {"calls": {"router": ["a", "b"]}, "server": {"exit_timeout_s": 5}},
    ],
)
def test_what_a_build_writes_is_believed(settings: object) -> None:
    assert are_settings(settings)


@pytest.mark.parametrize(
    "settings",
    [
        [],
        {"triton": 24.10},
        {"deploy": {"replicas": 0}},
        {"deploy": {"replica": 1}},
        {"deploy": {"repository": {"claim": "a", "volume": "b"}}},
        {"hardware": {"count": 0}},
        {"calls": {"router": "a"}},
    ],
)
def test_what_no_build_writes_is_not(settings: object) -> None:
    assert not are_settings(settings)
