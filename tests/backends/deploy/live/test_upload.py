"""Uploads: what the channel carries, the copies that are the way back, and numbers on the server."""

from pathlib import Path

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.control import Control
from tritonsmith.backends.deploy.live.core import MARK, Change, Plan, Running, Unit, Wanted
from tritonsmith.backends.deploy.live.upload import MOST_BYTES, Uploads, renumbered, served_numbers
from tritonsmith.backends.deploy.live.wanted import mark_of, read_wanted
from tritonsmith.generator.errors import RepositoryError, UsageError
from tritonsmith.generator.repository.read import read_repository


def uploads(folder: Path, *, kept: int = 2, is_forced: bool = False) -> Uploads:
    return Uploads(folder / "store", None, Control("127.0.0.1:1"), kept, is_forced=is_forced)  # type: ignore[arg-type]


def wanted(folder: Path, text: str = "text") -> Wanted:
    model = folder / text / "m"
    (model / "1").mkdir(parents=True, exist_ok=True)
    (model / "1" / "model.py").write_text(text)
    (model / "config.pbtxt").write_text('backend: "python"')
    return read_wanted(read_repository(folder / text), None)["m"]


def prepare(channel: Uploads, model: Wanted, running: Running | None = None) -> None:
    plan = Plan((Unit((Change("m", ("new",), {1: 1}, (1,)),), ("m",)),))
    channel.prepare(plan, {"m": model}, {"m": running} if running else {})
    channel.finish(plan)


def uploaded(model: Wanted) -> Running:
    return Running({1: "READY"}, ModelConfig(name="m", metric_tags={MARK: mark_of(model.content)}))


def test_more_than_a_load_call_carries_is_refused_with_the_ways_round(tmp_path: Path) -> None:
    model = wanted(tmp_path)
    with model.files["1/model.py"].open("r+b") as file:
        file.truncate(MOST_BYTES)  # no byte of it is written
    with pytest.raises(UsageError, match=r"one load call carries 2,147,483,647") as refused:
        prepare(uploads(tmp_path), model)
    assert "--server-repository" in refused.value.hint
    assert "--push" in refused.value.hint


def test_files_that_change_before_they_are_copied_are_refused(tmp_path: Path) -> None:
    model = wanted(tmp_path)
    model.files["1/model.py"].write_text("next")
    with pytest.raises(RepositoryError, match="changed while they were copied"):
        prepare(uploads(tmp_path), model)
    assert not list((tmp_path / "store" / "m").glob("[!.]*"))


def test_of_a_model_the_last_uploads_are_kept(tmp_path: Path) -> None:
    for text in "abc":
        prepare(uploads(tmp_path), wanted(tmp_path, text))
    kept = sorted(path.read_text() for path in (tmp_path / "store").glob("m/*/files/1/model.py"))
    assert kept == ["b", "c"]


def test_an_upload_of_which_no_copy_is_here_is_not_replaced_unless_forced(tmp_path: Path) -> None:
    old, new = wanted(tmp_path, "old"), wanted(tmp_path, "new")
    with pytest.raises(RepositoryError, match="could not be brought back"):
        prepare(uploads(tmp_path), new, uploaded(old))
    prepare(uploads(tmp_path, is_forced=True), new, uploaded(old))
    prepare(uploads(tmp_path), old, uploaded(new))


def test_what_runs_is_known_by_its_mark(tmp_path: Path) -> None:
    model, other = wanted(tmp_path), wanted(tmp_path, "other")
    channel = uploads(tmp_path)
    assert channel.present({"m": model}, {"m": uploaded(model)}) == {"m": model.content}
    assert channel.present({"m": model}, {"m": uploaded(other)}) == {}


def test_versions_travel_under_the_servers_numbers_and_an_empty_one_with_a_file(tmp_path: Path) -> None:
    (tmp_path / "files" / "1").mkdir(parents=True)
    assert dict(renumbered(tmp_path / "files", {1: 1})) == {"1/.tritonsmith": b""}
    (tmp_path / "files" / "1" / "model.py").write_bytes(b"code")
    (tmp_path / "files" / "labels.txt").write_bytes(b"labels")
    assert dict(renumbered(tmp_path / "files", {1: 7})) == {"7/model.py": b"code", "labels.txt": b"labels"}


def test_an_only_version_has_the_servers_number_and_several_have_their_own() -> None:
    assert served_numbers([1], [7]) == {1: 7}
    assert served_numbers([1, 2], [2]) == {1: 1, 2: 2}
    assert served_numbers([1], []) == {1: 1}


def test_the_copy_of_a_failed_upload_does_not_count_among_those_that_are_kept(tmp_path: Path) -> None:
    models = [wanted(tmp_path, text) for text in "abc"]
    channel = uploads(tmp_path)
    for model in models[:2]:
        prepare(channel, model)
    plan = Plan((Unit((Change("m", ("new",), {1: 1}, (1,)),), ("m",)),))
    channel.prepare(plan, {"m": models[2]}, {"m": uploaded(models[1])})
    channel.discard()
    assert sorted(path.read_text() for path in (tmp_path / "store").glob("m/*/files/1/model.py")) == ["a", "b"]
    channel.prepare(plan, {"m": models[1]}, {"m": uploaded(models[1])})
    channel.discard()
    assert sorted(path.read_text() for path in (tmp_path / "store").glob("m/*/files/1/model.py")) == ["a", "b"]
