from pathlib import Path

import pytest

from tritonsmith.ensembles.blueprint import blueprint_names, find_blueprint
from tritonsmith.ensembles.build import plan_build
from tritonsmith.ensembles.starter import write_starter
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.findings import Severity


@pytest.mark.parametrize("name", blueprint_names())
def test_what_init_writes_builds_without_an_error_or_a_warning(name: str, tmp_path: Path) -> None:
    written = write_starter(find_blueprint(name), tmp_path / "new" / "tritonsmith.yaml")
    assert written[0] == tmp_path / "new" / "tritonsmith.yaml"
    assert set(written) == {path for path in (tmp_path / "new").rglob("*") if path.is_file()}
    findings = plan_build(written[0], tmp_path / "repository").findings
    assert {(finding.severity, finding.code) for finding in findings} <= {
        (Severity.NOTE, "TS416"),
        (Severity.NOTE, "TS640"),
    }


@pytest.mark.parametrize("existing", ["tritonsmith.yaml", "demo"])
def test_nothing_that_exists_is_touched(existing: str, tmp_path: Path) -> None:
    (tmp_path / existing).write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        write_starter(find_blueprint("image_classification"), tmp_path / "tritonsmith.yaml")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(existing, "mine")]


def test_an_unknown_blueprint_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'streaming_sequence'"):
        find_blueprint("streaming_sequences")
