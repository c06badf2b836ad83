"""mig-parted's configuration: into which slices the GPUs of a node are cut.

Source: mig-parted bd7160f: api/spec/v1/spec.go, deployments/systemd/config-default.yaml.
"""

from __future__ import annotations

from typing import Any

from tritonsmith.generator.catalog.mig import MigProfile

DISABLED = "all-disabled"  # the operator's default, which must be there


def mig_config(profile: MigProfile) -> dict[str, Any]:
    """Return a configuration that cuts every GPU of a node into as many slices of one kind as fit.

    It names no devices by their PCI ids: a node has one kind of GPU, and the number is that of the spec's.
    """
    cut = {"devices": "all", "mig-enabled": True, "mig-devices": {profile.name: profile.most}}
    return {
        "version": "v1",
        "mig-configs": {DISABLED: [{"devices": "all", "mig-enabled": False}], profile.label: [cut]},
    }
