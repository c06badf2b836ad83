"""Labels and annotations that nodes and pods have of the programs around Triton."""

from __future__ import annotations

GPU_PRODUCT = "nvidia.com/gpu.product"  # Source: NVIDIA/k8s-device-plugin: docs/gpu-feature-discovery
# Source: lws: api/leaderworkerset/v1/leaderworkerset_types.go.
LWS_NAME = "leaderworkerset.sigs.k8s.io/name"
LWS_INDEX = "leaderworkerset.sigs.k8s.io/worker-index"  # "0" is the leader's
LWS_TOPOLOGY = "leaderworkerset.sigs.k8s.io/exclusive-topology"
LWS_SUBGROUP_TOPOLOGY = "leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology"
# Set by gpu-feature-discovery of how a node's GPUs are shared; `replicas` is that of one GPU.
# Source: k8s-device-plugin: README (catalog of labels), internal/lm/resource.go.
SHARING_STRATEGY = "nvidia.com/gpu.sharing-strategy"
SHARING_REPLICAS = "nvidia.com/gpu.replicas"
# Set by people: which of the device plugin's configurations, and which of mig-parted's, a node takes.
PLUGIN_CONFIG = "nvidia.com/device-plugin.config"
MIG_CONFIG = "nvidia.com/mig.config"
