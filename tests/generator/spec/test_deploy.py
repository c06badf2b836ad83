"""What the spec's `deploy:` takes, and what it refuses before it could reach a manifest."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tritonsmith.generator.spec.deploy import Deploy
from tritonsmith.generator.spec.read import read_spec


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"image": "registry.example:5000/team/digits:7"},
        {"repository": {"claim": "models", "path": "chat/7/"}},
        {"repository": {"store": "s3://https://minio.example:9000/bucket/path"}},
        {"gpus": {"resource": "nvidia.com/mig-1g.10gb.me", "products": ["NVIDIA-A100-SXM4-80GB"]}},
        {"group_topology": "cloud.google.com/gke-nodepool"},
    ],
)
def test_what_is_usual_is_taken(said: dict[str, Any]) -> None:
    assert Deploy.model_validate(said)


@pytest.mark.parametrize(
    "said",
    [
        {"image": "two words"},
        {"image": "a@sha256:" + "0" * 64, "digest": "sha256:" + "0" * 64},
        {"repository": {"store": "s3://KEY:SECRET@host:9000/bucket/path"}},  # manifests are committed
        {"repository": {"store": "https://bucket/path"}},
        {"repository": {"claim": "models", "path": "../other"}},
        {"repository": {"claim": "models", "path": "a/../b"}},
        {"repository": {"claim": "models", "volume": "image"}},
        {"namespace": "a.b"},
        {"namespace": "a" * 56},
        {"kubernetes": "1.31.2"},
        {"load_mib_per_s": 0},
        {"load_mib_per_s": float("inf")},
        {"replicas": 0},
        {"gpus": {"resource": "nvidia.com/"}},
        {"gpus": {"products": ["NVIDIA A100"]}},
        {"autoscale": {"minimum": 3, "maximum": 2}},
        {"regions": {"eu": {"spill_to": "us"}}},
    ],
)
def test_what_no_cluster_takes_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Deploy.model_validate(said)


def test_a_url_s_password_is_not_repeated(write_spec: Callable[[str], Path]) -> None:
    spec = write_spec("models: {}\ndeploy: {repository: {store: 's3://KEY:SECRET@host:9000/bucket/path'}}\n")
    (said,) = map(str, read_spec(spec).findings)
    assert "deploy.repository.store" in said
    assert "SECRET" not in said
