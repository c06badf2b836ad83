"""Regions as a person writes them: each one's part of the traffic, and the network's round trips, as YAML."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from tritonsmith.generator.errors import SpecError, UsageError
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.spec import tree
from tritonsmith.generator.spec.deploy import KubernetesName
from tritonsmith.generator.spec.settings import Settings, read_settings
from tritonsmith.perf.plan.regions.split import RoundTrips

EXAMPLE = (
    "regions: {eu: {share: 60, round_trip_ms: {eu: 10, us: 90}}, us: {share: 40, round_trip_ms: {us: 10, eu: 90}}}"
)


class RegionWritten(Settings):
    """A region: its part of the traffic, and milliseconds from its users to each region's replicas, its own too."""

    share: float = Field(gt=0, allow_inf_nan=False)
    round_trip_ms: dict[str, float]


class RegionsWritten(Settings):
    """All regions, by name."""

    regions: dict[KubernetesName, RegionWritten] = Field(min_length=1)


def read_regions(path: Path) -> tuple[dict[str, float], RoundTrips]:
    """Return each region's share of the traffic, and the matrix of round trips.

    Raises: UsageError where there is no file; SpecError for one that does not say them, every mistake at its line.
    """
    if not path.is_file():
        raise UsageError(f"--regions: there is no file {path}", hint=f"regions are YAML: {EXAMPLE}")
    findings: list[Finding] = []
    root = tree.parse_tree(tree.read_text(path), str(path), findings).without_nulls()
    found = read_settings(RegionsWritten, root, "traffic", findings)
    if found is None or findings:
        raise SpecError("the regions cannot be read", where=str(path), findings=findings, hint=f"e.g. {EXAMPLE}")
    shares = {name: region.share for name, region in found.regions.items()}
    return shares, {name: region.round_trip_ms for name, region in found.regions.items()}
