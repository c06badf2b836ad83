import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.generator.manifests.kubernetes.kustomized import applied, documents
from tests.generator.manifests.kubernetes.shapes import REFUSED, every_case, files_of, workload
from tests.generator.manifests.kubernetes.validation import VERSIONS, faults
from tritonsmith.generator.checks.manifests.kustomize import build
from tritonsmith.generator.checks.manifests.nodes import typed
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.manifests.kubernetes.changes import key_of
from tritonsmith.generator.manifests.kubernetes.files import objects_of, render
from tritonsmith.generator.manifests.kubernetes.regions import regional
from tritonsmith.generator.manifests.kubernetes.spill import spill_rules
from tritonsmith.generator.spec.tree import parse_documents

CASES = list(every_case())
RECORDED = Path(__file__).with_name("recorded")


@cache
def documents_in(text: bytes) -> list[dict[str, Any]]:
    return documents(text)


def kustomizations(files: Mapping[str, bytes]) -> Iterator[str]:
    return (path.rpartition("/")[0] for path in files if path.endswith("kustomization.yaml"))


def everything(shape: str, way: str) -> Iterator[dict[str, Any]]:
    """Yield what is written, and what kustomize makes of it."""
    files = files_of(shape, way)
    for path, text in files.items():
        if path.endswith(".yaml") and "values" not in path:
            yield from documents_in(text)
    for folder in kustomizations(files):
        yield from made(shape, way, folder)


@cache
def made(shape: str, way: str, folder: str) -> list[dict[str, Any]]:
    return applied(files_of(shape, way), folder)


@pytest.mark.parametrize(("shape", "way"), CASES)
def test_every_version_of_kubernetes_takes_all_that_is_written(shape: str, way: str) -> None:
    oldest = tuple(map(int, workload(shape, way).deploy.kubernetes.split(".")))
    versions = [version for version in VERSIONS if tuple(map(int, version.split(".")[:2])) >= oldest]
    assert len(versions) >= 7
    distinct = {json.dumps(document): document for document in everything(shape, way)}
    assert len(distinct) > 5
    found = {fault for document in distinct.values() for version in versions for fault in faults(document, version)}
    assert not found
    for folder in kustomizations(files_of(shape, way)):
        keys = [key_of(document) for document in made(shape, way, folder)]
        assert len(keys) == len(set(keys)), f"two objects of one name in {folder}"


def test_what_is_written_wrong_does_not_pass() -> None:
    (deployment,) = documents(files_of("one gpu", "volume")["base/deployment.yaml"])
    assert any("image" in fault for fault in faults(deployment, VERSIONS[0])), "1.30 knows no image volumes"
    assert not faults(deployment, VERSIONS[1])
    deployment["spec"]["template"]["spec"]["containers"][0]["startupProbe"]["failureThresold"] = 3
    assert any("failureThresold" in fault for fault in faults(deployment, VERSIONS[-1]))
    (group,) = documents(files_of("tp8 on two nodes", "baked")["base/leader_worker_set.yaml"])
    group["spec"]["leaderWorkerTemplate"]["leaderTemplate"]["spec"]["contianers"] = []
    assert any("contianers" in fault for fault in faults(group, VERSIONS[-1]))
    nobody = {"apiVersion": "example.com/v1", "kind": "Unheard", "metadata": {"name": "x"}}
    assert any("neither" in fault for fault in faults(nobody, VERSIONS[-1]))


@pytest.mark.parametrize(("shape", "way"), sorted(REFUSED))
def test_what_cannot_be_is_refused_before_anything_is_written(shape: str, way: str) -> None:
    with pytest.raises(RepositoryError):
        render(workload(shape, way))


@pytest.mark.parametrize("shape", ["cpu ensemble", "one gpu", "tp4", "tp8 on two nodes", "mig slice"])
def test_a_region_s_overlay_makes_what_would_be_written_for_it_alone(shape: str) -> None:
    everywhere = workload(shape, "regions")
    for region in everywhere.deploy.regions:
        here = regional(everywhere, region)
        wanted = [document for objects in objects_of(here).values() for document in objects]
        wanted += spill_rules(here, region)
        found = made(shape, "regions", f"regions/{region}")
        assert {key_of(one): one for one in found} == {key_of(one): one for one in wanted}


def test_the_same_spec_gives_the_same_bytes() -> None:
    assert render(workload("tp4", "regions")) == files_of("tp4", "regions")


def test_kubectl_makes_of_every_folder_what_we_say_it_does(tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is missing")
    version = subprocess.run([kubectl, "kustomize", "--help"], capture_output=True, text=True, timeout=60, check=True)
    if "--load-restrictor" not in version.stdout:
        pytest.skip("kubectl's kustomize is older than 4, and reads no patches with targets")
    files = files_of("tp8 on two nodes", "regions")
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(text)
    for folder in ("overlays/production", "overlays/staging", "regions/eu", "regions/us", "regions/ap"):
        done = subprocess.run([kubectl, "kustomize", tmp_path / folder], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, ""), folder
        found = {key_of(document): document for document in yaml.safe_load_all(done.stdout)}
        assert found == {key_of(document): document for document in applied(files, folder)}, folder


@pytest.mark.parametrize("path", sorted(RECORDED.rglob("kubectl.out")), ids=lambda path: path.parent.name)
def test_what_kubectl_once_made_of_a_folder_is_what_we_and_the_linter_make_of_it(path: Path) -> None:
    """recorded/ has folders as they were written once, some of their files, and what kubectl 1.32.4 made of them.

    That has kustomize 5.5.0; in each folder: `kubectl kustomize . > kubectl.out`
    """
    expected = {key_of(document): document for document in documents(path.read_bytes())}
    assert ("apps/v1", "Deployment") in {key[:2] for key in expected}
    root = next(one for one in path.parents if one.parent == RECORDED)
    ours = applied(recorded(root), str(path.parent.relative_to(root)))
    assert {key_of(document): document for document in ours} == expected
    built = build(path.parent, lambda file: parse_documents(file.read_text(), str(file), []))
    assert not built.problems
    assert {key_of(one): one for one in map(typed, built.nodes) if isinstance(one, dict)} == expected


def test_what_is_recorded_has_every_kind_of_change_that_is_written() -> None:
    written = {kind for case in CASES for kind in kinds_of_change(files_of(*case))}
    assert {"namespace", "add", "replace", "remove"} <= written
    assert written - {kind for root in RECORDED.iterdir() for kind in kinds_of_change(recorded(root))} == set()


def recorded(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.yaml")}


def kinds_of_change(files: Mapping[str, bytes]) -> Iterator[str]:
    """Yield what a set's kustomizations do: the keys of each, and its patches' operations."""
    for folder in kustomizations(files):
        (found,) = documents_in(files[f"{folder}/kustomization.yaml"])
        yield from found
        for patch in found.get("patches", ()):
            (change,) = documents_in(patch["patch"].encode())
            yield from [one["op"] for one in change] if isinstance(change, list) else [f"$patch {change['$patch']}"]
