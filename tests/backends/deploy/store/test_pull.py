import json
from pathlib import Path

import pytest

from tritonsmith.backends.deploy.store.contents import read_contents
from tritonsmith.backends.deploy.store.fetch import alone_in
from tritonsmith.backends.deploy.store.pull import RECORD, pull
from tritonsmith.backends.deploy.store.push import push
from tritonsmith.generator.errors import RepositoryError, TritonsmithError, UsageError
from tritonsmith.perf.bench.local_store import LocalStore

DEMO = Path(__file__).parents[4] / "model_repository"


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != RECORD and path.parent.name != "__pycache__"
    }


def test_what_was_built_comes_back_to_the_byte(store: LocalStore, tmp_path: Path) -> None:
    pushed = push(DEMO, store.url("demo"))
    target = tmp_path / "pulled"
    assert pull(pushed.url, target).digest == pushed.digest
    assert files(target) == files(DEMO)
    assert read_contents(target).digest == read_contents(DEMO).digest
    assert push(target, store.url("demo")).uploaded == ()


def test_folders_without_files_come_back(store: LocalStore, repository: Path, tmp_path: Path) -> None:
    push(repository, store.url("empty"))
    pull(store.url("empty"), tmp_path / "pulled")
    assert list((tmp_path / "pulled/ensemble/1").iterdir()) == []


def test_folders_that_the_next_push_lacks_are_removed(store: LocalStore, repository: Path, tmp_path: Path) -> None:
    (repository / "ensemble/2").mkdir()
    push(repository, store.url("folders"))
    pull(store.url("folders"), tmp_path / "pulled")
    (repository / "ensemble/2").rmdir()
    push(repository, store.url("folders"))
    pull(store.url("folders"), tmp_path / "pulled")
    assert sorted(path.name for path in (tmp_path / "pulled/ensemble").iterdir()) == ["1", "config.pbtxt"]


def test_a_path_gives_the_last_push_and_a_pushs_url_that_one(
    store: LocalStore, repository: Path, tmp_path: Path
) -> None:
    first = push(repository, store.url("two"))
    (repository / "double/1/model.py").write_text("second")
    push(repository, store.url("two"))
    target = tmp_path / "pulled"
    pull(store.url("two"), target)
    assert (target / "double/1/model.py").read_text() == "second"
    assert pull(first.url, target).changed == ("double/1/model.py",)
    assert (target / "double/1/model.py").read_text() == "first"


def test_a_pull_of_what_is_there_changes_nothing(store: LocalStore, repository: Path, tmp_path: Path) -> None:
    push(repository, store.url("same"))
    pull(store.url("same"), tmp_path / "pulled")
    before = (tmp_path / "pulled").stat().st_ino
    again = pull(store.url("same"), tmp_path / "pulled")
    assert (again.added, again.changed, again.removed, again.fetched_bytes) == ((), (), (), 0)
    assert (tmp_path / "pulled").stat().st_ino == before


def test_files_that_were_edited_are_refused_and_forced(store: LocalStore, repository: Path, tmp_path: Path) -> None:
    target = tmp_path / "pulled"
    push(repository, store.url("edited"))
    pull(store.url("edited"), target)
    (target / "double/1/model.py").write_text("mine")
    (target / "notes.txt").write_text("mine")
    (repository / "double/1/model.py").write_text("second")
    push(repository, store.url("edited"))
    with pytest.raises(RepositoryError, match=r"double/1/model\.py was edited since it was written"):
        pull(store.url("edited"), target)
    assert (target / "double/1/model.py").read_text() == "mine"
    pull(store.url("edited"), target, is_forced=True)
    assert (target / "double/1/model.py").read_text() == "second"
    assert (target / "notes.txt").read_text() == "mine"


def test_files_that_the_next_push_lacks_are_removed(store: LocalStore, repository: Path, tmp_path: Path) -> None:
    push(repository, store.url("fewer"))
    pull(store.url("fewer"), tmp_path / "pulled")
    (repository / "bare/1/model.onnx").unlink()
    (repository / "bare/1").rmdir()
    (repository / "bare").rmdir()
    push(repository, store.url("fewer"))
    assert pull(store.url("fewer"), tmp_path / "pulled").removed == ("bare/1/model.onnx",)
    assert not (tmp_path / "pulled/bare").exists()


def test_an_object_that_is_not_what_was_pushed_is_never_put_in_place(
    store: LocalStore, repository: Path, tmp_path: Path
) -> None:
    pushed = push(repository, store.url("wrong"))
    store.client.put_object(Bucket="models", Key=f"wrong/{pushed.digest}/bare/1/model.onnx", Body=b"WEIGHTS")
    with pytest.raises(RepositoryError, match="not what was pushed"):
        pull(store.url("wrong"), tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()


def test_a_manifest_that_leads_out_of_the_repository_is_refused(
    store: LocalStore, repository: Path, tmp_path: Path
) -> None:
    pushed = push(repository, store.url("climbs"))
    key = f"climbs/{pushed.digest}/tritonsmith.manifest.json"
    manifest = json.loads(store.client.get_object(Bucket="models", Key=key)["Body"].read())
    manifest["files"]["../escaped"] = manifest["files"].pop("double/1/model.py")
    store.client.put_object(Bucket="models", Key=key, Body=json.dumps(manifest).encode())
    with pytest.raises(RepositoryError, match="is not as it was written"):
        pull(store.url("climbs"), tmp_path / "pulled")
    assert not (tmp_path / "escaped").exists()


def test_an_interrupted_pull_goes_on_with_what_is_missing(store: LocalStore, repository: Path, tmp_path: Path) -> None:
    for number in range(20):
        (repository / f"bare/1/part{number}").write_text(str(number))
    push(repository, store.url("halfway"))
    store.mend()
    pull(store.url("halfway"), tmp_path / "whole")
    whole, target = store.requests, tmp_path / "pulled"
    store.cut_at(whole - 2)
    with pytest.raises(TritonsmithError):
        pull(store.url("halfway"), target)
    assert not target.exists()
    store.mend()
    pull(store.url("halfway"), target)
    assert store.requests < whole / 2
    assert read_contents(target).digest == read_contents(repository).digest
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_two_pulls_into_one_folder_exclude_each_other(store: LocalStore, repository: Path, tmp_path: Path) -> None:
    push(repository, store.url("twice"))
    with (
        alone_in(tmp_path / ".pulled.tritonsmith-pull"),
        pytest.raises(RepositoryError, match="another process is fetching"),
    ):
        pull(store.url("twice"), tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()
    pull(store.url("twice"), tmp_path / "pulled")


def test_a_path_to_which_nothing_was_pushed_is_named(store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="no repository was pushed to"):
        pull(store.url("void"), tmp_path / "pulled")


def test_credentials_in_a_url_are_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        pull("s3://KEY:SECRET@models/path", tmp_path / "pulled")
    assert "SECRET" not in str(refused.value)
