"""Reading any model repository: what is there, what does not parse and where, and what is no repository."""

import os
from pathlib import Path

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.repository.core import Content, Model, Repository, SourceFile
from tritonsmith.generator.repository.names import is_version_folder
from tritonsmith.generator.repository.origins import Origins
from tritonsmith.generator.repository.pbtxt import parse_config, render_config
from tritonsmith.generator.repository.read import read_repository
from tritonsmith.generator.repository.write import write_repository

CONFIG = """\
# a comment with { brackets [ and "quotes"
name: "m"  max_batch_size: 8
input [
  { name: "x" data_type: TYPE_FP32 dims: [4, -1] },
  { name: "a # no comment"
    data_type: TYPE_FP32 dims: 4 dims: 5 }
]
input { name: "z" data_type: TYPE_INT8 dims: [ ] }
dynamic_batching <
  preferred_batch_size: [ 2,
    4 ]
  priority_queue_policy { key: 1 value { max_queue_size: 3 } }
>
parameters { key: "side" value: { string_value: "8"
  } }
parameters [ { value { string_value: 'it "is"' " so" } key: "other" } ]
version_policy: { latest { num_versions: 2 } };
backend: "python"
"""


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def test_models_files_and_folders_are_read_but_big_files_are_not_opened(tmp_path: Path) -> None:
    root = write(tmp_path, {"m/config.pbtxt": CONFIG, "m/labels.txt": "a", "n/1/model.py": "pass", "README": "text"})
    (root / "m" / "1" / "deep" / "empty").mkdir(parents=True)
    (root / ".git").mkdir()
    with (root / "n" / "1" / "huge.engine").open("wb") as file:
        file.truncate(1 << 40)
    found = read_repository(root)
    assert list(found.models) == ["m", "n"]
    m, n = found.models.values()
    assert m.config is not None
    assert m.config.max_batch_size == 8
    assert dict(m.files) == {"labels.txt": SourceFile(root / "m" / "labels.txt")}
    assert m.folders == ("1", "1/deep", "1/deep/empty")
    assert (n.config, n.findings, list(n.files)) == (None, (), ["1/huge.engine", "1/model.py"])


def test_links_are_followed_but_not_in_circles_and_bytecode_is_left_out(tmp_path: Path) -> None:
    root = write(tmp_path / "r", {"m/1/model.py": "pass", "m/1/__pycache__/model.pyc": "x"})
    write(tmp_path / "elsewhere", {"config.pbtxt": 'name: "l"', "1/x": "x"})
    (root / "l").symlink_to(tmp_path / "elsewhere")
    (root / "m" / "1" / "again").symlink_to(root / "m")
    (root / "m" / "dangling").symlink_to("nowhere")
    (root / "gone").symlink_to("nowhere")
    found = read_repository(root)
    assert list(found.models["l"].files) == ["1/x"]
    assert found.models["l"].name == "l"
    assert found.models["m"].folders == ("1",)
    assert list(found.models["m"].files) == ["1/model.py"]
    assert found.models["m"].faults == {"1/again": "a link to a folder that holds it", "dangling": "a link to nothing"}
    assert [finding.message for finding in found.models["gone"].findings] == ["the model's folder is a link to nothing"]


def test_a_configuration_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    root = write(tmp_path, {"m/1/model.py": "pass"})
    os.mkfifo(root / "m" / "config.pbtxt")
    (finding,) = read_repository(root).models["m"].findings
    assert finding.message == "cannot read it: neither a file nor a folder"


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ('name: "m"\n  foo: 3\n', "2:3", "unknown field 'foo'"),
        ("max_batch_size: 1\nmax_batch_size: 2\n", "2:1", "max_batch_size"),
        ("dynamic_batching {}\nsequence_batching {}\n", "2:1", "beside 'dynamic_batching'"),
        ("input [ { name: 'x'\n data_type: FP32 } ]", "2:", "FP32"),
        ("input [ {", "1:9", "this '{' is never closed"),
        ('name: "m" \xff'.encode("latin-1"), "1:11", "may stand in strings and comments alone"),
    ],
)
def test_what_does_not_parse_is_a_finding_with_line_and_column(
    tmp_path: Path, text: str | bytes, place: str, said: str
) -> None:
    root = write(tmp_path, {"m/config.pbtxt": text})
    model = read_repository(root).models["m"]
    assert model.config is None
    finding = model.findings[-1]
    assert str(finding).startswith(f"{root}/m/config.pbtxt:{place}")
    assert said in finding.message


def test_bytes_in_a_comment_that_are_no_utf_8_are_regretted_alone(tmp_path: Path) -> None:
    root = write(tmp_path, {"m/config.pbtxt": 'name: "m"\n# caf\xe9'.encode("latin-1")})
    model = read_repository(root).models["m"]
    assert model.config == ModelConfig(name="m")
    assert [(finding.severity.value, finding.place.line) for finding in model.findings] == [("warning", 2)]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "no folder in it holds"),
        ({"a/b": "x", "01/x": "x"}, "no folder in it holds"),
        ({"config.pbtxt": "", "1/model.py": ""}, "this is one model"),
    ],
)
def test_what_is_no_repository_is_an_error_with_the_next_step(
    tmp_path: Path, files: dict[str, str | bytes], said: str
) -> None:
    with pytest.raises(RepositoryError, match=said) as caught:
        read_repository(write(tmp_path, files))
    assert caught.value.hint


def test_a_missing_folder_and_a_file_are_no_repository(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="no such folder"):
        read_repository(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(RepositoryError, match="a file, not a folder"):
        read_repository(tmp_path / "file")


@pytest.mark.parametrize("name", ["0", "1", "10", str(2**63 - 1)])
def test_version_folders_are_those_that_triton_can_load(name: str) -> None:
    assert is_version_folder(name)


@pytest.mark.parametrize("name", ["01", "v1", "1abc", "-1", "+1", "²", "", "configs", str(2**63)])
def test_other_folders_hold_no_version(name: str) -> None:
    assert not is_version_folder(name)


def test_a_folder_whose_name_is_no_utf_8_is_a_model_with_a_fault(tmp_path: Path) -> None:
    (write(tmp_path, {"n/config.pbtxt": CONFIG}) / os.fsdecode(b"m\xff") / "1").mkdir(parents=True)
    models = read_repository(tmp_path).models
    assert list(models) == ["m\\xff", "n"]
    assert (models["m\\xff"].config, models["m\\xff"].faults) == (None, {"": "called by bytes that are not UTF-8"})


def test_a_configuration_beyond_all_measure_is_not_read(tmp_path: Path) -> None:
    with (write(tmp_path, {"m/config.pbtxt": ""}) / "m" / "config.pbtxt").open("wb") as file:
        file.truncate(1 << 40)
    (finding,) = read_repository(tmp_path).models["m"].findings
    assert (finding.severity.value, finding.message[:9]) == ("warning", "more than")


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    config = parse_config(CONFIG, "c")
    assert isinstance(config, ModelConfig)
    wanted = Repository("digits", {"m": Model("m", config, {"1/x": Content(b"x")})}, "digest")
    write_repository(tmp_path / "r", wanted)
    found = read_repository(tmp_path / "r")
    assert (found.name, found.spec_digest) == ("digits", "digest")
    assert found.models["m"].config == config
    assert not write_repository(tmp_path / "r", found)


def test_rendering_does_not_depend_on_the_order_in_which_maps_were_filled() -> None:
    one, other = ModelConfig(), ModelConfig()
    for config, keys in ((one, "abc"), (other, "cba")):
        for key in keys:
            config.parameters[key].string_value = "é"
    assert render_config(one) == render_config(other)
    assert 'string_value: "é"' in render_config(one)


def test_a_build_killed_under_its_journal_is_finished_before_reading(tmp_path: Path) -> None:
    root = write(tmp_path / "r", {"m/config.pbtxt": "max_batch_size: 1", "m/1/x": ""})
    stage = write(root / ".tritonsmith-stage", {"new/m/config.pbtxt": "max_batch_size: 2", "new/m/1/x": ""})
    inode = (stage / "new" / "m").stat().st_ino
    (stage / "journal.json").write_text(f'{{"models": {{"m": {inode}}}, "removed": []}}')
    config = read_repository(root).models["m"].config
    assert config is not None
    assert config.max_batch_size == 2
    assert not stage.exists()


def test_every_field_knows_where_it_was_written() -> None:
    lines = CONFIG.splitlines()
    origins = Origins(CONFIG, "f")
    expected = {
        "name": 2,
        "max_batch_size": 2,
        "input": 3,
        "input[0]": 4,
        "input[0].dims": 4,
        "input[0].dims[1]": 4,
        "input[1].name": 5,
        "input[1].dims": 6,
        "input[1].dims[1]": 6,
        "input[2].dims": 8,
        "dynamic_batching": 9,
        "dynamic_batching.preferred_batch_size": 10,
        "dynamic_batching.preferred_batch_size[1]": 11,
        "dynamic_batching.priority_queue_policy.1.max_queue_size": 12,
        "parameters.side": 14,
        "parameters.side.string_value": 14,
        "parameters.other.string_value": 16,
        "version_policy.latest.num_versions": 17,
        "backend": 18,
    }
    assert {path: origins[path].line for path in expected} == expected
    assert origins["max_batch_size"].column == lines[1].index("max") + 1
    assert isinstance(parse_config(CONFIG, "f"), ModelConfig)
