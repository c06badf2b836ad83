"""What goes together with --executor is told before anything is started."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tritonsmith.generator.errors import ToolMissingError, UsageError
from tritonsmith.perf.commands import sweep


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--workers", "2"), "--workers is for --executor ray and --executor kubernetes"),
        (("--image", "cells"), "--image is for --executor kubernetes"),
        (("--executor", "ray", "--sidecar"), "--sidecar is for --executor kubernetes"),
        (("--executor", "kubernetes"), "--executor kubernetes needs the --image of its pods"),
        (("--executor", "kubernetes", "--image", "cells"), "--executor kubernetes needs --results"),
        (("--executor", "kubernetes", "--image", "cells", "--results", "A B"), "'A B' is neither a Persistent"),
        (("--executor", "kubernetes", "--image", "cells", "--results", "ftp://x/y"), "'ftp://x/y/sweep' is no store's"),
        (("--executor", "kubernetes", "--slo", "p99=50ms"), "--slo and --executor kubernetes exclude each other"),
        (("--ray-address", "head:6379"), "--ray-address is for --executor ray"),
        (("--executor", "ray", "--url", "localhost:8000"), "--url and --executor ray exclude each other"),
        (("--executor", "ray", "--slo", "p99=50ms"), "--slo and --executor ray exclude each other"),
        (("--executor", "ray", "--trace", "t.jsonl"), "--trace and --executor ray exclude each other"),
        (("--executor", "ray", "--mix", "a=1,b=1"), "--mix and --executor ray exclude each other"),
        (("--workers", "2", "--mix", "a=1,b=1"), "--workers is for --executor ray"),
    ],
)
def test_what_does_not_go_together_is_refused(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(sweep, [*words, "-o", str(tmp_path / "sweep")])
    assert isinstance(done.exception, UsageError)
    assert said in str(done.exception)
    assert not (tmp_path / "sweep").exists()


def test_without_ray_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    done = CliRunner().invoke(sweep, ["--executor", "ray", "-o", str(tmp_path / "sweep")])
    assert isinstance(done.exception, ToolMissingError)
    assert "pip install 'tritonsmith[ray]'" in done.exception.hint
