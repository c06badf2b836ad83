"""`init --ci`: what is written, where, and over what it is not written."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tritonsmith.ensembles.workflow import WORKFLOW, write_workflow
from tritonsmith.generator.cli import cli
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.manifests.workflow import ACTIONS


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A spec in a folder of a git repository."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "serving").mkdir()
    path = tmp_path / "serving" / "tritonsmith.yaml"
    path.write_text("repository: digits\n")
    return path


def parsed(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(path.read_text())
    return data


def test_it_lies_where_github_looks_and_names_the_spec_s_folder(spec: Path, tmp_path: Path) -> None:
    path = write_workflow(spec)
    assert path == tmp_path / WORKFLOW
    job = parsed(path)["jobs"]["serving"]
    assert job["defaults"]["run"] == {"shell": "bash", "working-directory": "serving"}
    assert (job["env"]["SPEC"], job["env"]["SPEC_IN_GIT"]) == ("tritonsmith.yaml", "serving/tritonsmith.yaml")
    assert job["steps"][-1]["with"]["path"] == "serving/build/ci/gate/gate.*"


def test_without_git_it_lies_beside_the_spec(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("repository: a\n")
    path = write_workflow(tmp_path / "a.yaml")
    assert path == tmp_path / WORKFLOW
    assert "working-directory" not in parsed(path)["jobs"]["serving"]["defaults"]["run"]


def test_it_may_only_read_has_a_limit_and_no_secret(spec: Path) -> None:
    path = write_workflow(spec)
    data = parsed(path)
    assert data["permissions"] == {"contents": "read"}
    assert data["concurrency"]["cancel-in-progress"] is True
    assert list(data["on"]) == ["pull_request"]  # not pull_request_target, which runs a fork's code with our rights
    assert data["jobs"]["serving"]["timeout-minutes"] > 0
    assert data["jobs"]["serving"]["steps"][0]["with"]["persist-credentials"] is False
    assert "secrets" not in path.read_text()


def test_every_action_is_pinned_by_commit_with_its_tag_beside_it(spec: Path) -> None:
    uses = re.findall(r"uses: (\S+)@([0-9a-f]{40})  # (v[0-9.]+)\n", write_workflow(spec).read_text())
    assert {action: (commit, tag) for action, commit, tag in uses} == ACTIONS
    assert write_workflow(spec).read_text().count("uses:") == len(uses)


def test_no_script_holds_what_an_event_says(spec: Path) -> None:
    for step in parsed(write_workflow(spec))["jobs"]["serving"]["steps"]:
        assert "${{" not in step.get("run", "")


def test_it_is_the_workflow_that_github_s_syntax_knows(spec: Path) -> None:
    data = parsed(write_workflow(spec))
    assert set(data) == {"name", "on", "permissions", "concurrency", "jobs"}
    for step in data["jobs"]["serving"]["steps"]:
        assert set(step) <= {"name", "id", "if", "env", "run", "uses", "with"}
        assert ("run" in step) != ("uses" in step)
    assert json.dumps(data)


def test_its_own_file_is_written_again_an_edited_one_is_not(spec: Path) -> None:
    path = write_workflow(spec)
    first = path.read_text()
    assert write_workflow(spec).read_text() == first
    path.write_text(first.replace("--budget-s 120", "--budget-s 300"))
    with pytest.raises(UsageError, match="was edited"):
        write_workflow(spec)
    assert "300" in path.read_text()
    path.write_text("name: mine\n")
    with pytest.raises(UsageError, match="not from `init --ci`"):
        write_workflow(spec)


def test_without_a_spec_it_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no spec") as problem:
        cli.main(["init", "--ci", "--output", str(tmp_path / "tritonsmith.yaml")], standalone_mode=False)
    assert "init BLUEPRINT" in problem.value.hint
    assert list(tmp_path.iterdir()) == []
