"""Writing a repository: what changes, what stays, what is refused, and that the bytes are always the same."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.findings import error
from tritonsmith.generator.repository.core import Content, File, Model, Repository, SourceFile
from tritonsmith.generator.repository.write import plan_changes, write_repository

BIG = bytes(range(256)) * 8192  # 2 MiB: hashed through the cache, copied, not held


@pytest.fixture(autouse=True)
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "served" / "models"


def model(name: str = "m", files: Mapping[str, bytes | File] | None = None, *, batch: int = 8) -> Model:
    """A model; a file given as bytes has that content."""
    files = {"1/x": b"x"} if files is None else files
    found = {path: Content(file) if isinstance(file, bytes) else file for path, file in files.items()}
    return Model(name, ModelConfig(name=name, backend="python", max_batch_size=batch), found)


def repository(*models: Model, digest: str = "d") -> Repository:
    return Repository("digits", {m.name: m for m in models}, digest)


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def stamps(root: Path) -> dict[str, tuple[int, int]]:
    """Times and inodes of everything below a folder."""
    paths = [root, *root.rglob("*")]
    return {str(p.relative_to(root)): (p.lstat().st_mtime_ns, p.lstat().st_ino) for p in paths}


def beside(target: Path) -> list[str]:
    return sorted(p.name for p in target.parent.iterdir())


def test_what_is_written_is_the_configuration_the_files_and_the_lock(target: Path) -> None:
    changes = write_repository(target, repository(model(files={"labels": b"zero\n", "1/model.py": b"pass\n"})))
    assert [change.path for change in changes.added] == ["m/1/model.py", "m/config.pbtxt", "m/labels"]
    assert sorted(contents(target)) == ["m/1/model.py", "m/config.pbtxt", "m/labels", "tritonsmith.lock"]
    config = text_format.Parse((target / "m" / "config.pbtxt").read_text(), ModelConfig())
    assert config.max_batch_size == 8
    assert beside(target) == ["models"]


def test_equal_repositories_are_equal_to_the_byte(tmp_path: Path) -> None:
    source = tmp_path / "big"
    source.write_bytes(BIG)
    for name in ("one", "two"):
        os.utime(source, (1, len(name)))
        write_repository(tmp_path / name, repository(model("b", files={"1/big": SourceFile(source)}), model("a")))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_an_unchanged_repository_is_not_touched(target: Path, tmp_path: Path) -> None:
    source = tmp_path / "big"
    source.write_bytes(BIG)
    wanted = repository(model(files={"1/big": SourceFile(source), "1/small": b"s"}), model("n"))
    write_repository(target, wanted)
    before = stamps(target)
    changes = write_repository(target, wanted)
    assert not changes
    assert len(changes.unchanged) == 5
    assert stamps(target) == before


def test_a_new_digest_alone_rewrites_the_lock_alone(target: Path) -> None:
    write_repository(target, repository(model()))
    before = stamps(target / "m")
    assert not write_repository(target, repository(model(), digest="other"))
    assert stamps(target / "m") == before
    assert '"spec_sha256": "other"' in (target / "tritonsmith.lock").read_text()


def test_unchanged_files_stay_the_same_files_and_folders_keep_their_times(target: Path) -> None:
    write_repository(target, repository(model(files={"1/x": b"x"}), model("n", files={"1/y": b"y", "1/z": b"z"})))
    for path in [target / "m", target / "m" / "1", target / "n", target / "n" / "1"]:
        os.utime(path, (1, 1))
    before = stamps(target)
    write_repository(target, repository(model(batch=9, files={"1/x": b"x"}), model("n", files={"1/y": b"y"})))
    after = stamps(target)
    assert after["m/1/x"] == before["m/1/x"]
    assert after["n/config.pbtxt"] == before["n/config.pbtxt"]
    # A file's new content shows in its own time; a folder's shows what came and went.
    times = {path: after[path][0] == before[path][0] for path in ("m", "m/1", "n", "n/1", "m/config.pbtxt")}
    assert times == {"m": True, "m/1": True, "n": True, "n/1": False, "m/config.pbtxt": False}


def test_stale_files_and_models_of_ours_go(target: Path) -> None:
    write_repository(target, repository(model(files={"1/x": b"x", "2/y": b"y"}), model("n")))
    changes = write_repository(target, repository(model(files={"1/x": b"x"})))
    assert [change.path for change in changes.removed] == ["m/2/y", "n/1/x", "n/config.pbtxt"]
    assert sorted(p.name for p in target.rglob("*")) == ["1", "config.pbtxt", "m", "tritonsmith.lock", "x"]


def test_bytecode_that_a_server_left_goes_with_its_model_and_stays_with_it(target: Path) -> None:
    write_repository(target, repository(model(), model("n")))
    for name in ("m", "n"):
        (target / name / "1" / "__pycache__").mkdir()
        (target / name / "1" / "__pycache__" / "x.pyc").write_bytes(b"c")
    write_repository(target, repository(model(batch=9)))
    assert (target / "m" / "1" / "__pycache__" / "x.pyc").exists()
    assert not (target / "n").exists()


def test_a_file_becomes_a_folder_and_back(target: Path) -> None:
    write_repository(target, repository(model(files={"a": b"file"})))
    write_repository(target, repository(model(files={"a/b": b"inside"})))
    assert (target / "m" / "a" / "b").read_bytes() == b"inside"
    write_repository(target, repository(model(files={"a": b"file"})))
    assert (target / "m" / "a").read_bytes() == b"file"


def test_empty_folders_that_are_asked_for_are_made_once(target: Path) -> None:
    wanted = repository(Model("e", ModelConfig(name="e"), folders=("1",)))
    assert write_repository(target, wanted).folders == ("e/1",)
    assert (target / "e" / "1").is_dir()
    assert not write_repository(target, wanted)


def test_entries_that_are_not_ours_are_carried_over(target: Path) -> None:
    write_repository(target, repository(model()))
    (target / "README").write_text("hello")
    (target / "theirs" / "1").mkdir(parents=True)
    (target / "theirs" / "1" / "model.onnx").write_bytes(b"weights")
    (target / "m" / "notes.txt").write_text("notes")
    (target / "m" / "link").symlink_to("notes.txt")
    os.utime(target / "theirs", (1, 1))
    before = stamps(target)
    write_repository(target, repository(model(batch=9)))
    after = stamps(target)
    for path in ("README", "theirs/1/model.onnx", "m/notes.txt", "m/link"):
        assert after[path] == before[path]
    assert after["theirs"][0] == before["theirs"][0]
    write_repository(target, repository(model("other")))  # m goes, the notes in it do not
    assert sorted(contents(target / "m")) == ["link", "notes.txt"]


def refused(target: Path, wanted: Repository) -> str:
    before = contents(target)
    with pytest.raises(RepositoryError) as caught:
        write_repository(target, wanted)
    assert contents(target) == before
    assert beside(target) == [target.name]
    return str(caught.value)


def test_a_file_that_is_not_ours_is_not_overwritten(target: Path) -> None:
    (target / "m").mkdir(parents=True)
    (target / "m" / "config.pbtxt").write_text('name: "mine"\n')
    said = refused(target, repository(model()))
    assert "m/config.pbtxt was not written by tritonsmith" in said
    assert '-name: "mine"' in said
    assert '+name: "m"' in said
    assert "--force" in said
    write_repository(target, repository(model()), is_forced=True)
    assert 'name: "m"' in (target / "m" / "config.pbtxt").read_text()


def test_a_file_of_another_but_with_our_content_is_adopted(target: Path) -> None:
    (target / "m" / "1").mkdir(parents=True)
    (target / "m" / "1" / "x").write_bytes(b"x")
    assert write_repository(target, repository(model())).unchanged == ("m/1/x",)


def test_an_edited_file_is_neither_overwritten_nor_removed_and_all_are_named(target: Path) -> None:
    write_repository(target, repository(model(files={"a": b"1\n", "b": b"2\n"}), model("n")))
    (target / "m" / "a").write_text("edited\n")
    (target / "n" / "1" / "x").write_text("edited too\n")
    said = refused(target, repository(model(files={"a": b"3\n", "b": b"4\n"})))
    assert "m/a was edited since it was written" in said
    assert "n/1/x was edited since it was written" in said
    assert "m/b" not in said
    write_repository(target, repository(model(files={"a": b"3\n", "b": b"4\n"})), is_forced=True)
    assert (target / "m" / "a").read_bytes() == b"3\n"
    assert not (target / "n").exists()


def test_an_edit_is_seen_even_if_size_and_time_are_kept(target: Path, tmp_path: Path) -> None:
    write_repository(target, repository(model(files={"a": b"1\n"})))
    state = (target / "m" / "a").stat()
    (target / "m" / "a").write_bytes(b"2\n")
    os.utime(target / "m" / "a", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert "m/a was edited" in refused(target, repository(model(files={"a": b"3\n"})))


def test_a_file_that_the_user_removed_is_written_again(target: Path) -> None:
    write_repository(target, repository(model()))
    (target / "m" / "config.pbtxt").unlink()
    assert [change.path for change in write_repository(target, repository(model())).added] == ["m/config.pbtxt"]


def test_a_foreign_folder_where_a_file_shall_be_is_refused_even_by_force(target: Path) -> None:
    (target / "m" / "config.pbtxt").mkdir(parents=True)
    assert "m/config.pbtxt is a folder" in refused(target, repository(model()))
    with pytest.raises(RepositoryError, match="is a folder"):
        write_repository(target, repository(model()), is_forced=True)


def test_a_link_where_a_folder_shall_be_is_not_followed(target: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target.mkdir(parents=True)
    (target / "m").symlink_to(tmp_path / "elsewhere")
    assert "m is a file or a symbolic link" in refused(target, repository(model()))
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "ü", ".hidden", "a..b", "tritonsmith.lock", "a\n"])
def test_a_name_that_triton_cannot_serve_is_refused(target: Path, name: str) -> None:
    target.mkdir(parents=True)
    refused(target, Repository("r", {name: Model(name, ModelConfig())}))


@pytest.mark.parametrize("path", ["../x", "/etc/x", "1//x", "1/../../x", "", "1/./x", "a b", "config.pbtxt", "1/"])
def test_a_path_that_climbs_out_or_is_not_plain_is_refused(target: Path, path: str) -> None:
    target.mkdir(parents=True)
    assert "m" in refused(target, repository(Model("m", ModelConfig(), {path: Content(b"")})))


def test_one_path_cannot_be_file_and_folder(target: Path) -> None:
    target.mkdir(parents=True)
    assert "both a file and a folder" in refused(target, repository(model(files={"a": b"", "a/b": b""})))


def test_a_model_that_did_not_parse_is_not_written(target: Path) -> None:
    target.mkdir(parents=True)
    assert "broken" in refused(target, repository(Model("m", None, findings=(error("broken"),))))


def test_a_missing_source_is_named(target: Path, tmp_path: Path) -> None:
    target.mkdir(parents=True)
    for missing in (SourceFile(tmp_path / "nothing"), SourceFile(tmp_path / "nothing", "link")):
        said = refused(target, repository(model(files={"1/x": missing})))
        assert "m/1/x: cannot read" in said
        assert "nothing" in said


def test_a_source_that_shall_be_linked_is_linked_and_not_read(target: Path, tmp_path: Path) -> None:
    source = tmp_path / "huge.engine"
    with source.open("wb") as file:
        file.truncate(1 << 40)
    wanted = repository(model(files={"1/huge.engine": SourceFile(source, "link")}))
    write_repository(target, wanted)
    assert (target / "m" / "1" / "huge.engine").readlink() == source
    assert not write_repository(target, wanted)


def test_the_target_may_be_a_link_and_stays_one(target: Path, tmp_path: Path) -> None:
    real = tmp_path / "real"
    target.parent.mkdir()
    target.symlink_to(real)
    for batch in (1, 2):
        write_repository(target, repository(model(batch=batch)))
        assert target.is_symlink()
        assert f"max_batch_size: {batch}" in (real / "m" / "config.pbtxt").read_text()


def test_the_target_keeps_its_mode_and_so_do_files_and_folders_in_it(target: Path) -> None:
    umask = os.umask(0o022)
    try:
        write_repository(target, repository(model()))
        assert target.stat().st_mode & 0o777 == 0o755
        for path, mode in ((target, 0o750), (target / "m", 0o2775), (target / "m" / "config.pbtxt", 0o640)):
            path.chmod(mode)
        write_repository(target, repository(model(batch=9)))
    finally:
        os.umask(umask)
    assert target.stat().st_mode & 0o7777 == 0o750
    assert (target / "m").stat().st_mode & 0o7777 == 0o2775
    assert (target / "m" / "config.pbtxt").stat().st_mode & 0o777 == 0o640


def test_a_file_as_target_is_refused(target: Path) -> None:
    target.parent.mkdir()
    target.write_text("a file")
    with pytest.raises(RepositoryError, match="a file is where"):
        write_repository(target, repository(model()))


def test_a_lock_that_cannot_be_understood_is_refused_unless_forced(target: Path) -> None:
    write_repository(target, repository(model()))
    for content, said in (("{", "cannot be understood"), ('{"format": 99}', "format 99"), ('{"format":1}', "cannot")):
        (target / "tritonsmith.lock").write_text(content)
        assert said in refused(target, repository(model(batch=9)))
    write_repository(target, repository(model(batch=9)), is_forced=True)
    assert not write_repository(target, repository(model(batch=9)))


def test_planning_writes_nothing_and_says_what_building_would(target: Path) -> None:
    assert [c.path for c in plan_changes(target, repository(model())).added] == ["m/1/x", "m/config.pbtxt"]
    assert not target.parent.exists()
    write_repository(target, repository(model(), model("n")))
    before = stamps(target)
    changes = plan_changes(target, repository(model(batch=9)))
    assert [c.path for c in changes.changed] == ["m/config.pbtxt"]
    assert "-max_batch_size: 8\n+max_batch_size: 9\n" in changes.diff()
    assert "--- a/n/config.pbtxt\n+++ /dev/null" in changes.diff()
    assert stamps(target) == before
    (target / "m" / "config.pbtxt").write_text("edited")
    assert [c.path for c in plan_changes(target, repository(model(batch=9))).conflicts] == ["m/config.pbtxt"]


def test_the_diff_of_what_is_not_text_is_one_line(target: Path, tmp_path: Path) -> None:
    source = tmp_path / "big"
    source.write_bytes(BIG)
    diff = plan_changes(
        target, repository(model(files={"1/big": SourceFile(source), "1/bin": b"\0", "1/t": b"t"}))
    ).diff()
    assert "m/1/big: absent -> 2,097,152 bytes, sha256 " in diff
    assert "m/1/bin: absent -> 1 bytes" in diff
    assert "+t\n\\ No newline at end of file\n" in diff


def test_what_a_killed_build_left_is_removed_by_the_next(target: Path) -> None:
    write_repository(target, repository(model()))
    for name in (".models.tritonsmith-stage", "models/.tritonsmith-stage"):
        (target.parent / name / "m").mkdir(parents=True)
        (target.parent / name / "m" / "half").write_text("half")
    (target / "tritonsmith.lock.new").write_text("half")
    write_repository(target, repository(model()))
    assert beside(target) == ["models"]
    assert sorted(contents(target)) == ["m/1/x", "m/config.pbtxt", "tritonsmith.lock"]


@pytest.mark.parametrize("is_complete", [True, False])
def test_a_build_killed_between_two_renames_is_finished_or_taken_back(target: Path, is_complete: bool) -> None:
    """Where the kernel cannot exchange folders, the old one is renamed first."""
    write_repository(target, repository(model(batch=1)))
    target.rename(target.parent / ".models.tritonsmith-old")
    write_repository(target.parent / "new", repository(model(batch=2)))
    stage = (target.parent / "new").rename(target.parent / ".models.tritonsmith-stage")
    if not is_complete:
        (stage / "tritonsmith.lock").unlink()
    changes = write_repository(target, repository(model(batch=2)))
    assert bool(changes) is not is_complete
    assert "max_batch_size: 2" in (target / "m" / "config.pbtxt").read_text()
    assert beside(target) == ["models"]


def test_without_the_exchange_call_two_renames_do(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*_: Path) -> None:
        raise OSError(errno.EINVAL, "no exchange on this file system")

    monkeypatch.setattr("tritonsmith.generator.repository.exchange.exchange", lacking)
    for batch in (1, 2, 3):
        write_repository(target, repository(model(batch=batch)))
        assert f"max_batch_size: {batch}" in (target / "m" / "config.pbtxt").read_text()
        assert beside(target) == ["models"]


def test_a_repository_that_somebody_stands_in_stays_the_same_folder(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_repository(target, repository(model(), model("gone"), model("same")))
    (target / "m" / "notes").write_text("notes")
    before = stamps(target)
    monkeypatch.chdir(target / "m")
    write_repository(target, repository(model(batch=9), model("same"), model("new")))
    after = stamps(target)
    assert after["."][1] == before["."][1]
    assert {path: after[path] for path in before if path.startswith("same")} == {
        path: before[path] for path in before if path.startswith("same")
    }
    assert sorted(contents(target)) == sorted(
        [
            "m/1/x",
            "m/config.pbtxt",
            "m/notes",
            "new/1/x",
            "new/config.pbtxt",
            "same/1/x",
            "same/config.pbtxt",
            "tritonsmith.lock",
        ]
    )
    assert not write_repository(target, repository(model(batch=9), model("same"), model("new")))


def mounted(folder: Path, *options: str) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["mount", *options, str(folder)], capture_output=True).returncode != 0:
        pytest.skip("this test mounts, which needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    yield from mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=4m", "tmpfs")


@pytest.fixture
def image_layer(tmp_path: Path) -> Iterator[Path]:
    """A folder whose models lie in an overlay's lower layer: they cannot be renamed (EXDEV)."""
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    write_repository(tmp_path / "lower" / "models", repository(model(), model("gone"), model("same")))
    layers = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work,redirect_dir=off"
    yield from mounted(tmp_path / "merged", "-t", "overlay", "-o", layers, "overlay")


def test_a_mount_point_is_written_model_by_model(small_disk: Path) -> None:
    for batch in (1, 2):
        write_repository(small_disk, repository(model(batch=batch), model("same")))
        assert f"max_batch_size: {batch}" in (small_disk / "m" / "config.pbtxt").read_text()
        assert sorted(p.name for p in small_disk.iterdir()) == ["m", "same", "tritonsmith.lock"]
    write_repository(small_disk, repository(model(batch=2)))
    assert sorted(p.name for p in small_disk.iterdir()) == ["m", "tritonsmith.lock"]


def test_the_models_of_an_image_layer_are_written_file_by_file(image_layer: Path) -> None:
    target = image_layer / "models"
    changes = write_repository(target, repository(model(batch=2, files={"new": b"n"}), model("same")))
    assert [c.path for c in changes.removed] == ["gone/1/x", "gone/config.pbtxt", "m/1/x"]
    assert sorted(contents(target)) == [
        *("m/config.pbtxt", "m/new", "same/1/x", "same/config.pbtxt", "tritonsmith.lock")
    ]
    assert sorted(p.name for p in target.iterdir()) == ["m", "same", "tritonsmith.lock"]
    assert not write_repository(target, repository(model(batch=2, files={"new": b"n"}), model("same")))


def test_a_full_disk_leaves_the_old_repository(small_disk: Path, tmp_path: Path) -> None:
    target = small_disk / "models"
    write_repository(target, repository(model()))
    before = stamps(target)
    source = tmp_path / "big"
    source.write_bytes(BIG * 4)
    wants: list[File] = [SourceFile(source), Content(BIG * 4)]
    for wanted in wants:
        with pytest.raises(RepositoryError, match="No space left"):
            write_repository(target, repository(model(files={"1/big": wanted})))
        assert stamps(target) == before
        assert beside(target) == ["models"]


LIMITED_BUILD = """
import resource, sys
from pathlib import Path
from tritonsmith.generator.repository.core import Content, Model, Repository
from tritonsmith.generator.repository.write import write_repository
target, limit = Path(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
write_repository(target, Repository("r", {"m": Model("m", None, {"1/x": Content(b"y" * 5000), "a": Content(b"y")})}))
"""


@pytest.mark.parametrize("limit", [0, 3000])
def test_a_file_size_limit_leaves_the_old_repository(target: Path, limit: int) -> None:
    write_repository(target, repository(model()))
    before = stamps(target)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED_BUILD, str(target), str(limit)], capture_output=True, text=True
    )
    assert "RepositoryError: " in done.stderr
    assert "File too large" in done.stderr
    assert stamps(target) == before
    assert beside(target) == ["models"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != limit  # ours is as it was


def test_a_big_file_is_hashed_once(target: Path, tmp_path: Path, cache_home: Path) -> None:
    source = tmp_path / "big"
    source.write_bytes(BIG)
    os.utime(source, (1, 1))
    wanted = repository(model(files={"1/big": SourceFile(source)}))
    write_repository(target, wanted)
    assert str(source) in (cache_home / "tritonsmith" / "hashes.json").read_text()
    with source.open("r+b") as file:  # what nothing but reading it again would show
        file.write(b"changed")
    os.utime(source, (1, 1))
    assert not write_repository(target, wanted)
    os.utime(source, (2, 2))
    assert [c.path for c in write_repository(target, wanted).changed] == ["m/1/big"]
    assert (target / "m" / "1" / "big").read_bytes()[:7] == b"changed"


def test_a_broken_hash_cache_costs_time_only(target: Path, tmp_path: Path, cache_home: Path) -> None:
    source = tmp_path / "big"
    source.write_bytes(BIG)
    for content in ("{", "[]", '{"a": 1}', '{"a": []}'):
        (cache_home / "tritonsmith").mkdir(parents=True, exist_ok=True)
        (cache_home / "tritonsmith" / "hashes.json").write_text(content)
        write_repository(target, repository(model(files={"1/big": SourceFile(source)})))
    assert (target / "m" / "1" / "big").read_bytes() == BIG


AS_NOBODY = """
import os, sys
from pathlib import Path
from tritonclient.grpc.model_config_pb2 import ModelConfig
from tritonsmith.generator.repository.core import Content, Model, Repository
from tritonsmith.generator.repository.write import write_repository
wanted = Repository("r", {"m": Model("m", ModelConfig(name="m"), {"1/x": Content(b"x")})})
write_repository(Path(sys.argv[2]), wanted)  # whatever is imported late is imported by now
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
write_repository(Path(sys.argv[1]), wanted)
"""


def build_as_nobody(target: Path) -> str:
    if os.getuid() != 0:
        pytest.skip("this test changes its user, which needs root")
    for folder in target.parents:  # pytest's folders are closed to other users
        folder.chmod(folder.stat().st_mode | 0o005)
        if folder.name.startswith("pytest-of-"):
            break
    command = [sys.executable, "-c", AS_NOBODY, str(target), str(target.parent.parent / "warm")]
    done = subprocess.run(command, env={"HOME": "/nonexistent"}, capture_output=True, text=True)
    return done.stderr


def test_a_repository_in_a_folder_that_is_not_ours_is_written_in_place(target: Path) -> None:
    target.mkdir(parents=True)
    os.chown(target, 65534, 65534)
    before = target.stat().st_ino
    assert build_as_nobody(target) == ""
    assert target.stat().st_ino == before
    assert sorted(contents(target)) == ["m/1/x", "m/config.pbtxt", "tritonsmith.lock"]


def test_files_of_another_user_are_copied_where_they_cannot_be_linked(target: Path) -> None:
    (target / "theirs").mkdir(parents=True)
    (target / "theirs" / "x").write_text("theirs")
    os.utime(target / "theirs" / "x", (1, 1))
    for folder in (target.parent, target, target / "theirs"):
        os.chown(folder, 65534, 65534)
    (target / "theirs").chmod(0o555)
    before = target.stat().st_ino
    assert build_as_nobody(target) == ""
    assert target.stat().st_ino != before
    assert (target / "theirs").stat().st_mode & 0o777 == 0o555
    assert beside(target) == ["models"]
    assert (target / "theirs" / "x").read_text() == "theirs"
    assert (target / "theirs" / "x").stat().st_mtime == 1


def test_a_target_that_may_not_be_written_is_an_error_and_stays(target: Path) -> None:
    write_repository(target, repository(model()))
    before = stamps(target)
    said = build_as_nobody(target)
    assert "RepositoryError: " in said
    assert "another user's: m, m/1" in said
    assert stamps(target) == before


def test_a_folder_of_another_user_stays_what_and_where_it_is(target: Path) -> None:
    write_repository(target, repository(model("theirs")))
    for folder in (target.parent, target):
        os.chown(folder, 65534, 65534)
    (target / "tritonsmith.lock").unlink()
    before = stamps(target / "theirs")
    assert build_as_nobody(target) == ""
    assert stamps(target / "theirs") == before
    assert (target / "m" / "1" / "x").exists()
    assert beside(target) == ["models"]
