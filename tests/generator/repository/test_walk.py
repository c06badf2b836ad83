"""Folders with symbolic links are walked to their end, and what cannot be read is said."""

import os
from pathlib import Path

from tritonsmith.generator.repository.walk import Entry, walk


def test_links_are_followed_in_the_order_of_names(tmp_path: Path) -> None:
    for path in ("root/b", "root/a", "root/__pycache__/x", "other/deep/c"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    (tmp_path / "root" / "linked").symlink_to("../other")
    (tmp_path / "root" / "file").symlink_to("a")
    assert list(walk(tmp_path / "root", {"__pycache__"})) == [
        Entry("a", False),
        Entry("b", False),
        Entry("file", False),
        Entry("linked", True),
        Entry("linked/deep", True),
        Entry("linked/deep/c", False),
    ]


def test_no_circle_is_entered_wherever_it_is_closed(tmp_path: Path) -> None:
    for folder in ("root/one", "other/two"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "root" / "one" / "here").symlink_to(".")
    (tmp_path / "root" / "one" / "out").symlink_to("../../other/two")
    (tmp_path / "root" / "one" / "everything").symlink_to("/")
    (tmp_path / "other" / "two" / "back").symlink_to("../../root/one")
    (tmp_path / "other" / "two" / "above").symlink_to("..")
    found = list(walk(tmp_path / "root"))
    assert [entry.path for entry in found if not entry.fault] == ["one", "one/out"]
    faults = {entry.path: entry.fault for entry in found if entry.fault}
    assert set(faults.values()) == {"a link to a folder that holds it"}
    assert set(faults) == {"one/here", "one/everything", "one/out/back", "one/out/above"}


def test_two_links_to_one_folder_are_no_circle(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "x").write_text("")
    for name in ("1", "2"):
        (tmp_path / "root" / name).symlink_to("../shared")
    assert [entry.path for entry in walk(tmp_path / "root") if not entry.is_folder] == ["1/x", "2/x"]


def test_what_cannot_be_read_comes_with_its_fault(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "self").symlink_to("self")
    os.mkfifo(tmp_path / "pipe")
    assert {entry.path: entry.fault for entry in walk(tmp_path)} == {
        "gone": "a link to nothing",
        "pipe": "neither a file nor a folder",
        "self": "a link to itself",
    }
    assert list(walk(tmp_path / "absent")) == [Entry("", True, "unreadable: No such file or directory")]
