"""Labels and annotations that nodes and pods have of the programs around Triton."""

from __future__ import annotations

GPU_PRODUCT = "nvidia.com/gpu.product"  # Source: NVIDIA/k8s-device-plugin: docs/gpu-feature-discovery
# Source: lws: api/leaderworkerset/v1/leaderworkerset_types.go.
LWS_NAME = "leaderworkerset.sigs.k8s.io/name"
LWS_INDEX = "leaderworkerset.sigs.k8s.io/worker-index"  # "0" is the leader's
LWS_TOPOLOGY = "leaderworkerset.sigs.k8s.io/exclusive-topology"
LWS_SUBGROUP_TOPOLOGY = "leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology"
