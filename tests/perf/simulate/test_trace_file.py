from pathlib import Path

import pytest

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.simulate import Trace
from tritonsmith.perf.simulate.trace_file import read_trace


def test_a_line_is_a_time_and_how_many_rows(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("# seconds, rows\n0.5\n\n0.25,4  # a batch\n1e0,2\n")
    assert read_trace(tmp_path / "t") == Trace((0.25, 0.5, 1.0), (4, 1, 2))


@pytest.mark.parametrize("line", ["x", "-1", "nan", "inf", "1,0", "1,x", "1,2,3", "1,1.5"])
def test_what_is_no_arrival_is_told_with_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "t").write_text(f"0\n{line}\n")
    with pytest.raises(UsageError, match=f"'{line}' is no arrival") as raised:
        read_trace(tmp_path / "t")
    assert raised.value.where.endswith("t:2")


def test_a_file_without_arrivals_and_none_at_all_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("# nothing\n")
    with pytest.raises(UsageError, match="no request in"):
        read_trace(tmp_path / "t")
    with pytest.raises(UsageError, match="cannot read"):
        read_trace(tmp_path / "none")
