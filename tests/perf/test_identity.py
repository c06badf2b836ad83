"""What makes a sweep measure anew: the contents of the models' files, wherever links lead to them."""

import os
from pathlib import Path

from tritonsmith.perf.identity import repository_digest


def test_a_model_behind_a_linked_version_folder_counts(tmp_path: Path) -> None:
    for folder in ("r/m", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "elsewhere" / "model.onnx").write_text("one")
    (tmp_path / "r" / "m" / "1").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "r" / "m" / "1" / "circle").symlink_to("..")
    os.mkfifo(tmp_path / "r" / "m" / "pipe")
    before = repository_digest(tmp_path / "r", ("m",))
    assert repository_digest(tmp_path / "r", ("m",)) == before
    (tmp_path / "elsewhere" / "model.onnx").write_text("two")
    assert repository_digest(tmp_path / "r", ("m",)) != before
