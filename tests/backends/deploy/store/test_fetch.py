import hashlib
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

from tritonsmith.backends.deploy.store import fetch as script
from tritonsmith.backends.deploy.store.contents import read_contents
from tritonsmith.backends.deploy.store.fetch import download, fetch, open_store, parse_address
from tritonsmith.backends.deploy.store.push import push
from tritonsmith.backends.deploy.store.reach import reached
from tritonsmith.generator.errors import ToolMissingError
from tritonsmith.perf.bench.local_store import LocalStore


@pytest.mark.parametrize(
    ("url", "path", "endpoint"),
    [
        ("s3://bucket/a/b/", "bucket/a/b", None),
        ("s3://host:9000/bucket/a", "bucket/a", "http://host:9000"),
        ("s3://http://10.0.0.1:9000/bucket/a", "bucket/a", "http://10.0.0.1:9000"),
        ("s3://https://minio.internal:443/bucket/a", "bucket/a", "https://minio.internal:443"),
        ("gs://bucket/a", "bucket/a", None),
        ("as://account/container/a", "container/a", None),
    ],
)
def test_urls_are_those_that_triton_takes(url: str, path: str, endpoint: str | None) -> None:
    address = parse_address(url)
    assert (address.path, address.options.get("endpoint_url")) == (path, endpoint)
    assert address.below("x").url == f"{url.rstrip('/')}/x"


@pytest.mark.parametrize(
    "url", ["s3://bucket", "http://host/a", "./folder", "s3://bucket/../a", "s3://bucket/a b", "as://account/container"]
)
def test_what_is_no_place_in_a_store_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"no store's URL|no bucket and path"):
        parse_address(url)


def test_an_azure_key_is_taken_by_tritons_name_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_KEY", "very-secret")
    address = parse_address("as://account/container/a")
    assert address.options["account_key"] == "very-secret"
    assert "very-secret" not in repr(address)


def test_the_script_stands_alone(store: LocalStore, repository: Path, tmp_path: Path) -> None:
    pushed = push(repository, store.url("alone"))
    code = Path(script.__file__).read_text()
    assert "tritonsmith." not in code.replace("tritonsmith.current", "").replace("tritonsmith.manifest", "")
    (tmp_path / "fetch.py").write_text(code)
    argv = [sys.executable, "-I", str(tmp_path / "fetch.py"), pushed.url, str(tmp_path / "models")]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout == f"{pushed.digest}\n"
    assert read_contents(tmp_path / "models").digest == pushed.digest


@pytest.mark.parametrize(("arguments", "status"), [([], 2), (["s3://b", "x"], 4), (["s3://127.0.0.1:1/b/c", "x"], 6)])
def test_the_script_ends_with_our_statuses(
    arguments: list[str], status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: LocalStore
) -> None:
    monkeypatch.chdir(tmp_path)
    assert script.main(arguments) == status


def test_a_folder_that_held_an_earlier_push_holds_the_next_one_alone(
    store: LocalStore, repository: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    (repository / "double/2").mkdir()
    (repository / "double/2/model.py").write_text("newer")
    (repository / "ensemble/2").mkdir()
    fetch(push(repository, store.url("next")).url, folder)
    (folder / "double/2/__pycache__").mkdir()
    (folder / "double/2/__pycache__/model.pyc").write_text("bytecode of a server")
    (repository / "double/2/model.py").unlink()
    (repository / "double/2").rmdir()
    (repository / "ensemble/2").rmdir()
    digest = fetch(push(repository, store.url("next")).url, folder)
    assert read_contents(folder).digest == digest


def test_files_of_others_in_the_folder_are_refused(store: LocalStore, repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    (folder / "stray/1").mkdir(parents=True)
    (folder / "stray/1/model.onnx").write_text("")
    with pytest.raises(script.StoreError, match=r"stray/1/model\.onnx"):
        fetch(push(repository, store.url("stray")).url, folder)


@pytest.mark.parametrize("left", [b"wei", b"WEI", b"weights and more"])
def test_an_interrupted_copy_is_gone_on_with_or_begun_anew(
    left: bytes, store: LocalStore, repository: Path, tmp_path: Path
) -> None:
    pushed = push(repository, store.url("parts"))
    address = parse_address(pushed.url)
    (tmp_path / ".model.onnx.part").write_bytes(left)
    stored = read_contents(repository).files["bare/1/model.onnx"]
    source = f"{address.path}/bare/1/model.onnx"
    download(open_store(address), source, tmp_path / "model.onnx", stored, Event())
    assert (tmp_path / "model.onnx").read_bytes() == b"weights"
    assert not (tmp_path / ".model.onnx.part").exists()


@pytest.mark.parametrize("left", [0, 1, 20, 45])
def test_a_record_of_which_a_part_was_written_stops_nobody(
    left: int, store: LocalStore, repository: Path, tmp_path: Path
) -> None:
    pushed, folder = push(repository, store.url("record")), tmp_path / "models"
    fetch(pushed.url, folder)
    record = (folder / script.FETCHED).read_bytes()
    (folder / script.FETCHED).write_bytes(record[:left])
    assert fetch(pushed.url, folder) == pushed.digest
    assert (folder / script.FETCHED).read_bytes() == record


@pytest.mark.parametrize("record", ["3", '["../precious", "/precious", 3]'])
def test_a_record_that_is_none_of_ours_removes_nothing(
    record: str, store: LocalStore, repository: Path, tmp_path: Path
) -> None:
    folder, precious = tmp_path / "models", tmp_path / "precious"
    folder.mkdir()
    precious.write_text("mine")
    (tmp_path / ".precious.part").write_text("mine")
    (folder / script.FETCHED).write_text(record)
    fetch(push(repository, store.url("precious")).url, folder)
    assert precious.exists()
    assert (tmp_path / ".precious.part").exists()


def test_what_an_interrupted_fetch_began_goes_where_the_next_push_lacks_it(
    store: LocalStore, repository: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    (repository / "double/2").mkdir()
    (repository / "double/2/model.py").write_text("newer")
    fetch(push(repository, store.url("begun")).url, folder)
    (folder / "double/2/model.py").rename(folder / "double/2/.model.py.part")
    (repository / "double/2/model.py").unlink()
    (repository / "double/2").rmdir()
    fetch(push(repository, store.url("begun")).url, folder)
    assert not (folder / "double/2").exists()  # Triton would take it for the newest version


def test_two_fetches_into_one_folder_exclude_each_other(store: LocalStore, repository: Path, tmp_path: Path) -> None:
    pushed, folder = push(repository, store.url("both")), tmp_path / "models"
    with script.alone_in(folder), pytest.raises(script.StoreError, match="another process is fetching"):
        fetch(pushed.url, folder)
    fetch(pushed.url, folder)
    assert read_contents(folder).digest == pushed.digest


def test_a_file_into_which_two_wrote_is_copied_anew(tmp_path: Path) -> None:
    """As on a file system without locks: each has read what is right, and the file has it twice."""
    stored = script.Stored(hashlib.sha256(b"weights").hexdigest(), 7)

    class Shared:
        is_first = True

        def cat_file(self, source: str, start: int, end: int) -> bytes:
            if self.is_first:
                self.is_first = False
                with (tmp_path / ".model.onnx.part").open("ab") as other:
                    other.write(b"weights")
            return b"weights"[start:end]

    (tmp_path / ".model.onnx.part").write_bytes(b"")
    download(Shared(), "models/model.onnx", tmp_path / "model.onnx", stored, Event())
    assert (tmp_path / "model.onnx").read_bytes() == b"weights"


def test_a_missing_implementation_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(ToolMissingError, match="needs gcsfs") as missing, reached(parse_address("gs://bucket/a")):
        pass
    assert missing.value.hint == "pip install 'tritonsmith[store]'"
