"""The steps of the workflow that `init --ci` writes, run by bash as GitHub runs them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tritonsmith.ensembles.blueprint import find_blueprint
from tritonsmith.ensembles.starter import write_starter
from tritonsmith.ensembles.workflow import write_workflow

pytestmark = [pytest.mark.live, pytest.mark.slow]
TRIES = "--budget-s 10 --input image=@demo/images"


@pytest.fixture
def change(tmp_path: Path) -> Path:
    """A git repository with two commits, the second of which changes the pipeline; returns the spec."""
    spec = tmp_path / "repo" / "serving" / "tritonsmith.yaml"
    write_starter(find_blueprint("image_classification"), spec)
    git(spec.parent.parent, "init", "--quiet")
    write_workflow(spec)
    commit(spec.parent.parent)
    spec.write_text(spec.read_text().replace("max_queue_delay_microseconds: 100", "max_queue_delay_microseconds: 50"))
    commit(spec.parent.parent)
    return spec


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder: Path) -> None:
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "one")


def run_steps(spec: Path, base: str, tmp_path: Path) -> tuple[dict[str, subprocess.CompletedProcess[str]], str]:
    """Run all steps but the installing one; return what became of each, and the step summary."""
    root = spec.parent.parent
    job: dict[str, Any] = yaml.safe_load((root / ".github/workflows/tritonsmith.yml").read_text())["jobs"]["serving"]
    outputs, summary = tmp_path / "outputs", tmp_path / "summary"
    outputs.touch()
    summary.touch()
    here = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "BASE": base, "GATE": TRIES}
    here |= {"GITHUB_OUTPUT": str(outputs), "GITHUB_STEP_SUMMARY": str(summary)}
    done = {}
    for step in job["steps"]:
        if "run" not in step or step["name"] == "Install" or ("if" in step and "found=yes" not in outputs.read_text()):
            continue
        done[step["name"]] = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=root / job["defaults"]["run"]["working-directory"],
            env=os.environ | job["env"] | here,
            capture_output=True,
            text=True,
        )
    return done, summary.read_text()


def test_every_step_of_the_workflow_does_what_it_says(change: Path, tmp_path: Path) -> None:
    done, summary = run_steps(change, git(change.parent, "rev-parse", "HEAD~1"), tmp_path)
    assert list(done) == ["Check", "Build", "Build the base", "Show what changes", "Gate"]
    assert {name: one.returncode for name, one in done.items()} == dict.fromkeys(done, 0), done
    assert "+++" in summary
    assert "max_queue_delay_microseconds: 50" in summary
    assert "<!-- tritonsmith gate -->" in summary
    assert "::warning title=tritonsmith gate::inconclusive" in done["Gate"].stdout  # ten seconds show nothing
    assert (change.parent / "build/ci/gate/gate.xml").is_file()


def test_a_base_without_a_spec_is_nothing_to_compare_with(change: Path, tmp_path: Path) -> None:
    root = change.parent.parent
    git(root, "checkout", "--quiet", "--orphan", "empty")
    git(root, "rm", "--quiet", "-r", "--cached", ".")
    git(root, "commit", "--quiet", "--allow-empty", "-m", "nothing")
    done, _ = run_steps(change, "empty", tmp_path)
    assert list(done) == ["Check", "Build", "Build the base"]
    assert "::notice title=tritonsmith gate::the base has no serving/tritonsmith.yaml" in done["Build the base"].stdout
