"""What a roll-out writes down before it touches anything."""

import stat
from pathlib import Path

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.deploy.live.core import Change, Running, Unit
from tritonsmith.backends.deploy.live.journal import Entry, Journal
from tritonsmith.generator.errors import UsageError

BEFORE = {"m": Running({1: "READY"}, ModelConfig(name="m", max_batch_size=8)), "new": Running({})}
AFTER = {"m": Running({2: "READY"}, ModelConfig(name="m", max_batch_size=4))}
UNITS = (Unit((Change("m", ("x",), {1: 2}, (2,)),), ("m",)), Unit((Change("new", ("new",), {1: 1}, (1,)),), ("new",)))


def test_what_is_written_is_read_again_the_last_change_first(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deploys" / "journal.json")
    assert journal.read() is None
    journal.write(Entry("host:8000", UNITS, BEFORE, AFTER))
    entry = journal.read()
    assert entry is not None
    assert (entry.url, entry.is_settled, entry.models) == ("host:8000", False, ("new", "m"))
    assert (dict(entry.before), dict(entry.after)) == (BEFORE, AFTER)
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    journal.write(Entry("host:8000", UNITS, BEFORE, AFTER, is_settled=True))
    assert (settled := journal.read()) is not None
    assert settled.is_settled
    journal.remove()
    assert journal.read() is None


def test_what_cannot_be_read_is_not_taken_for_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.json")
    journal.path.write_text("{")
    with pytest.raises(UsageError, match="an earlier deploy was interrupted"):
        journal.read()
