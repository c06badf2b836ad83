"""A repository that travels arrives as it was, or not at all."""

import hashlib
import os
from pathlib import Path

import pytest

from tritonsmith.generator.errors import RepositoryError, ServerError
from tritonsmith.perf.executors.parcel import MAX_PARCEL_BYTES, send_repository, unpack


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    for name in ("one/1", "one/1/__pycache__", "pipe/1", ".git"):
        (folder / name).mkdir(parents=True)
    (folder / "one" / "config.pbtxt").write_text("")
    (folder / "one" / "1" / "model.py").write_bytes(b"same")
    (folder / "one" / "1" / "run").write_bytes(b"same")
    (folder / "one" / "1" / "run").chmod(0o750)
    (folder / "one" / "1" / "__pycache__" / "model.pyc").write_bytes(b"old")
    (folder / ".git" / "object").write_bytes(b"history")
    (folder / "tritonsmith.lock").write_text("{}")
    (tmp_path / "weights").write_bytes(b"heavy")
    (folder / "one" / "1" / "weights").symlink_to(tmp_path / "weights")
    return folder


def test_it_arrives_with_empty_folders_and_without_what_is_no_models(repository: Path, tmp_path: Path) -> None:
    sent: list[bytes] = []
    parcel, places = send_repository(repository, lambda content: sent.append(content) or len(sent) - 1)  # type: ignore[func-returns-value]
    assert sent.count(b"same") == 1  # each content once
    there = tmp_path / "there"
    unpack(parcel, {sha256: sent[place] for sha256, place in places.items()}, there)
    assert {str(path.relative_to(there)) for path in there.rglob("*")} == {
        "one", "one/1", "one/1/model.py", "one/1/run", "one/1/weights", "one/config.pbtxt", "pipe", "pipe/1",
        "tritonsmith.lock",
    }  # fmt: skip
    assert (there / "one" / "1" / "weights").read_bytes() == b"heavy"
    assert os.access(there / "one" / "1" / "run", os.X_OK)
    again, _ = send_repository(there, len)
    assert again.digest == parcel.digest


def test_another_content_is_another_parcel(repository: Path) -> None:
    before, _ = send_repository(repository, len)
    (repository / "one" / "1" / "model.py").write_bytes(b"other")
    after, _ = send_repository(repository, len)
    assert before.digest != after.digest


def test_what_arrives_otherwise_is_refused(repository: Path, tmp_path: Path) -> None:
    parcel, _ = send_repository(repository, len)
    contents = {file.sha256: b"other" for file in parcel.files}
    assert hashlib.sha256(b"other").hexdigest() not in contents
    with pytest.raises(ServerError, match="did not arrive as it was sent"):
        unpack(parcel, contents, tmp_path / "there")


def test_what_is_too_big_stays_and_the_biggest_file_is_named(repository: Path) -> None:
    with (repository / "one" / "1" / "weights.bin").open("wb") as file:
        file.truncate(MAX_PARCEL_BYTES)  # sparse: takes no room
    with pytest.raises(RepositoryError, match=r"2 GiB of it in one/1/weights\.bin; what travels .* may have 2 GiB"):
        send_repository(repository, len)
