"""What NVIDIA's GPU operator is told: ConfigMaps in its namespace, a patch of its ClusterPolicy, labels of nodes.

Source: gpu-operator a22dbf6: api/nvidia/v1/clusterpolicy_types.go, assets/state-{device-plugin,mig-manager}.
"""

from __future__ import annotations

from typing import Any

from tritonsmith.generator.catalog.labels import MIG_CONFIG, PLUGIN_CONFIG
from tritonsmith.generator.catalog.mig import MigProfile
from tritonsmith.generator.manifests.sharing.device_plugin import UNSHARED, config_name, plugin_config
from tritonsmith.generator.manifests.sharing.mig_parted import DISABLED, mig_config
from tritonsmith.generator.manifests.yaml_text import to_yaml
from tritonsmith.generator.spec.sharing import Sharing

NAMESPACE = "gpu-operator"
MIG_FILE = "config.yaml"  # the only key that its MIG manager reads
PLUGIN_DAEMON, POLICY = "nvidia-device-plugin-daemonset", "clusterpolicies.nvidia.com/cluster-policy"
Document = dict[str, Any]


def config_maps(name: str, sharing: Sharing, profile: MigProfile | None) -> list[Document]:
    """Return the ConfigMap of the device plugin, or of the MIG manager; none where GPUs are not shared.

    The plugin's has a configuration `none` too: without a default, and with one configuration alone, the plugin's own
    chart would give that to every node.
    """
    if sharing.mode in ("mps", "time-slicing"):
        configs = {UNSHARED: plugin_config(Sharing()), config_name(sharing): plugin_config(sharing)}
        return [_config_map(plugin_map(name), {key: plain_yaml(config) for key, config in configs.items()})]
    if profile is not None:
        return [_config_map(mig_map(name), {MIG_FILE: plain_yaml(mig_config(profile))})]
    return []


def policy_patch(name: str, sharing: Sharing) -> Document:
    """Return the merge patch of the ClusterPolicy that makes the operator use them; empty where there is nothing to."""
    if sharing.mode in ("mps", "time-slicing"):
        return {"spec": {"devicePlugin": {"config": {"name": plugin_map(name), "default": UNSHARED}}}}
    if sharing.mode == "mig":
        manager = {"config": {"name": mig_map(name), "default": DISABLED}}
        return {"spec": {"mig": {"strategy": "mixed"}, "migManager": manager}}
    return {}


def node_labels(sharing: Sharing, profile: MigProfile | None) -> dict[str, str]:
    """Return the labels by which a node takes part."""
    if sharing.mode in ("mps", "time-slicing"):
        return {PLUGIN_CONFIG: config_name(sharing)}
    return {MIG_CONFIG: profile.label} if profile is not None else {}


def commands(sharing: Sharing, profile: MigProfile | None) -> list[str]:
    """Return the commands that bring it about, in order; run beside the written files, NODE is a node's name."""
    labels = " ".join(f"{key}={value}" for key, value in node_labels(sharing, profile).items())
    if not labels:
        return []
    found = ["kubectl apply -k sharing"]
    found.append(f"kubectl patch {POLICY} --type merge --patch-file sharing/cluster_policy.patch.yaml")
    found += ["kubectl drain NODE --ignore-daemonsets --delete-emptydir-data"] if sharing.mode == "mig" else []
    found.append(f"kubectl label node NODE --overwrite {labels}")
    if sharing.mode == "mig":
        found.append(f"kubectl get node NODE -L {MIG_CONFIG}.state  # success, after a minute or a reboot")
        found.append("kubectl uncordon NODE")
    else:  # the operator does not look at a ConfigMap again
        found.append(f"kubectl -n {NAMESPACE} rollout restart daemonset/{PLUGIN_DAEMON}  # after later changes")
    return found


def plugin_map(name: str) -> str:
    """Return the name of the device plugin's ConfigMap."""
    return f"{name}-device-plugin"


def mig_map(name: str) -> str:
    """Return the name of the MIG manager's ConfigMap."""
    return f"{name}-mig-parted"


def plain_yaml(document: Document) -> str:
    """Return one document as YAML, without `---`: a file of its own."""
    return to_yaml([document]).removeprefix("---\n")


def _config_map(name: str, data: dict[str, str]) -> Document:
    head = {"name": name, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/managed-by": "tritonsmith"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": head, "data": data}
