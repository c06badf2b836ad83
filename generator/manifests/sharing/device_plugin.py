"""The device plugin's configuration: how often a GPU is handed out, or that its slices are.

Source: k8s-device-plugin 1b826ac: api/config/v1 (config.go, sharing.go, replicas.go), README (Shared Access to GPUs).
"""

from __future__ import annotations

from typing import Any

from tritonsmith.generator.manifests.sharing.share import WHOLE
from tritonsmith.generator.spec.sharing import Sharing

UNSHARED = "none"  # the configuration of nodes that have no label
_METHODS = {"mps": "mps", "time-slicing": "timeSlicing"}


def config_name(sharing: Sharing) -> str:
    """Return the name of a configuration, which nodes are labelled with: mps-4, time-slicing-2, mig."""
    return f"{sharing.mode}-{sharing.shares}" if sharing.shares > 1 else sharing.mode


def plugin_config(sharing: Sharing) -> dict[str, Any]:
    """Return the configuration of nodes whose GPUs are shared so.

    Shares are renamed to nvidia.com/gpu.shared: who asks for nvidia.com/gpu means a whole one, and the product's label
    stays as it is. To ask for two is refused, since two shares may be of one GPU; MPS does so by default, time-slicing
    does not. Sharing by MPS is not possible on a node that hands out MIG slices, hence migStrategy none.
    """
    document: dict[str, Any] = {"version": "v1", "flags": {"migStrategy": "mixed" if sharing.mode == "mig" else "none"}}
    if sharing.mode in _METHODS:
        shared = {
            "renameByDefault": True,
            "failRequestsGreaterThanOne": True,
            "resources": [{"name": WHOLE, "replicas": sharing.shares}],
        }
        document["sharing"] = {_METHODS[sharing.mode]: shared}
    return document
