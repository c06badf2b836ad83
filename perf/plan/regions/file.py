"""Regions as a person writes them: each one's part of the traffic, and the network's round trips, as YAML."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tritonsmith.generator.errors import SpecError, UsageError
from tritonsmith.generator.findings import Finding, Place, error
from tritonsmith.generator.spec import tree
from tritonsmith.generator.spec.deploy import KubernetesName
from tritonsmith.generator.spec.settings import Flag, Settings, read_settings
from tritonsmith.generator.suggest import did_you_mean
from tritonsmith.perf.plan.regions.core import Regions

EXAMPLE = (
    "regions: {eu: {share: 60, round_trip_ms: {eu: 10, us: 90}}, us: {share: 40, round_trip_ms: {us: 10, eu: 90}}}"
)


class RegionWritten(Settings):
    """A region: its part of the traffic, and milliseconds from its users to each region's replicas, its own too."""

    share: float = Field(gt=0, allow_inf_nan=False)
    round_trip_ms: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]


class RegionsWritten(Settings):
    """All regions, by name."""

    regions: dict[KubernetesName, RegionWritten] = Field(min_length=1)
    survive: Flag = Field(False, description="replicas enough that the loss of any one region finds room for all")


def read_regions(path: Path) -> Regions:
    """Return each region's share of the traffic, and the matrix of round trips.

    Raises: UsageError where there is no file; SpecError for one that does not say them, every mistake at its line.
    """
    if not path.is_file():
        raise UsageError(f"--regions: there is no file {path}", hint=f"regions are YAML: {EXAMPLE}")
    findings: list[Finding] = []
    root = tree.parse_tree(tree.read_text(path), str(path), findings).without_nulls()
    written = read_settings(RegionsWritten, root, "traffic", findings)
    if written is not None and not findings:
        findings += _holes(written, root)
    if written is None or findings:
        raise SpecError("the regions cannot be read", where=str(path), findings=findings, hint=f"e.g. {EXAMPLE}")
    shares = {name: region.share for name, region in written.regions.items()}
    return Regions(shares, {name: region.round_trip_ms for name, region in written.regions.items()}, written.survive)


def _holes(written: RegionsWritten, root: tree.Mapping) -> Iterator[Finding]:
    """Yield the round trips that lack, and those to regions that there are none of."""
    names = list(written.regions)
    for home, region in written.regions.items():
        where, key = _place(root, home), f"regions.{home}.round_trip_ms"
        for other in region.round_trip_ms.keys() - set(names):
            remedy = f"there are {', '.join(names)}"
            yield error(f"'{other}' is no region.{did_you_mean(other, names)}", where, key=key, remedy=remedy)
        missing = [other for other in names if other not in region.round_trip_ms]
        if missing:
            remedy = f"say how far it is: {missing[0]}: 90"
            yield error(f"no round trip from {home} to {', '.join(missing)}", where, key=key, remedy=remedy)


def _place(root: tree.Mapping, name: str) -> Place:
    regions = root.entries["regions"]
    return regions.place_of(name) if isinstance(regions, tree.Mapping) else root.place
