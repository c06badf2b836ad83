"""The spec's `sharing:`: how one GPU serves several servers, or several models of one."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from tritonsmith.generator.findings import Finding
from tritonsmith.generator.spec.settings import Settings, read_settings
from tritonsmith.generator.spec.tree import Mapping, Node, Scalar

Mode = Literal["none", "instances", "mps", "time-slicing", "mig"]
# Source: mig-parted: api/spec/v1, deployments/systemd/config-default.yaml (1g.10gb, 1g.24gb+me.all, 1g.24gb-me).
PROFILE = r"^[1-7]g\.[1-9][0-9]{0,3}gb([+-](me\.all|me|gfx))*$"
LEAST_SHARES = 2
# Source: k8s-device-plugin: cmd/mps-control-daemon/mps/device.go (maxClients; 16 before compute capability 7.5).
MOST_MPS_SHARES = 48


class Sharing(Settings):
    """How a GPU is shared. `none` and `instances` need nothing of the cluster: a pod has whole GPUs.

    `instances`: one server, several models or instances. `mps`: servers at the same time, each with an equal part of
    memory and of the processors. `time-slicing`: servers in turn, nothing parted. `mig`: a slice for each, parted in
    hardware.
    """

    mode: Mode = "none"
    profile: str = Field("", pattern=f"{PROFILE}|^$", description="mig: a slice's name, e.g. 1g.10gb")
    replicas: int | None = Field(
        None,
        ge=LEAST_SHARES,
        description=f"mps, time-slicing: so many servers share a GPU; by default {LEAST_SHARES}",
    )

    @model_validator(mode="before")
    @classmethod
    def _reads_short_form(cls, given: Any) -> Any:
        """Take `mig:1g.10gb` for a mode and its profile."""
        mode, _, after = str(given.get("mode", "")).partition(":") if isinstance(given, dict) else ("", "", "")
        if mode == "mig" and after and "profile" not in given:
            return {**given, "mode": mode, "profile": after}
        if mode in ("mps", "time-slicing") and after:
            raise ValueError(f"the number of servers stands apart: sharing: {{mode: {mode}, replicas: {after}}}")
        return given

    @model_validator(mode="after")
    def _has_what_its_mode_takes(self) -> Sharing:
        if self.mode == "mig" and not self.profile:
            raise ValueError("mig needs the slice's name: sharing: mig:1g.10gb")
        if self.mode != "mig" and self.profile:
            raise ValueError(f"profile names a MIG slice, and the mode is {self.mode}: sharing: mig:{self.profile}")
        if self.replicas is not None and self.mode not in ("mps", "time-slicing"):
            why = "a slice's name says how many a GPU has" if self.mode == "mig" else "it has no shares"
            raise ValueError(f"replicas belongs to mps and time-slicing, not to {self.mode}: {why}")
        if self.mode == "mps" and self.shares > MOST_MPS_SHARES:
            raise ValueError(f"a GPU has at most {MOST_MPS_SHARES} clients by MPS, not {self.shares}")
        return self

    @property
    def shares(self) -> int:
        """How many servers share a GPU by MPS or time-slicing; 1 where it is not shared, or in slices of its own."""
        return (self.replicas or LEAST_SHARES) if self.mode in ("mps", "time-slicing") else 1

    @property
    def is_shared(self) -> bool:
        """Whether a pod gets less than a whole GPU."""
        return self.mode in ("mps", "time-slicing", "mig")

    def __str__(self) -> str:
        if self.mode == "mig":
            return f"mig:{self.profile}"
        return f"{self.mode} of {self.shares}" if self.is_shared else self.mode


def read_sharing(node: Node, key: str, findings: list[Finding]) -> Sharing | None:
    """Return `sharing: mps` or `sharing: {mode: mps, replicas: 4}`; None, and findings, where it is neither."""
    if isinstance(node, Scalar):
        if not node.is_given:
            return Sharing()
        node = Mapping({"mode": node}, node.place)
    return read_settings(Sharing, node, key, findings)
