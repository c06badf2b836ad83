from pathlib import Path

from tritonsmith.ensembles.build import build_repository

ROOT = Path(__file__).parents[2]


def files_of(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_the_committed_repository_is_what_make_regen_builds(tmp_path: Path) -> None:
    build_repository(ROOT / "ensembles" / "image_classification" / "spec.yaml", tmp_path / "model_repository")
    assert files_of(tmp_path / "model_repository") == files_of(ROOT / "model_repository")


def test_two_builds_of_one_spec_are_equal_to_the_byte(tmp_path: Path) -> None:
    spec = ROOT / "ensembles" / "streaming_sequence" / "spec.yaml"
    for name in ("one", "two"):
        build_repository(spec, tmp_path / name)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
