"""The verb itself: what is looked at, what is told, and how it ends."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tritonsmith.backends.commands import check
from tritonsmith.ensembles.blueprint import find_blueprint
from tritonsmith.ensembles.build import build_repository, plan_build
from tritonsmith.ensembles.starter import write_starter
from tritonsmith.generator.errors import RepositoryError, SpecError, TritonsmithError, UsageError

TENSORS = 'input { name: "x" data_type: TYPE_FP32 dims: [4] }\noutput { name: "y" data_type: TYPE_FP32 dims: [4] }\n'
PLAIN = f'backend: "python"\n{TENSORS}'
SCRIPT = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"
REGRETTED = f"{PLAIN}max_batch_size: 4\n"  # a warning
REFUSED = f"{PLAIN}max_batch_size: -1\n"


def write(folder: Path, config: str, name: str = "m") -> Path:
    (folder / name / "1").mkdir(parents=True)
    (folder / name / "1" / "model.py").write_text(SCRIPT)
    (folder / name / "config.pbtxt").write_text(config)
    return folder


def run(*argv: str | Path) -> Result:
    return CliRunner().invoke(check, [str(part) for part in argv])


def status(result: Result) -> int:
    if isinstance(result.exception, TritonsmithError):
        return result.exception.exit_code
    return result.exit_code


@pytest.mark.parametrize(
    ("config", "options", "wanted"),
    [
        (PLAIN, [], 0),
        (REGRETTED, [], 0),
        (REGRETTED, ["--strict"], 1),
        (REGRETTED, ["--strict", "--ignore", "TS403"], 0),
        (REGRETTED, ["--strict", "--load-only"], 0),
        (REFUSED, [], 1),
        (REFUSED, ["--load-only"], 1),
        (REFUSED, ["--ignore", "TS405"], 0),
        (REFUSED, ["--select", "TS3,TS2"], 0),
        (f"# tritonsmith: ignore[TS405]\n{REFUSED}", [], 0),
        (REFUSED, ["--select", "TS999"], 2),
        (REFUSED, ["--format", "xml"], 2),
        (REFUSED, ["--profile", "p"], 2),
        (REFUSED, ["--triton", "24.1"], 2),
    ],
)
def test_the_status_is_the_answer(tmp_path: Path, config: str, options: list[str], wanted: int) -> None:
    assert status(run(write(tmp_path, config), *options)) == wanted


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("nowhere", None, "no such file or folder"),
        ("nowhere.yaml", None, "no such file or folder"),
        ("notes.txt", "hello", "neither a spec"),
        ("config.pbtxt", PLAIN, "neither a spec"),
    ],
)
def test_what_can_not_be_checked_is_4(tmp_path: Path, name: str, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    answer = run(tmp_path / name)
    assert isinstance(answer.exception, RepositoryError)
    assert said in str(answer.exception)


def test_a_folder_without_models_and_a_pipe_are_4(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s.yaml")
    assert status(run(tmp_path)) == 4
    assert status(run(tmp_path / "s.yaml")) == 4


@pytest.mark.parametrize("form", ["text", "json", "sarif", "github", "junit"])
@pytest.mark.parametrize("text", ["a: [", "models: {m: {backend: python, max_batch_size: x}}"])
def test_a_spec_that_cannot_be_read_is_3_and_told_in_every_format(tmp_path: Path, text: str, form: str) -> None:
    (tmp_path / "s.yaml").write_text(text)
    answer = run(tmp_path / "s.yaml", "--format", form)
    assert isinstance(answer.exception, SpecError)
    assert ("s.yaml" in answer.stdout) == (form != "text")
    if form == "json":
        assert json.loads(answer.stdout)[0]["line"] == (2 if text == "a: [" else 1)  # YAML misses the end there


def test_json_is_short_for_the_format(tmp_path: Path) -> None:
    folder = write(tmp_path, REFUSED)
    assert run(folder, "--json").stdout == run(folder, "--format", "json").stdout
    assert [one["code"] for one in json.loads(run(folder, "--json").stdout)] == ["TS405"]


def test_the_target_decides(tmp_path: Path) -> None:
    folder = write(tmp_path, f"{PLAIN}instance_group {{ kind: KIND_GPU gpus: [1] }}\nmodel_metrics {{ }}\n")
    assert status(run(folder)) == 0  # nothing is known of the hardware; the newest release knows the field
    assert status(run(folder, "--gpus", "1")) == 1
    assert status(run(folder, "--gpus", "2")) == 0
    embedded = run(folder, "--triton", "embedded").stdout
    assert "model_metrics" in embedded
    assert "[TS50" in embedded
    assert status(run(folder, "--triton", "24.09", "--gpus", "2")) == 1


def test_auto_complete_can_be_off(tmp_path: Path) -> None:
    tensor = '{"name": "x", "data_type": "TYPE_FP32", "dims": [4]}'
    adds = f"config.add_input({tensor})\n        config.add_output({tensor})\n        return config\n"
    script = f"{SCRIPT}\n    @staticmethod\n    def auto_complete_config(config):\n        {adds}"
    folder = write(tmp_path, 'backend: "python"\n')
    (folder / "m" / "1" / "model.py").write_text(script)
    assert "no inputs and no outputs" not in run(folder).stdout
    assert "no inputs and no outputs" in run(folder, "--no-auto-complete").stdout


def test_a_code_is_explained() -> None:
    told = run("--explain", "ts405")
    assert told.exit_code == 0
    for part in (
        "TS405: max_batch_size",
        "error: will not load",
        "must be non-negative",
        "Source: core:",
        "ignore[TS405]",
    ):
        assert part in told.stdout
    assert "TS405  max_batch_size is not below 0" in run("--explain", "all").stdout
    assert "TL001" in run("--explain", "TL001").stdout
    assert isinstance(run("--explain", "TS4O5").exception, UsageError)


def test_fixes_are_shown_and_written(tmp_path: Path) -> None:
    folder = write(tmp_path, f'name: "other"\n{PLAIN}')
    path = folder / "m" / "config.pbtxt"
    path.chmod(0o640)
    dry = run(folder, "--diff")
    assert '-name: "other"\n+name: "m"\n' in dry.output
    assert "(not written)" in dry.output
    assert path.read_text() == f'name: "other"\n{PLAIN}'
    done = run(folder, "--fix")
    assert (status(done), done.stdout) == (0, "nothing found\n")
    assert '+name: "m"\n' in done.stderr
    assert path.read_text() == f'name: "m"\n{PLAIN}'
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["1", "config.pbtxt"]
    assert "nothing can be mended" in run(folder, "--fix").stderr


def test_a_fix_keeps_bytes_that_are_no_utf_8(tmp_path: Path) -> None:
    path = write(tmp_path, "") / "m" / "config.pbtxt"
    rest = b"# d\xe9j\xe0 \xe2\x82 vu\n" + PLAIN.encode()
    path.write_bytes(b'name: "other"\n' + rest)
    done = run(tmp_path, "--fix")
    assert status(done) == 0
    assert " # d\\xe9j\\xe0 \\xe2\\x82 vu\n" in done.stderr
    assert path.read_bytes() == b'name: "m"\n' + rest


def rename(folder: Path, name: bytes) -> None:
    folder.rename(folder.with_name(os.fsdecode(name)))


@pytest.mark.parametrize("form", ["text", "json", "sarif", "github", "junit"])
@pytest.mark.parametrize("options", [[], ["--no-auto-complete"]])
def test_names_that_are_no_utf_8_are_told_in_every_format(tmp_path: Path, form: str, options: list[str]) -> None:
    rename(write(tmp_path, PLAIN, "a") / "a", b"a\xff")
    write(tmp_path, PLAIN, "b")
    (tmp_path / "b" / "v1").mkdir()
    (tmp_path / "b" / "1" / "f.json").write_text("${x}")
    rename(tmp_path / "b" / "1" / "f.json", b"\xfe.json")
    (tmp_path / "b" / "link").symlink_to("nowhere")
    rename(tmp_path / "b" / "link", b"link\xff")
    (tmp_path / "loose").write_text("")
    rename(tmp_path / "loose", b"loose\xff")
    done = run(tmp_path, "--format", form, *options)
    assert status(done) == 1
    said = done.stdout.encode().decode()
    assert "TS208" in said
    assert "TS104" in said
    assert re.search(r"a\\+xff", said)
    assert not re.search(r"\\ud[c-f]", said)


def test_a_file_elsewhere_and_a_spec_are_not_mended(tmp_path: Path) -> None:
    folder = write(tmp_path / "repository", PLAIN, "n")
    (write(tmp_path / "other", f'name: "x" {PLAIN}') / "m").rename(tmp_path / "m")
    (folder / "m").symlink_to(tmp_path / "m")
    assert status(run(folder, "--fix")) == 4
    assert (tmp_path / "m" / "config.pbtxt").read_text().startswith('name: "x"')
    (tmp_path / "s.yaml").write_text("models: {m: {python: ./m, max_batch_size: 4}}")
    assert status(run(tmp_path / "s.yaml", "--fix")) == 2


IMPORTS = """
import json, sys
from tritonsmith.backends.commands import check
check.main([sys.argv[1]], standalone_mode=False)
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def test_nothing_is_imported_that_no_rule_needs(tmp_path: Path) -> None:
    folder = write(tmp_path, f'platform: "pytorch_libtorch"\n{TENSORS}')
    (folder / "m" / "1" / "model.py").rename(folder / "m" / "1" / "model.pt")
    done = subprocess.run([sys.executable, "-c", IMPORTS, str(folder)], capture_output=True, text=True, check=True)
    names = set(json.loads(done.stderr.splitlines()[-1]))
    foreign = {"onnx", "jinja2", "rich", "ruamel", "xml", "difflib"}
    assert not names & foreign
    assert not [
        name for name in names if name.startswith(("tritonsmith.ensembles.text", "tritonsmith.generator.lower"))
    ]


def spec(folder: Path, text: str) -> Path:
    write(folder, PLAIN)
    (folder / "s.yaml").write_text(text)
    return folder / "s.yaml"


def test_build_refuses_what_will_not_load_and_tells_everything(tmp_path: Path) -> None:
    path = spec(
        tmp_path,
        "models:\n  a: {backend: python}\n  b: {backend: python}\n  m:\n    python: ./m\n    max_batch_size: 4\n",
    )
    for build in (build_repository, plan_build):
        with pytest.raises(SpecError, match="2 models would not load; nothing is built") as refused:
            build(path, tmp_path / "repository")
        codes = [(one.code, one.place.file, one.place.line) for one in refused.value.findings]
        assert {("TS202", str(path), 2), ("TS202", str(path), 3), ("TS403", str(path), 6)} <= set(codes)
    assert not (tmp_path / "repository").exists()
    told = [(one["code"], one["line"]) for one in json.loads(run(path, "--json").stdout)]
    assert told == [(one.code, one.place.line) for one in refused.value.findings]


REFUSED_SPECS = [
    "models:\n  m: {file: gone.onnx}\n  n: {bckend: python}\n  e: {ensemble: [zz]}\n",
    "models:\n  m: {backend: python, max_batch_size: x}\nhardware: 3\n",
]


@pytest.mark.parametrize("text", REFUSED_SPECS)
def test_a_refused_spec_is_told_alike_by_check_and_build(tmp_path: Path, text: str) -> None:
    path = spec(tmp_path, text)
    told = [(one["file"], one["line"], one["column"], one["message"]) for one in json.loads(run(path, "--json").stdout)]
    assert len(told) > 1
    for build in (build_repository, plan_build):
        with pytest.raises(SpecError) as refused:
            build(path, tmp_path / "repository")
        places = [(one.place.file, one.place.line, one.place.column) for one in refused.value.findings]
        assert told == [(*place, one.message) for place, one in zip(places, refused.value.findings, strict=True)]


def test_a_spec_that_is_no_yaml_is_told_at_its_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("models:\n  m: {a: b: c}\n")
    (told,) = json.loads(run(path, "--json").stdout)
    with pytest.raises(SpecError) as refused:
        build_repository(path, tmp_path / "repository")
    assert f"{told['file']}:{told['line']}:{told['column']}" == refused.value.where
    assert (told["file"], told["line"]) == (str(path), 2)


def test_a_python_folder_that_does_not_parse_is_told_at_its_own_lines(tmp_path: Path) -> None:
    path = spec(tmp_path, "models: {m: {python: ./m}}")
    (tmp_path / "m" / "config.pbtxt").write_text("max_batch_siz: 4\ninputt {}\n")
    with pytest.raises(SpecError) as refused:
        build_repository(path, tmp_path / "repository")
    config = str(tmp_path / "m" / "config.pbtxt")
    assert [(one.place.file, one.place.line) for one in refused.value.findings] == [(config, 1), (config, 2)]


def test_build_goes_on_where_models_load(tmp_path: Path) -> None:
    path = spec(tmp_path, "models:\n  m:\n    python: ./m\n    max_batch_size: 4\n")
    done = build_repository(path, tmp_path / "repository")
    assert [(one.code, one.place.line) for one in done.findings] == [("TS403", 4)]
    assert (tmp_path / "repository" / "m" / "config.pbtxt").exists()


def test_a_comment_in_the_spec_holds_for_build_too(tmp_path: Path) -> None:
    path = spec(tmp_path, "models:\n  # tritonsmith: ignore[TS]\n  a: {backend: python}\n")
    done = build_repository(path, tmp_path / "repository")
    assert done.findings == []
    assert done.report.ignored >= 1


def test_findings_on_a_blueprints_models_stand_in_the_spec(tmp_path: Path) -> None:
    (written, *_) = write_starter(find_blueprint("image_classification"), tmp_path / "s.yaml")
    text = written.read_text()
    written.write_text(f"{text}models:\n  preprocessing: {{instance_group: [{{kind: KIND_GPU}}]}}\n")
    found = [one for one in json.loads(run(written, "--json").stdout) if one["severity"] == "error"]
    assert {one["line"] for one in found if one["model"] == "preprocessing"} == {text.count("\n") + 2}
    assert {one["file"] for one in found} == {str(written)}


def test_findings_on_a_setting_that_a_blueprint_copies_stand_at_the_setting(tmp_path: Path) -> None:
    (written, *_) = write_starter(find_blueprint("image_classification"), tmp_path / "s.yaml")
    text, count = re.subn(r"(max_queue_delay_microseconds:) [0-9]+", r"\1 5000000", written.read_text(), count=1)
    assert count
    written.write_text(text)
    (found,) = [one for one in json.loads(run(written, "--json").stdout) if one["code"] == "TS414"]
    assert text.splitlines()[found["line"] - 1].strip().startswith("max_queue_delay_microseconds: 5000000")
    assert (found["column"], found["model"]) == (7, "classifier")
