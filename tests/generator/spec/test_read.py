import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tritonsmith.generator.errors import SpecError, UsageError
from tritonsmith.generator.spec.document import Spec
from tritonsmith.generator.spec.read import read_spec

WriteSpec = Callable[[str], Path]


def messages(spec: Spec) -> list[str]:
    return [f"{f.place.line}: {f.key}: {f.message}" for f in spec.findings]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("repo: x\nmodels: {}", "1: repo: unknown key 'repo'."),
        ("model: {}", "1: model: unknown key 'model'. Did you mean 'models'?"),
        ("triton: 24.1", "1: triton: unknown Triton release '24.1'. Did you mean '24."),
        ("sharing: mpss", "1: sharing.mode: input should be 'none', 'instances', 'mps', 'time-slicing' or 'mig'"),
        ("sharing: [mps]", "1: sharing: expected a mapping, got a list"),
        ("sharing: {mode: mps, replica: 4}", "1: sharing.replica: unknown key 'replica'. Did you mean 'replicas'?"),
        ("hardware: {gpus: 2}", "1: hardware.gpus: unknown key 'gpus'. Did you mean 'gpu'?"),
        ("server: {http_port: 70000}", "1: server.http_port: input should be less than or equal to 65535, got '70000'"),
        (
            "server: {metrics: {enabeld: true}}",
            "server.metrics.enabeld: unknown key 'enabeld'. Did you mean 'enabled'?",
        ),
        ("server: {metrics: {enabled: 1}}", "1: server.metrics.enabled: expected true or false, got '1'"),
        ("server: {strict_model_config: yes}", "1: server.strict_model_config: expected true or false, got 'yes'"),
        ("models: {a b: {}}", "1: models.a b: 'a b' cannot name a model"),
        ("models: {.x: {}}", "1: models..x: '.x' cannot name a model"),
        ("models: {a..b: {}}", "1: models.a..b: 'a..b' cannot name a model"),
        ("triton: 25.1", "Did you mean '25.10'?"),
        ("models: {..: {}}", "1: models...: '..' cannot name a model"),
        ("models: {a: {file: x.onnx}}", "1: models.a.file: there is no file 'x.onnx'."),
        ("models: {a: {file: {01: s.yaml}}}", "1: models.a.file.01: '01' is no version: a whole number"),
        ("models: {a: {files: {../b: tritonsmith.yaml}}}", "'../b' is no path inside the model's folder"),
        ("models: {a: {files: {config.pbtxt: tritonsmith.yaml}}}", "'config.pbtxt' is no path inside"),
        ("models: {a: {files: {./config.pbtxt: tritonsmith.yaml}}}", "'./config.pbtxt' is no path inside"),
        (f"models: {{a: {{file: {'x' * 300}}}}}", "File name too long"),
        ('models: {a: {file: "a\\0b"}}', r"cannot read 'a\x00b': embedded null byte"),
        ("models: {a: {file: loop}}", "cannot read 'loop': Too many levels of symbolic links"),
        ("models: {a: {file: dangling}}", "'dangling' is a link to nothing"),
        ("models: {a: {file: folder}}", "'folder' is a folder, not a file"),
        ("models: {a: {files: {x: folder}}}", "the folder 'folder' is empty"),
        ("models: {a: {files: {x: broken}}}", "1: models.a.files.x: 'broken/1' is a link to nothing"),
        ("models: {a: {files: {x: pipe}}}", "1: models.a.files.x: 'pipe' is neither a file nor a folder"),
        ("models: {a: {file: pipe}}", "1: models.a.file: 'pipe' is neither a file nor a folder"),
        ("models: {a: {file: /dev/zero}}", "1: models.a.file: '/dev/zero' is neither a file nor a folder"),
        ("models: {a: {file: {99999999999999999999: tritonsmith.yaml}}}", "is no version"),
        ("models: {a: {python: .}}", "'.' holds the spec too"),
        ("models: {a: {backend: x, expose: [y]}}", "only an ensemble has tensors to expose"),
        ("models: {a: {ensemble: [null]}}", "1: models.a.ensemble[0]: expected a model's name or a step, got nothing"),
        ("models: {a: {ensemble: [{model_name: [b]}]}}", "ensemble[0].model_name: expected a value, got a list"),
        ("models: {a: {ensemble: [{model_name: b, model_version: 1.0}]}}", "expected -1 (the latest) or a version"),
        ("models: {a: {backend: x, calls: [null, b]}}", "1: models.a.calls[0]: expected a value, got nothing"),
        ("models: {a: {file: ''}}", "1: models.a.file: expected a value, got an empty text"),
        ("models: {a: {python: ''}}", "1: models.a.python: expected a value, got an empty text"),
        ("models: {a: {backend: x, calls: b}}", "1: models.a.calls: expected a list of names, got 'b'"),
        ("pipelines: {p: {use: [x]}}", "1: pipelines.p.use: expected a value, got a list"),
        ("models: {a: {backend: x}}\nprofiles: {p: {modles: {}}}", "2: profiles.p.modles: unknown key 'modles'."),
        ("models: {a: {backend: x}}\nprofiles: {p: 3}", "2: profiles.p: expected a mapping, got '3'"),
        ("models: {a: {ensemble: []}}", "expected a list of steps, got an empty one"),
        ("models: {a: {ensemble: [{model_nam: b}]}}", "unknown key 'model_nam'. Did you mean 'model_name'?"),
        ("models: {a: {ensemble: [b], file: tritonsmith.yaml}}", "'ensemble' excludes 'file'"),
        ("models: {a: {python: blueprint:x/y}}", "no blueprint has a Python model 'x/y'"),
        ("pipelines: {p: {with: {}}}", "1: pipelines.p.use: no blueprint is given"),
        ("repository: a/b", "'a/b' cannot name a repository"),
        ("", "the spec has no models"),
    ],
)
def test_a_mistake_is_told_with_line_key_and_value(write_spec: WriteSpec, text: str, message: str) -> None:
    path = write_spec(text)
    (path.parent / "loop").symlink_to("loop")
    (path.parent / "dangling").symlink_to("nowhere")
    (path.parent / "folder").mkdir()
    (path.parent / "broken").mkdir()
    (path.parent / "broken" / "1").symlink_to("nowhere")
    os.mkfifo(path.parent / "pipe")
    found = messages(read_spec(path))
    assert any(message in line for line in found), found


def test_links_in_a_folder_of_files_are_followed(write_spec: WriteSpec, tmp_path: Path) -> None:
    for folder in ("files", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x").write_text("")
    (tmp_path / "files" / "more").symlink_to(tmp_path / "elsewhere")
    spec = read_spec(write_spec("models: {a: {backend: x, files: {1: files}}}"))
    assert sorted(spec.models["a"].files) == ["1/more/x", "1/x"]


def test_all_mistakes_are_told_at_once(write_spec: WriteSpec) -> None:
    spec = read_spec(write_spec("modells: {}\ntriton: 1\nserver: {log_verbose: 9, x: 1}\nmodels: {a: 1}\n"))
    assert sorted(f.place.line for f in spec.findings) == [1, 2, 3, 3, 4]


def test_a_profile_is_laid_over_the_spec(write_spec: WriteSpec) -> None:
    path = write_spec(
        "repository: here\nmodels: {a: {backend: identity, max_batch_size: 4}}\n"
        "profiles: {big: {repository: there, hardware: {gpu: H100, count: 2}, models: {a: {max_batch_size: 8}}}}\n"
    )
    here, there = read_spec(path), read_spec(path, profile="big")
    assert (here.name, here.hardware.gpus, there.name, there.hardware.gpus) == ("here", 0, "there", 2)
    assert there.digest != here.digest


def test_a_profile_adds_to_the_server_and_replaces_the_hardware(write_spec: WriteSpec) -> None:
    spec = read_spec(
        write_spec(
            "models: {a: {backend: x}}\nserver: {http_port: 9000}\nhardware: {gpu: A, count: 8}\n"
            "profiles: {p: {server: {grpc_port: 9001}, hardware: {gpu: B}}}\n"
        ),
        profile="p",
    )
    assert (spec.server.http_port, spec.server.grpc_port) == (9000, 9001)
    assert (spec.hardware.gpu, spec.hardware.count) == ("B", 1)


def test_null_leaves_any_of_our_keys_out(write_spec: WriteSpec) -> None:
    text = "triton: null\nhardware: null\nserver: ~\npipelines: {p: null}\nmodels:\n  a: {backend: x, file: null, "
    spec = read_spec(write_spec(text + "files: null, python: null, ensemble: null, calls: null, expose: null}\n"))
    assert not spec.findings
    assert spec.models["a"].places.keys() == {"backend"}


def test_a_profile_can_take_away_what_the_spec_has(write_spec: WriteSpec) -> None:
    path = write_spec(
        "hardware: {gpu: A}\nserver: {http_port: 9000}\n"
        "pipelines: {p: {use: b}}\nmodels: {a: {backend: x, calls: [a]}}\n"
        "profiles: {q: {hardware: null, server: null, pipelines: {p: null}, models: {a: {calls: null}}}}\n"
    )
    spec = read_spec(path, profile="q", expand=lambda *_: {"made": {"backend": "x"}})
    assert not spec.findings
    assert (spec.hardware.gpus, spec.server.http_port) == (0, 8000)
    assert list(spec.models) == ["a"]
    assert spec.models["a"].calls == ()


def test_a_spec_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(pipe.write_text, "models: {a: {backend: x}}")
        spec = read_spec(pipe)
        written.result()
    (tmp_path / "file").write_text("models: {a: {backend: x}}")
    assert spec.digest == read_spec(tmp_path / "file").digest


def test_the_files_of_a_folder_go_along_one_by_one(write_spec: WriteSpec, tmp_path: Path) -> None:
    (tmp_path / "tokenizer" / "inner").mkdir(parents=True)
    for name in ("vocab.txt", "inner/merges.txt"):
        (tmp_path / "tokenizer" / name).write_text("")
    spec = read_spec(write_spec("models: {a: {backend: x, files: {1/tokenizer: tokenizer}}}"))
    assert sorted(spec.models["a"].files) == ["1/tokenizer/inner/merges.txt", "1/tokenizer/vocab.txt"]


def test_an_unknown_profile_is_wrong_usage(write_spec: WriteSpec) -> None:
    path = write_spec("models: {}\nprofiles: {h100: {}}")
    with pytest.raises(UsageError, match=r"no profile 'h10'\. Did you mean 'h100'"):
        read_spec(path, profile="h10")


def test_paths_are_relative_to_the_spec_not_to_the_working_folder(
    write_spec: WriteSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_spec("models: {a: {files: {l.txt: tritonsmith.yaml}, backend: identity}}")
    monkeypatch.chdir("/")
    spec = read_spec(path)
    assert not spec.findings
    assert spec.models["a"].files == {"l.txt": tmp_path / "tritonsmith.yaml"}


def test_a_pipeline_is_expanded_below_the_models(write_spec: WriteSpec) -> None:
    path = write_spec("pipelines: {p: {use: b}}\nmodels: {m: {max_batch_size: 2}, n: {backend: x}}")
    spec = read_spec(path, expand=lambda pipeline, *_: {"m": {"backend": pipeline.blueprint, "max_batch_size": 1}})
    fields = spec.models["m"].fields.entries
    assert list(spec.models) == ["m", "n"]
    assert [getattr(fields[key], "text", "") for key in ("backend", "max_batch_size")] == ["b", "2"]


def test_two_pipelines_may_not_make_one_model(write_spec: WriteSpec) -> None:
    path = write_spec("pipelines: {p: {use: b}, q: {use: b}}")
    spec = read_spec(path, expand=lambda *_: {"m": {"backend": "x"}})
    assert "two pipelines make a model 'm'" in messages(spec)[0]


def test_a_spec_that_is_no_yaml_raises(write_spec: WriteSpec) -> None:
    with pytest.raises(SpecError) as problem:
        read_spec(write_spec("a: ["))
    assert problem.value.exit_code == 3
