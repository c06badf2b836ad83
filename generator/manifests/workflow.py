"""A GitHub workflow as data: a pull request's spec is checked, built, and gated against the one that it would change.

It needs no secret and may only read; what comes from the event reaches the shell through variables, never as text of a
script; actions are pinned by commit, since a tag can be moved.
Source: docs.github.com, "Workflow syntax" and "Security hardening for GitHub Actions".
"""

from __future__ import annotations

import hashlib
from typing import Any

import yaml

from tritonsmith.generator.manifests.yaml_text import BlockDumper

# The tag's commit; a newer one is a pull request of its own (dependabot reads the comment behind it).
ACTIONS = {
    "actions/checkout": ("11bd71901bbe5b1630ceea73d27597364c9af683", "v4.2.2"),
    "actions/setup-python": ("a26af69be951a213d495a4c3e4e4022e16d87065", "v5.6.0"),
    "actions/upload-artifact": ("ea165f8d65b6e75b540449e92b4886f43607fa02", "v4.6.2"),
}
RUNNER, PYTHON, JOB_LIMIT_MINUTES, KEPT_DAYS = "ubuntu-24.04", "3.12", 30, 14
INSTALL = """\
python -m pip install "$TRITONSMITH"
tritonsmith doctor --install
"""
CHECK = """\
tritonsmith check "$SPEC" --format github
"""
BUILD = """\
tritonsmith build "$SPEC" --output build/ci/candidate
"""
# Where the base has no spec yet, or does not build any more, there is nothing to compare with: said, and no failure.
BASE = """\
git worktree add --detach build/ci/base "$BASE"
if [ ! -f "build/ci/base/$SPEC_IN_GIT" ]; then
  echo "::notice title=tritonsmith gate::the base has no $SPEC_IN_GIT: nothing to compare with"
elif ! tritonsmith build "build/ci/base/$SPEC_IN_GIT" --output build/ci/baseline; then
  echo "::warning title=tritonsmith gate::the base does not build: nothing to compare with"
else
  echo "found=yes" >> "$GITHUB_OUTPUT"
fi
"""
DIFF = """\
cp -r build/ci/baseline build/ci/changed
{
  echo '### What the change does to the model repository'
  echo '```diff'
  tritonsmith build "$SPEC" --output build/ci/changed --diff
  echo '```'
} >> "$GITHUB_STEP_SUMMARY"
"""
# 7: neither can be shown on this runner, which is no reason to stop the change; the summary says why.
GATE = """\
status=0
tritonsmith gate build/ci/candidate --baseline build/ci/baseline --output build/ci/gate $GATE || status=$?
if [ "$status" = 7 ]; then
  echo "::warning title=tritonsmith gate::inconclusive: this runner cannot show it; the summary says why"
  exit 0
fi
exit "$status"
"""
HEADER = """\
# Checks and builds {spec} in a pull request, and tells whether it makes serving slower. Written by
# `tritonsmith init --ci`, which writes it again only while it is as it was written.
# GATE are options of `tritonsmith gate`: the model, its load, tolerances, and real inputs (--input image=@images).
# sha256 of what follows: {digest}
"""


def workflow(spec: str, folder: str, requirement: str) -> dict[str, Any]:
    """Return the workflow for a spec in a folder of the repository ("" is its root), with what pip installs."""
    in_git = f"{folder}/{spec}" if folder else spec
    env = {"SPEC": spec, "SPEC_IN_GIT": in_git, "TRITONSMITH": requirement, "GATE": "--budget-s 120"}
    gate_only = "steps.base.outputs.found == 'yes'"
    steps: list[dict[str, Any]] = [
        {"uses": "actions/checkout", "with": {"fetch-depth": 0, "persist-credentials": False}},
        {"uses": "actions/setup-python", "with": {"python-version": PYTHON}},
        {"name": "Install", "run": INSTALL},
        {"name": "Check", "run": CHECK},
        {"name": "Build", "run": BUILD},
        {
            "name": "Build the base",
            "id": "base",
            "env": {"BASE": "${{ github.event.pull_request.base.sha }}"},
            "run": BASE,
        },
        {"name": "Show what changes", "if": gate_only, "run": DIFF},
        {"name": "Gate", "if": gate_only, "run": GATE},
        {
            "name": "Keep the report",
            "if": f"always() && {gate_only}",
            "uses": "actions/upload-artifact",
            "with": {
                "name": "tritonsmith-gate",
                "path": f"{folder + '/' if folder else ''}build/ci/gate/gate.*",
                "if-no-files-found": "ignore",
                "retention-days": KEPT_DAYS,
            },
        },
    ]
    job: dict[str, Any] = {"runs-on": RUNNER, "timeout-minutes": JOB_LIMIT_MINUTES, "env": env}
    # named, bash is started with pipefail; unnamed it is not
    job["defaults"] = {"run": {"shell": "bash"} | ({"working-directory": folder} if folder else {})}
    return {
        "name": "tritonsmith",
        "on": {"pull_request": {}},
        "permissions": {"contents": "read"},
        "concurrency": {"group": "tritonsmith-${{ github.ref }}", "cancel-in-progress": True},
        "jobs": {"serving": job | {"steps": steps}},
    }


def render_workflow(data: dict[str, Any], spec: str) -> str:
    """Return the workflow as YAML, each action pinned, its tag in a comment."""
    text = yaml.dump(data, Dumper=BlockDumper, sort_keys=False, width=120, allow_unicode=True)
    for action, (commit, tag) in ACTIONS.items():
        text = text.replace(f"uses: {action}\n", f"uses: {action}@{commit}  # {tag}\n")
    return HEADER.format(spec=spec, digest=_digest(text)) + text


def is_as_written(text: str) -> bool:
    """Tell whether a workflow's file is one of ours, of whatever version, that nobody has edited."""
    header, mark, rest = text.partition("# sha256 of what follows: ")
    digest, _, body = rest.partition("\n")
    return bool(mark) and header.count("\n") == HEADER.count("\n") - 1 and digest == _digest(body)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
