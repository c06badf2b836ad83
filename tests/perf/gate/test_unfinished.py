from collections.abc import Callable
from pathlib import Path

import pytest

from tritonsmith.perf.gate.core import Run
from tritonsmith.perf.gate.unfinished import LONGEST_PAUSE_S, Unfinished, find_unfinished, forget, keep

WRITTEN_S = 1e9


@pytest.fixture
def kept(make_runs: Callable[..., tuple[Run, ...]], tmp_path: Path) -> Unfinished:
    """Three pairs, kept in tmp_path."""
    unfinished = Unfinished("same", "2026-11-20T20:00:00+00:00", 60, 12.5, 3, make_runs(pairs=3), WRITTEN_S)
    keep(unfinished, tmp_path)
    return unfinished


def test_the_same_gate_begun_again_soon_finds_its_pairs(kept: Unfinished, tmp_path: Path) -> None:
    assert find_unfinished(tmp_path, "same", WRITTEN_S + 60) == kept


@pytest.mark.parametrize(("identity", "pause_s"), [("other", 60), ("same", LONGEST_PAUSE_S + 1), ("same", -10)])
def test_another_gate_or_an_old_one_is_begun_anew(
    identity: str, pause_s: float, kept: Unfinished, tmp_path: Path
) -> None:
    assert find_unfinished(tmp_path, identity, WRITTEN_S + pause_s) is None


def test_a_gate_that_ended_leaves_nothing_to_take_up(kept: Unfinished, tmp_path: Path) -> None:
    forget(tmp_path)
    forget(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_another_version_left_is_not_taken_up(tmp_path: Path) -> None:
    (tmp_path / "unfinished.json").write_text('{"identity": "same"}')
    assert find_unfinished(tmp_path, "same") is None
