"""Workers of one host take turns, and one with another version does not measure."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tritonsmith.generator.errors import ToolMissingError
from tritonsmith.perf.document import Place, Sweep
from tritonsmith.perf.executors.worker import one_at_a_time, require_versions


def test_one_measures_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    entered = threading.Event()

    def measure() -> None:
        with one_at_a_time():
            entered.set()

    other = threading.Thread(target=measure)
    with one_at_a_time():
        other.start()
        assert not entered.wait(0.2)
    assert entered.wait(10)
    other.join()


def test_a_host_with_another_version_is_refused(make_sweep: Callable[..., Sweep]) -> None:
    here = make_sweep().environment
    require_versions(Place("b", replace(here, cores=99)), here)
    with pytest.raises(ToolMissingError, match=r"b: tritonsmith 0\.0\.1 there"):
        require_versions(Place("b", replace(here, tritonsmith="0.0.1")), here)
