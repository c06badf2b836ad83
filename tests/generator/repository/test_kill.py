"""A build that is killed at any moment leaves the old or the new repository, whoever reads at that moment."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

KILLING = Path(__file__).with_name("killing.py")


@pytest.mark.parametrize("way", ["exchange", "renames", "inside", "interrupt"])
def test_a_killed_build_leaves_the_old_or_the_new_repository(tmp_path: Path, way: str) -> None:
    seed = random.randrange(10**6)
    done = subprocess.run(
        [sys.executable, KILLING, tmp_path / "r", way, "60", str(seed)],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    seen = json.loads(done.stdout)
    assert (seen["leftovers"] == 0) if way == "interrupt" else (seen["leftovers"] > 0), "no kill hit a build"
    assert all(seen["seen"]), "the reader saw one version only"


def test_two_builds_at_once_wait_for_each_other(tmp_path: Path) -> None:
    """Without the lock one of them would find the other's stage, or remove it."""
    script = f"""
import runpy, sys
sys.argv = ["killing", "{tmp_path}/r", "none", "0", "0"]
killing = runpy.run_path("{KILLING}")
from pathlib import Path
for turn in range(40):
    killing["write"].write_repository(Path("{tmp_path}/r"), killing["version"](turn % 2))
"""
    builds = [subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for build in builds:
        _, said = build.communicate(timeout=120)
        assert build.returncode == 0, said
