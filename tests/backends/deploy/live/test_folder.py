"""A folder in common: made anew beside the server's, exchanged, brought back; versions kept and removed."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path

import pytest

from tritonsmith.backends.client.control import Control
from tritonsmith.backends.deploy.live.core import Plan, Running, Wanted
from tritonsmith.backends.deploy.live.folder import SharedFolder, stage_of
from tritonsmith.backends.deploy.live.plan import make_plan
from tritonsmith.backends.deploy.live.upload import Uploads
from tritonsmith.backends.deploy.live.wanted import read_wanted
from tritonsmith.generator.errors import ServerError, UsageError
from tritonsmith.generator.repository import exchange
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


def planned(channel: SharedFolder, built: Path, *ready: int) -> tuple[Plan, dict[str, Wanted], dict[str, Running]]:
    wanted = read_wanted(read_repository(built), None)
    running = {"m": Running(dict.fromkeys(ready, "READY"))}
    return make_plan(wanted, running, channel), wanted, running


def roll(root: Path, built: Path, *ready: int, kept: int = 2) -> SharedFolder:
    channel = folder_at(root, kept)
    plan, wanted, running = planned(channel, built, *ready)
    channel.prepare(plan, wanted, running)
    for unit in plan.units:
        channel.put(unit)
    channel.finish(plan)
    return channel


def test_a_new_version_comes_beside_the_old_which_is_linked(tmp_path: Path) -> None:
    served = write(tmp_path / "served", "old")
    before = (served / "m" / "1" / "model.py").stat()
    channel = roll(served, write(tmp_path / "built", "new"), 1)
    assert versions(served) == {"1": "old", "2": "new"}
    after = (served / "m" / "1" / "model.py").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not channel.stage.exists()


def test_what_was_put_comes_back_whole(tmp_path: Path) -> None:
    served = write(tmp_path / "served", "old")
    inode = (served / "m").stat().st_ino
    channel = folder_at(served)
    plan, wanted, running = planned(channel, write(tmp_path / "built", "new", f"{CONFIG} dynamic_batching {{}}"), 1)
    channel.prepare(plan, wanted, running)
    channel.put(plan.units[0])
    assert versions(served) == {"1": "old", "2": "new"}
    for _ in range(2):  # a second time, as after a kill, it changes nothing
        folder_at(served).take_back(["m"])
        assert versions(served) == {"1": "old"}
        assert (served / "m" / "config.pbtxt").read_text() == CONFIG
        assert (served / "m").stat().st_ino == inode


def test_a_model_that_was_not_there_is_gone_again(tmp_path: Path) -> None:
    served = write(tmp_path / "served", "old")
    (served / "m").rename(served / "other")
    channel = folder_at(served)
    plan, wanted, running = planned(channel, write(tmp_path / "built", "new"))
    channel.prepare(plan, wanted, running)
    channel.put(plan.units[0])
    assert versions(served) == {"1": "new"}
    channel.take_back(["m"])
    assert not (served / "m").exists()


def test_of_our_versions_the_newest_are_kept_and_of_others_all(tmp_path: Path) -> None:
    served = write(tmp_path / "served", "others")
    for number, text in enumerate("abc"):
        roll(served, write(tmp_path / "built", text), number + 1)
    assert versions(served) == {"1": "others", "3": "b", "4": "c"}
    roll(served, write(tmp_path / "built", "d"), 4, kept=1)
    assert versions(served) == {"1": "others", "5": "d"}


@pytest.mark.parametrize("kept", [4, 6])
def test_as_many_are_kept_as_was_asked_for(tmp_path: Path, kept: int) -> None:
    served = write(tmp_path / "served", "others")
    for number, text in enumerate("abcde"):
        roll(served, write(tmp_path / "built", text), number + 1, kept=kept)
    assert list(versions(served).values()) == ["others", *"abcde"[-kept:]]


class Killed(BaseException):
    """Stands for kill -9: nothing that would catch an error catches it."""


@contextmanager
def killed_at(count: int, *, lacks: bool) -> Iterator[None]:
    """Let the process end before its next rename but `count`; `lacks`: the file system exchanges no folders."""
    left, rename = [count], Path.rename

    def counted(path: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return rename(path, target)

    def lacking(*_: Path) -> None:
        raise OSError(errno.ENOSYS, "no exchange")

    with pytest.MonkeyPatch.context() as patch, suppress(Killed):
        patch.setattr(Path, "rename", counted)
        if lacks:
            patch.setattr(exchange, "exchange", lacking)
        yield


@pytest.mark.parametrize("is_new", [False, True])
@pytest.mark.parametrize("lacks", [False, True])
def test_wherever_it_is_killed_the_next_one_finds_the_way_back(tmp_path: Path, lacks: bool, is_new: bool) -> None:
    for at in product(range(3), range(4)):
        served = write(tmp_path / f"served{at}", "old")
        if is_new:
            (served / "m").rename(served / "other")
        inode = 0 if is_new else (served / "m").stat().st_ino
        channel = folder_at(served)
        plan, wanted, running = planned(channel, write(tmp_path / "built", "new"), *([] if is_new else [1]))
        channel.prepare(plan, wanted, running)
        with killed_at(at[0], lacks=lacks):
            channel.put(plan.units[0])
        with killed_at(at[1], lacks=lacks):
            folder_at(served).take_back(["m"])
        with killed_at(99, lacks=lacks):
            folder_at(served).take_back(["m"])
        assert versions(served) == ({} if is_new else {"1": "old"}), at
        assert is_new or (served / "m").stat().st_ino == inode, at


def test_what_the_disk_does_not_take_is_said_for_each_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = write(tmp_path / "served", "old")
    channel = folder_at(served)
    plan, wanted, running = planned(channel, write(tmp_path / "built", "new"), 1)
    channel.prepare(plan, wanted, running)

    def other_disk(*_: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link", str(served / "m"))

    with monkeypatch.context() as patch:
        patch.setattr(exchange, "exchange", other_disk)
        with pytest.raises(ServerError, match=r"cannot write .*served/m: Invalid cross-device link"):
            channel.put(plan.units[0])
    channel.put(plan.units[0])
    monkeypatch.setattr(exchange, "exchange", other_disk)
    with pytest.raises(ServerError, match="cannot write"):
        channel.take_back(["m"])


def test_a_folder_is_one_deploys_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = write(tmp_path / "served", "old")
    refused = pytest.raises(UsageError, match="another deploy or build")
    with folder_at(served).alone(is_forced=False), refused, folder_at(served).alone(is_forced=True):
        pass

    def lacking(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", lacking)
    with pytest.raises(UsageError, match="cannot be locked: No locks"), folder_at(served).alone(is_forced=False):
        pass
    with folder_at(served).alone(is_forced=True):
        pass


def test_the_server_can_read_what_was_put_whatever_our_umask(tmp_path: Path) -> None:
    served = write(tmp_path / "served", "old")
    (served / "m").chmod(0o755)
    before = os.umask(0o077)
    try:
        roll(served, write(tmp_path / "built", "new"), 1)
    finally:
        os.umask(before)
    for path in ("m", "m/2", "m/2/model.py", "m/config.pbtxt"):
        assert (served / path).stat().st_mode & 0o044 == 0o044, path
    assert (served / "m" / "2").stat().st_mode & 0o055 == 0o055


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
