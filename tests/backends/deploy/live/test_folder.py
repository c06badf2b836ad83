"""A folder in common: made anew beside the server's, exchanged, brought back; versions kept and removed."""

import os
from pathlib import Path

import pytest

from tritonsmith.backends.client.control import Control
from tritonsmith.backends.deploy.live.core import Plan, Running, Wanted
from tritonsmith.backends.deploy.live.folder import SharedFolder, stage_of
from tritonsmith.backends.deploy.live.plan import make_plan
from tritonsmith.backends.deploy.live.upload import Uploads
from tritonsmith.backends.deploy.live.wanted import read_wanted
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.repository.read import read_repository

NOBODY = Control("127.0.0.1:1")
CONFIG = 'backend: "python" max_batch_size: 8'


def write(root: Path, text: str, config: str = CONFIG) -> Path:
    (root / "m" / "1").mkdir(parents=True, exist_ok=True)
    (root / "m" / "1" / "model.py").write_text(text)
    (root / "m" / "config.pbtxt").write_text(config)
    return root


def folder_at(root: Path, kept: int = 2) -> SharedFolder:
    uploads = Uploads(root.parent / "store", None, NOBODY, kept, is_forced=False)  # type: ignore[arg-type]
    return SharedFolder(root, NOBODY, None, kept, uploads)


def versions(root: Path) -> dict[str, str]:
    return {path.parent.name: path.read_text() for path in sorted((root / "m").glob("*/model.py"))}


def planned(place: SharedFolder, built: Path, *ready: int) -> tuple[Plan, dict[str, Wanted], dict[str, Running]]:
    wanted = read_wanted(read_repository(built), None)
    running = {"m": Running(dict.fromkeys(ready, "READY"))}
    return make_plan(wanted, running, place), wanted, running


def roll(root: Path, built: Path, *ready: int, kept: int = 2) -> SharedFolder:
    place = folder_at(root, kept)
    plan, wanted, running = planned(place, built, *ready)
    place.prepare(plan, wanted, running)
    for unit in plan.units:
        place.put(unit)
    place.finish(plan)
    return place


def test_a_new_version_comes_beside_the_old_which_is_linked(tmp_path: Path) -> None:
    served = write(tmp_path / "served", "old")
    before = (served / "m" / "1" / "model.py").stat()
    place = roll(served, write(tmp_path / "built", "new"), 1)
    assert versions(served) == {"1": "old", "2": "new"}
    after = (served / "m" / "1" / "model.py").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not place.stage.exists()


def test_what_was_put_comes_back_whole(tmp_path: Path) -> None:
    served = write(tmp_path / "served", "old")
    inode = (served / "m").stat().st_ino
    place = folder_at(served)
    plan, wanted, running = planned(place, write(tmp_path / "built", "new", f"{CONFIG} dynamic_batching {{}}"), 1)
    place.prepare(plan, wanted, running)
    place.put(plan.units[0])
    assert versions(served) == {"1": "old", "2": "new"}
    for _ in range(2):  # a second time, as after a kill, it changes nothing
        folder_at(served).take_back(["m"])
        assert versions(served) == {"1": "old"}
        assert (served / "m" / "config.pbtxt").read_text() == CONFIG
        assert (served / "m").stat().st_ino == inode


def test_a_model_that_was_not_there_is_gone_again(tmp_path: Path) -> None:
    served = write(tmp_path / "served", "old")
    (served / "m").rename(served / "other")
    place = folder_at(served)
    plan, wanted, running = planned(place, write(tmp_path / "built", "new"))
    place.prepare(plan, wanted, running)
    place.put(plan.units[0])
    assert versions(served) == {"1": "new"}
    place.take_back(["m"])
    assert not (served / "m").exists()


def test_of_our_versions_the_newest_are_kept_and_of_others_all(tmp_path: Path) -> None:
    served = write(tmp_path / "served", "others")
    for number, text in enumerate("abc"):
        roll(served, write(tmp_path / "built", text), number + 1)
    assert versions(served) == {"1": "others", "3": "b", "4": "c"}
    roll(served, write(tmp_path / "built", "d"), 4, kept=1)
    assert versions(served) == {"1": "others", "5": "d"}


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    served, built = write(tmp_path / "served", "old"), write(tmp_path / "built", "new")
    roll(served, built, 1)
    plan, _, _ = planned(folder_at(served), built, 2)
    assert plan.units == ()


def test_a_configuration_alone_makes_no_version_and_leaves_times(tmp_path: Path) -> None:
    served = write(tmp_path / "served", "same")
    os.utime(served / "m" / "1", (1, 1))
    roll(served, write(tmp_path / "built", "same", f"{CONFIG} dynamic_batching {{}}"), 1)
    assert versions(served) == {"1": "same"}
    assert (served / "m" / "1").stat().st_mtime == 1
    assert "dynamic_batching" in (served / "m" / "config.pbtxt").read_text()


def test_without_room_beside_it_the_stage_lies_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stage_of(tmp_path).parent == tmp_path.parent
    monkeypatch.setattr(Path, "is_mount", lambda self: self == tmp_path)
    assert stage_of(tmp_path).parent == tmp_path


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no folder"):
        folder_at(tmp_path / "nothing")
