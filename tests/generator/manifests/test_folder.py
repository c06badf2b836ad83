"""What becomes of a folder of generated files when it is written again, edited, linked, or its writer killed."""

import json
import os
from pathlib import Path

import pytest

from tritonsmith.generator.errors import RepositoryError, UsageError
from tritonsmith.generator.manifests.folder import RECORD, write_folder

FILES = {"README.md": b"read me\n", "base/a.yaml": b"a: 1\n", "base/b.yaml": b"b: 1\n", "overlays/eu/k.yaml": b"k\n"}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != RECORD
    }


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    assert write_folder(tmp_path, FILES).changed == tuple(sorted(FILES))
    before = {path: (tmp_path / path).stat().st_ino for path in FILES}
    assert write_folder(tmp_path, FILES).changed == ()
    assert write_folder(tmp_path, FILES | {"base/a.yaml": b"a: 2\n"}).changed == ("base/a.yaml",)
    assert [path for path in FILES if (tmp_path / path).stat().st_ino != before[path]] == ["base/a.yaml"]


def test_files_of_ours_that_went_are_removed_and_their_empty_folders_with_them(tmp_path: Path) -> None:
    write_folder(tmp_path, FILES)
    (tmp_path / "base" / "mine.yaml").write_text("mine")
    write_folder(tmp_path, {"README.md": b"read me\n"})
    assert contents(tmp_path) == {"README.md": b"read me\n", "base/mine.yaml": b"mine"}
    assert not (tmp_path / "overlays").exists()


def test_a_dry_run_says_what_would_change_and_writes_nothing(tmp_path: Path) -> None:
    assert write_folder(tmp_path / "new", FILES, is_dry=True).changed == tuple(sorted(FILES))
    assert not (tmp_path / "new").exists()


def test_what_was_edited_since_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    write_folder(tmp_path, FILES)
    (tmp_path / "base/a.yaml").write_text("a: mine\n")
    before = contents(tmp_path)
    with pytest.raises(RepositoryError, match=r"base/a\.yaml would be lost"):
        write_folder(tmp_path, {path: data + b"more" for path, data in FILES.items()})
    assert contents(tmp_path) == before
    write_folder(tmp_path, FILES, is_forced=True)
    assert contents(tmp_path) == FILES


def test_a_folder_with_a_file_s_name_is_named(tmp_path: Path) -> None:
    (tmp_path / "README.md").mkdir()
    with pytest.raises(RepositoryError, match=r"README\.md would be lost"):
        write_folder(tmp_path, FILES)
    with pytest.raises(UsageError, match="cannot write"):
        write_folder(tmp_path, FILES, is_forced=True)


def test_a_file_with_a_folder_s_name_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "base").write_text("mine")
    with pytest.raises(RepositoryError, match=r"base/a\.yaml"):
        write_folder(tmp_path, FILES)
    assert contents(tmp_path) == {"base": b"mine"}


@pytest.mark.parametrize("path", ["../victim", "/victim", "base/../../victim", RECORD, "", "a//b"])
def test_the_record_removes_nothing_outside_the_folder(path: str, tmp_path: Path) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "deploy"
    victim.write_text("precious")
    path = str(victim) if path == "/victim" else path
    folder.mkdir()
    digest = "ad5b6ee4d9ab0b0d4a7be6fb1ad71d2f0c5c8c1c5d7c6ce5d2a2a3e5f0c0ffee"
    (folder / RECORD).write_text(json.dumps({path: digest}))
    write_folder(folder, FILES, is_forced=True)
    assert victim.read_text() == "precious"
    assert contents(folder) == FILES


@pytest.mark.parametrize("record", [b"", b"[]", b'{"README.md": 3}', b'{"README.md": [[1]]}', b"\xff", b"[" * 100_000])
def test_a_record_that_is_none_protects_every_file(record: bytes, tmp_path: Path) -> None:
    write_folder(tmp_path, FILES)
    (tmp_path / RECORD).write_bytes(record)
    with pytest.raises(RepositoryError, match=r"README\.md would be lost"):
        write_folder(tmp_path, FILES | {"README.md": b"new"})


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "deploy"
    elsewhere.mkdir()
    folder.mkdir()
    (folder / "base").symlink_to(elsewhere)
    with pytest.raises(RepositoryError, match="base is a link"):
        write_folder(folder, FILES, is_forced=True)
    assert not list(elsewhere.iterdir())


def test_a_file_that_is_a_link_is_replaced_and_its_target_left(tmp_path: Path) -> None:
    target, folder = tmp_path / "target", tmp_path / "deploy"
    target.write_text("precious")
    folder.mkdir()
    (folder / "README.md").symlink_to(target)
    (folder / ".README.md.stage").symlink_to(target)
    with pytest.raises(RepositoryError, match=r"README\.md would be lost"):
        write_folder(folder, FILES)
    write_folder(folder, FILES, is_forced=True)
    assert (target.read_text(), contents(folder)) == ("precious", FILES)


@pytest.mark.parametrize("survived", range(7))
def test_a_run_that_was_killed_between_two_files_stands_in_no_later_run_s_way(
    survived: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path, FILES)
    second = {path: data + b"second\n" for path, data in FILES.items()} | {"new.yaml": b"new\n"}
    renamed = os.replace
    left = survived

    def replace_until_killed(source: Path, target: Path) -> None:
        nonlocal left
        if not left:
            raise KeyboardInterrupt  # as sudden as SIGKILL: nothing of ours catches it
        left -= 1
        renamed(source, target)

    monkeypatch.setattr(Path, "replace", replace_until_killed)
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path, second)
    monkeypatch.undo()
    third = {"README.md": b"third\n", "base/a.yaml": b"third\n"}
    write_folder(tmp_path, third)
    assert contents(tmp_path) == third
