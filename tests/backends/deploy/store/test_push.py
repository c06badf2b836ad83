import errno
import itertools
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tritonsmith.backends.deploy.store import prune
from tritonsmith.backends.deploy.store.bars import UNFINISHED, bar, bars_of
from tritonsmith.backends.deploy.store.contents import read_contents
from tritonsmith.backends.deploy.store.fetch import BLOCK_BYTES, MANIFEST, POINTER, open_store, parse_address
from tritonsmith.backends.deploy.store.objects import upload
from tritonsmith.backends.deploy.store.push import push
from tritonsmith.generator.errors import RepositoryError, ServerError, TritonsmithError, UsageError
from tritonsmith.generator.repository.lock import Lock, render_lock
from tritonsmith.generator.repository.names import LOCK_FILE
from tritonsmith.perf.bench.local_store import LocalStore


def objects(store: LocalStore, path: str) -> dict[str, bytes]:
    """Return all objects below a path of the bucket."""
    listed = store.client.list_objects_v2(Bucket="models", Prefix=f"{path}/").get("Contents", [])
    return {
        entry["Key"][len(path) + 1 :]: store.client.get_object(Bucket="models", Key=entry["Key"])["Body"].read()
        for entry in listed
    }


def put(store: LocalStore, key: str, data: bytes = b"") -> None:
    store.client.put_object(Bucket="models", Key=key, Body=data)


def loaded(objects: dict[str, bytes], digest: str) -> dict[str, dict[str, bytes]] | None:
    """Return what a server started on a digest has by model, None where it refuses: an unparsable configuration."""
    models: dict[str, dict[str, bytes]] = {}
    for path, data in objects.items():
        top, _, inside = path.partition("/")
        model, _, name = inside.partition("/")
        if top == digest and name:
            models.setdefault(model, {})[name] = data
    barred = any(b"tritonsmith_has" in data for files in models.values() for data in files.values())
    return None if barred or not models else models


def test_a_server_finds_the_models_below_the_printed_url(store: LocalStore, repository: Path) -> None:
    pushed = push(repository, store.url("found"))
    assert pushed.url == store.url(f"found/{pushed.digest}")
    models = loaded(objects(store, "found"), pushed.digest)
    assert models == {
        "double": {"config.pbtxt": b'backend: "python"', "1/model.py": b"first"},  # no bytecode
        "ensemble": {"config.pbtxt": b'platform: "ensemble"', "1/.gitkeep": b""},  # stores keep no empty folders
        "bare": {"1/model.onnx": b"weights"},
    }


def test_what_was_pushed_is_not_pushed_again(store: LocalStore, repository: Path) -> None:
    first, again = push(repository, store.url("again")), push(repository, store.url("again"))
    assert (len(first.uploaded), again.uploaded, again.copied) == (5, (), ())
    assert again.url == first.url


def test_a_url_written_into_the_spec_makes_no_other_url(store: LocalStore, repository: Path) -> None:
    lock = repository / LOCK_FILE
    lock.write_bytes(render_lock(Lock({}, "r")))
    first = push(repository, store.url("named"))
    lock.write_bytes(render_lock(Lock({}, "r", settings={"deploy": {"repository": {"store": first.url}}})))
    second = push(repository, store.url("named"))
    assert (second.url, len(second.uploaded), len(second.present)) == (first.url, 1, 5)
    locks = {name: data for name, data in objects(store, "named").items() if LOCK_FILE in name}
    assert list(locks.values()) == [lock.read_bytes()]


def test_what_has_not_changed_is_copied_in_the_store(store: LocalStore, repository: Path) -> None:
    first = push(repository, store.url("copied"))
    (repository / "double/1/model.py").write_text("second")
    second = push(repository, store.url("copied"))
    assert second.uploaded == ("double/1/model.py", "ensemble/1/.gitkeep")
    assert set(second.copied) == {"double/config.pbtxt", "ensemble/config.pbtxt", "bare/1/model.onnx"}
    there = objects(store, "copied")
    assert (there[f"{first.digest}/double/1/model.py"], there[f"{second.digest}/double/1/model.py"]) == (
        b"first",
        b"second",
    )


def test_what_somebody_changed_in_the_store_is_not_copied(store: LocalStore, repository: Path) -> None:
    first = push(repository, store.url("changed"))
    put(store, f"changed/{first.digest}/bare/1/model.onnx", b"WEIGHTS")
    (repository / "double/1/model.py").write_text("second")
    assert "bare/1/model.onnx" in push(repository, store.url("changed")).uploaded


def test_a_push_heals_what_somebody_changed_or_added(store: LocalStore, repository: Path) -> None:
    pushed = push(repository, store.url("healed"))
    right = objects(store, "healed")
    put(store, f"healed/{pushed.digest}/bare/1/model.onnx", b"WEIGHTS")
    put(store, f"healed/{pushed.digest}/bare/2/model.onnx", b"newer")
    push(repository, store.url("healed"))
    assert loaded(objects(store, "healed"), pushed.digest) == loaded(right, pushed.digest)


@pytest.mark.parametrize(("phase", "first"), [("before", 9), ("body", 11), ("after", 7)])
def test_a_push_that_is_cut_off_leaves_old_and_new_whole_or_barred(
    store: LocalStore, repository: Path, phase: Any, first: int
) -> None:
    path = f"cut-{phase}"
    old = push(repository, store.url(path))
    before = loaded(objects(store, path), old.digest)
    (repository / "double/1/model.py").write_text("second")
    (repository / "ensemble/config.pbtxt").write_text('platform: "ensemble" # second')
    new = push(repository, store.url(f"{path}-whole"))
    wanted, after = loaded(objects(store, f"{path}-whole"), new.digest), None
    for request in itertools.count(first, 7):
        store.cut_at(request, phase)
        try:
            was_cut = push(repository, store.url(path), kept=1).unpruned != ""
        except TritonsmithError:
            was_cut = True
        store.mend()
        there = objects(store, path)
        after = loaded(there, new.digest)
        assert loaded(there, old.digest) in (before, None)
        assert after in (None, wanted)
        current = new.digest if new.digest.encode() in there[POINTER] else old.digest
        assert loaded(there, current) is not None
        if not was_cut:
            break
    assert after == wanted != before
    assert f"{old.digest}/{MANIFEST}" not in objects(store, path)


def test_an_interrupted_push_goes_on_with_what_is_missing(store: LocalStore, repository: Path) -> None:
    for number in range(30):
        (repository / f"bare/1/part{number}").write_text(str(number))
    store.cut_at(25)
    with pytest.raises(ServerError):
        push(repository, store.url("resumed"))
    store.mend()
    pushed = push(repository, store.url("resumed"))
    assert any(name.startswith("bare/1/part") for name in pushed.present)
    assert any(name.startswith("bare/1/part") for name in pushed.uploaded)


@pytest.mark.parametrize("size", [3, BLOCK_BYTES + 3])
def test_what_an_unfinished_push_left_counts_by_its_content(store: LocalStore, tmp_path: Path, size: int) -> None:
    weights, url = tmp_path / "m" / "1" / "weights", f"resumed-{size}"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"a" * size)
    pushed = push(tmp_path, store.url(url))
    store.client.delete_object(Bucket="models", Key=f"{url}/{pushed.digest}/{MANIFEST}")
    assert push(tmp_path, store.url(url), is_dry=True).uploaded == ()
    put(store, f"{url}/{pushed.digest}/m/1/weights", b"b" * size)
    assert push(tmp_path, store.url(url)).uploaded == ("m/1/weights",)
    assert objects(store, url)[f"{pushed.digest}/m/1/weights"] == b"a" * size


def test_a_push_after_which_nothing_can_be_removed_is_done_and_says_so(
    store: LocalStore, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(repository, store.url("stuck"))
    (repository / "double/1/model.py").write_text("second")

    def refuse(*_: object) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(prune, "_remove", refuse)
    pushed = push(repository, store.url("stuck"), kept=1)
    assert (pushed.removed, pushed.unpruned) == ((), "PermissionError: Access Denied")
    assert pushed.digest.encode() in objects(store, "stuck")[POINTER]


def test_a_dry_run_says_which_pushes_would_go(store: LocalStore, repository: Path) -> None:
    old = push(repository, store.url("going"))
    (repository / "double/1/model.py").write_text("second")
    assert push(repository, store.url("going"), kept=1, is_dry=True).removed == (old.digest,)
    assert f"{old.digest}/{MANIFEST}" in objects(store, "going")


def test_a_model_that_another_push_finished_is_not_barred_again(store: LocalStore, repository: Path) -> None:
    pushed = push(repository, store.url("raced"))
    place = parse_address(pushed.url)
    bar(open_store(place), place, ["double/config.pbtxt"], UNFINISHED, is_new=True)
    assert objects(store, "raced")[f"{pushed.digest}/double/config.pbtxt"] == b'backend: "python"'


class Conditional:
    """A store that answers a conditional write with an error of its own."""

    def __init__(self, problem: Exception, *, is_there: bool) -> None:
        self.problem, self.is_there = problem, is_there
        self.written: list[str] = []

    def pipe_file(self, path: str, data: bytes, mode: str = "overwrite") -> None:
        if mode == "create":
            raise self.problem
        self.written.append(path)

    def exists(self, path: str) -> bool:
        return self.is_there


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EINVAL])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_store_without_conditional_writes_is_barred_only_where_nothing_is(code: int, is_there: bool) -> None:
    store = Conditional(OSError(code, "no"), is_there=is_there)
    bar(store, parse_address("s3://models/path"), ["double/config.pbtxt"], UNFINISHED, is_new=True)
    assert store.written == ([] if is_there else ["models/path/double/config.pbtxt"])


@pytest.mark.parametrize("problem", [PermissionError("denied"), TimeoutError(), OSError(errno.EIO, "a conflict")])
def test_a_conditional_write_that_failed_is_never_followed_by_an_unconditional_one(problem: OSError) -> None:
    store = Conditional(problem, is_there=False)
    with pytest.raises(type(problem)):
        bar(store, parse_address("s3://models/path"), ["double/config.pbtxt"], UNFINISHED, is_new=True)
    assert store.written == []


def test_every_configuration_that_a_server_may_be_told_to_read_is_barred() -> None:
    paths = ["a/config.pbtxt", "a/configs/small.pbtxt", "a/1/config.pbtxt", "b/1/model.onnx", "tritonsmith.lock.12"]
    assert bars_of(paths) == ["a/config.pbtxt", "a/configs/small.pbtxt", "b/config.pbtxt"]


def test_a_file_that_changed_since_it_was_hashed_makes_no_object(store: LocalStore, tmp_path: Path) -> None:
    address = parse_address(store.url("torn/file"))
    for size in (10, BLOCK_BYTES + 10):
        file = tmp_path / "m" / "1" / "weights"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"a" * size)
        stored = read_contents(tmp_path).files["m/1/weights"]
        file.write_bytes(b"b" * size)
        with pytest.raises(RepositoryError, match="changed while it was pushed"):
            upload(open_store(address), file, address.path, stored, Event())
    assert objects(store, "torn") == {}


def test_a_big_file_goes_in_parts(store: LocalStore, tmp_path: Path) -> None:
    file = tmp_path / "m" / "1" / "engine"
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(range(256)) * (BLOCK_BYTES // 256) + b"end")
    pushed = push(tmp_path, store.url("big"))
    entry = store.client.head_object(Bucket="models", Key=f"big/{pushed.digest}/m/1/engine")
    assert (entry["ContentLength"], entry["ETag"].endswith('-2"')) == (BLOCK_BYTES + 3, True)


def test_of_a_paths_pushes_as_many_stay_as_asked_for(store: LocalStore, repository: Path) -> None:
    digests = []
    for text in ("one", "two", "three"):
        (repository / "double/1/model.py").write_text(text)
        digests.append(push(repository, store.url("kept")).digest)
    (repository / "double/1/model.py").write_text("one")
    again = push(repository, store.url("kept"), kept=1)  # what is pushed again is the newest
    assert again.digest == digests[0]
    assert set(again.removed) == set(digests[1:])
    assert {name.partition("/")[0] for name in objects(store, "kept")} == {digests[0], POINTER}


def test_what_a_broken_push_left_goes_only_when_it_is_old(
    store: LocalStore, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = f"left/{'0' * 64}"
    put(store, f"{broken}/double/config.pbtxt", UNFINISHED)
    assert push(repository, store.url("left")).removed == ()
    monkeypatch.setattr(prune, "UNFINISHED_S", -1.0)
    assert push(repository, store.url("left")).removed == ("0" * 64,)
    assert not objects(store, broken)


def test_a_whole_push_is_never_taken_for_a_broken_one(
    store: LocalStore, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = push(repository, store.url("whole"))
    monkeypatch.setattr(prune, "UNFINISHED_S", -1.0)
    (repository / "double/1/model.py").write_text("second")
    assert push(repository, store.url("whole")).removed == ()
    assert f"{first.digest}/{MANIFEST}" in objects(store, "whole")


def test_a_dry_run_writes_nothing(store: LocalStore, repository: Path) -> None:
    assert len(push(repository, store.url("dry"), is_dry=True).uploaded) == 5
    assert objects(store, "dry") == {}


def test_a_path_with_other_models_is_refused(store: LocalStore, repository: Path) -> None:
    put(store, "shared/resnet/config.pbtxt")
    with pytest.raises(RepositoryError, match="resnet"):
        push(repository, store.url("shared"))


def test_the_url_of_one_push_is_no_path_to_push_to(store: LocalStore, repository: Path) -> None:
    with pytest.raises(UsageError, match="names one push"):
        push(repository, store.url("0" * 64))


def test_links_are_resolved_and_broken_ones_refused(store: LocalStore, repository: Path, tmp_path: Path) -> None:
    (tmp_path / "engine").write_text("engine")
    (repository / "bare/1/engine").symlink_to(tmp_path / "engine")
    pushed = push(repository, store.url("links"))
    assert objects(store, "links")[f"{pushed.digest}/bare/1/engine"] == b"engine"
    (repository / "bare/1/gone").symlink_to(tmp_path / "nothing")
    with pytest.raises(RepositoryError, match="bare/1/gone is a link to nothing"):
        push(repository, store.url("links"))


def test_names_that_tritons_urls_do_not_take_are_refused(store: LocalStore, repository: Path) -> None:
    (repository / "bare/1/a b").write_text("")
    with pytest.raises(RepositoryError, match="do not take 'bare/1/a b'"):
        push(repository, store.url("names"))


def test_a_bucket_that_does_not_exist_is_named(store: LocalStore, repository: Path) -> None:
    with pytest.raises(RepositoryError, match="bucket does not exist"):
        push(repository, store.url("x").replace("/models/", "/nothing/"))


def test_a_store_that_does_not_answer_is_an_error_of_the_server(store: LocalStore, repository: Path) -> None:
    with pytest.raises(ServerError, match="cannot work with the store"):
        push(repository, "s3://127.0.0.1:1/models/x")
