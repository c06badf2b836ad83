from pathlib import Path

import pytest

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.files import write_by_rename, writing
from tritonsmith.perf.folder import sweep_folder


def test_a_full_disk_is_named_with_its_room(tmp_path: Path) -> None:
    said = r"cannot write .*/a\.json: the disk at /.* is full: [\d,]+ of [\d,]+ KiB free \(No space left on device\)"
    with pytest.raises(UsageError, match=said + "\n  hint: free some space"), writing(tmp_path / "a.json"):
        Path("/dev/full").write_text("a")


def test_another_reason_is_told_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file or directory") as caught:
        write_by_rename(tmp_path / "missing" / "a.json", b"{}")
    assert "full" not in str(caught.value)


def test_an_interrupt_while_a_file_is_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_by_rename(tmp_path / "a.json", b"{}")
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_left_half_written_is_removed_by_the_next_sweep(tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    for folder in (tmp_path, tmp_path / "cells"):
        (folder / ".stage-1").write_text("{")
    with sweep_folder(tmp_path):
        assert [path.name for path in tmp_path.rglob("*")] == ["cells"]
