"""What the blueprint makes of a pipeline, and what it refuses, at the line of the setting."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tritonsmith.ensembles.blueprint import find_blueprint
from tritonsmith.ensembles.build import plan_build
from tritonsmith.ensembles.commands import build
from tritonsmith.ensembles.pipelines import load_spec
from tritonsmith.ensembles.text_generation.blueprint import BLUEPRINT
from tritonsmith.generator.checks import Case, Target, check_repository
from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.lower import lower
from tritonsmith.generator.repository.core import Model, Repository, SourceFile
from tritonsmith.generator.repository.read import read_repository

DEMO = BLUEPRINT.folder / "demo"
WriteSpec = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a spec with one pipeline around the demo's model."""
    shutil.copytree(DEMO, tmp_path / "demo")

    def spec(release: str = "24.12", engine: Any = "demo", **keys: Any) -> Path:
        pipeline = {"use": "text_generation", "engine": engine, **keys}
        path = tmp_path / "tritonsmith.yaml"
        path.write_text(yaml.safe_dump({"triton": release, "pipelines": {"chat": pipeline}}))
        return path

    return spec


def built(path: Path) -> dict[str, Model]:
    return dict(lower(load_spec(path)).models)


def parameters(model: Model) -> dict[str, str]:
    assert model.config is not None
    return {name: value.string_value for name, value in model.config.parameters.items()}


def refusals(path: Path) -> str:
    with pytest.raises(SpecError) as problem:
        lower(load_spec(path))
    return "\n".join(str(finding) for finding in problem.value.findings)


def findings_of(repository: Repository) -> Iterator[str]:
    return map(str, check_repository(Case(repository, Target.of(repository))))


def test_the_blueprint_is_found_by_name() -> None:
    assert find_blueprint("text_generation") is BLUEPRINT


@pytest.mark.parametrize("release", ["24.08", "24.10", "24.12", "25.05", "25.09", "25.12", "26.03", "26.07"])
def test_the_starter_s_spec_builds_without_a_word(tmp_path: Path, release: str) -> None:
    shutil.copytree(DEMO, tmp_path / "demo")
    starter = (BLUEPRINT.folder / "spec.yaml").read_text()
    (tmp_path / "spec.yaml").write_text(starter.replace('triton: "24.12"', f'triton: "{release}"'))
    repository = lower(load_spec(tmp_path / "spec.yaml"))
    assert repository.settings["triton"] == release
    assert list(repository.models) == ["preprocessing", "tensorrt_llm", "postprocessing", "tensorrt_llm_bls", "chat"]
    notes = list(findings_of(repository))  # an older server cannot bound what waits for a step
    bounded = [note for note in notes if "TS416" not in note]  # that clients can change: what they send varies
    assert ["TS640" in note for note in bounded] == [True] * (release < "25.11")


def test_an_engine_is_copied_to_where_the_container_sees_it(write: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "demo" / ".cache").mkdir()
    (tmp_path / "demo" / ".cache" / "x").touch()
    model = built(write(names={"tensorrt_llm": "llm"}))["llm"]
    assert parameters(model)["gpt_model_path"] == "/models/llm/1/engine"
    copied = {path: file.path for path, file in model.files.items() if isinstance(file, SourceFile)}
    assert copied == {f"1/engine/{file.name}": file for file in (tmp_path / "demo").iterdir() if file.is_file()}


def test_a_linked_engine_is_named_where_it_lies(write: Callable[..., Path], tmp_path: Path) -> None:
    model = built(write(engine={"from": "demo", "place": "link"}))["tensorrt_llm"]
    assert parameters(model)["gpt_model_path"] == str((tmp_path / "demo").resolve())
    assert list(model.files) == ["engine.sh", "1/.gitkeep"]


def test_a_mounted_engine_is_named_where_the_server_has_it(write: Callable[..., Path]) -> None:
    engine = {"from": "demo", "place": "mounted", "at": "/engines/llama"}
    models = built(write(engine=engine))
    assert parameters(models["tensorrt_llm"])["gpt_model_path"] == "/engines/llama"
    assert list(models["tensorrt_llm"].files) == ["engine.sh", "1/.gitkeep"]
    assert "1/tokenizer/tokenizer.json" in models["preprocessing"].files


def test_a_profile_places_the_engine_elsewhere(write: Callable[..., Path]) -> None:
    path = write()
    profile = {"pipelines": {"chat": {"engine": {"from": "demo", "place": "mounted", "at": "/engines/llama"}}}}
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "profiles": {"production": profile}}))
    model = lower(load_spec(path, "production")).models["tensorrt_llm"]
    assert parameters(model)["gpt_model_path"] == "/engines/llama"
    assert parameters(built(path)["tensorrt_llm"])["gpt_model_path"] == "/models/tensorrt_llm/1/engine"


def test_the_tokenizer_lies_beside_each_model_that_reads_it(write: Callable[..., Path]) -> None:
    models = built(write())
    for name in ("preprocessing", "postprocessing", "tensorrt_llm_bls"):
        tokenizer = {path for path in models[name].files if path.startswith("1/tokenizer/")}
        names = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
        assert tokenizer == {f"1/tokenizer/{file}" for file in names}
        assert parameters(models[name])["tokenizer_dir"] == "tokenizer"


def test_a_tokenizer_on_the_server_is_named_and_not_copied(write: Callable[..., Path]) -> None:
    models = built(write(**{"with": {"tokenizer_dir": "/tokenizers/llama"}}))
    assert parameters(models["postprocessing"])["tokenizer_dir"] == "/tokenizers/llama"
    assert not [path for path in models["postprocessing"].files if "tokenizer/" in path]


def test_the_models_that_are_called_are_named_as_they_are_renamed(write: Callable[..., Path]) -> None:
    names = {role: f"cats_{role}" for role in BLUEPRINT.roles}
    repository = lower(load_spec(write(names=names)))
    called = parameters(repository.models["cats_tensorrt_llm_bls"])
    assert called["tensorrt_llm_model_name"] == "cats_tensorrt_llm"
    assert called["preprocessing_model_name"] == "cats_preprocessing"
    assert repository.settings["calls"] == {"cats_tensorrt_llm_bls": ["cats_preprocessing", "cats_tensorrt_llm"]}


def test_what_the_spec_leaves_out_is_written_with_its_default_or_not_at_all(write: Callable[..., Path]) -> None:
    assert parameters(built(write())["tensorrt_llm"]) == {
        "FORCE_CPU_ONLY_INPUT_TENSORS": "no",
        "batch_scheduler_policy": "guaranteed_no_evict",
        "cancellation_check_period_ms": "100",
        "exclude_input_in_output": "false",
        "executor_worker_path": "/opt/tritonserver/backends/tensorrtllm/trtllmExecutorWorker",
        "gpt_model_path": "/models/tensorrt_llm/1/engine",
        "gpt_model_type": "inflight_fused_batching",
        "kv_cache_free_gpu_mem_fraction": "0.9",
        "max_beam_width": "1",
        "stats_check_period_ms": "100",
    }


def test_values_are_written_as_the_backend_reads_them(write: Callable[..., Path]) -> None:
    given = {
        "enable_chunked_context": True,
        "normalize_log_probs": "False",
        "max_attention_window_size": [4096, 256],
        "gpu_device_ids": " 0 ",
        "kv_cache_free_gpu_mem_fraction": None,
    }
    written = parameters(built(write(**{"with": {"parameters": given}}))["tensorrt_llm"])
    assert written["enable_chunked_context"] == "true"
    assert written["normalize_log_probs"] == "false"
    assert written["max_attention_window_size"] == "4096,256"
    assert written["gpu_device_ids"] == "0"
    assert "kv_cache_free_gpu_mem_fraction" not in written


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("enable_kv_cache_reuse", "on", "'on' is no value of 'enable_kv_cache_reuse'\n  hint: true or false"),
        ("batch_scheduler_policy", "max_utilisation", "one of guaranteed_no_evict, max_utilization"),
        ("max_beam_width", "many", "'many' is no value of 'max_beam_width'"),
        ("kv_cache_free_gpu_mem_fraction", "1.5", "a number from 0 to 1"),
        ("gpu_device_ids", "0-3", "',' between members and ';' between groups"),
        ("medusa_choices", "0, 1", "paths of a tree"),
        ("executor_worker_path", "${worker}", "'${worker}' is a placeholder, no value of 'executor_worker_path'"),
        ("executor_worker_path", "/bin/${worker}", "is a placeholder, no value of 'executor_worker_path'"),
        ("lookahead_window_size", "4", "appeared in TensorRT-LLM 0.19 (25.05); 24.12 has TensorRT-LLM 0.16.0"),
        ("batching_strategy", "V1", "Did you mean 'gpt_model_type'?"),
        ("enable_kv_cache_resue", "true", "Did you mean 'enable_kv_cache_reuse'?"),
        ("gpt_model_path", "/engines", "the pipeline's `engine` says where the engine is"),
    ],
)
def test_a_wrong_parameter_is_refused_at_its_line(
    write: Callable[..., Path], name: str, value: str, message: str
) -> None:
    path = write(**{"with": {"parameters": {name: value}}})
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if text.strip().startswith(name))
    found = refusals(path)
    assert message in found
    assert f"{path}:{line}:" in found
    assert f"pipelines.chat.with.parameters.{name}" in found


def test_static_batching_is_refused_where_it_is_gone(write: Callable[..., Path]) -> None:
    given = {"with": {"parameters": {"gpt_model_type": "V1"}}}
    assert parameters(built(write("24.12", **given))["tensorrt_llm"])["gpt_model_type"] == "V1"
    assert "one of inflight_fused_batching, inflight_batching" in refusals(write("25.09", **given))


def test_several_instances_of_postprocessing_behind_a_stream_are_refused(write: Callable[..., Path]) -> None:
    several = {"instances": {"postprocessing": 2}}
    assert "2 instances of postprocessing would reorder streamed tokens" in refusals(write(**{"with": several}))
    config = built(write(**{"with": {**several, "streaming": False}}))["postprocessing"].config
    assert config is not None
    assert config.instance_group[0].count == 2


def test_a_release_without_the_engine_backend_names_the_way_out(write: Callable[..., Path]) -> None:
    found = refusals(write("26.08"))
    assert "its C++ backend was removed in July 2026" in found
    assert "target: llmapi" in found
    assert 'triton: "26.07"' in found


def test_a_release_older_than_the_tables_is_refused(write: Callable[..., Path]) -> None:
    assert 'hint: triton: "24.08" or later' in refusals(write("24.06"))


def test_a_pipeline_without_an_engine_is_refused(write: Callable[..., Path]) -> None:
    assert "the pipeline has no engine" in refusals(write(engine=None))


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("demos", "there is no file 'demos'. Did you mean 'demo'?"),
        ("demo/config.json", "'demo/config.json' is a file, not a folder"),
        ("x" * 300, "File name too long"),
        ("\0", "embedded null byte"),
        (".", "'.' holds the spec too"),
        ({"place": "copy"}, "place: copy takes `from`"),
        ({"place": "mounted"}, "place: mounted needs `at`"),
        ({"from": "demo", "at": "/x"}, "`at` belongs to place: mounted"),
        ({"place": "mounted", "at": "/x"}, "nothing says where the tokenizer is"),
        ({"form": "demo"}, "unknown key 'form'. Did you mean 'from'?"),
    ],
)
def test_an_engine_that_cannot_be_found_is_refused(write: Callable[..., Path], engine: Any, message: str) -> None:
    assert message in refusals(write(engine=engine))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"streaming": "yes"}, "error pipelines.chat.with.streaming: expected true or false, got 'yes'"),
        ({"apply_chat_template": 1}, "with.apply_chat_template: expected true or false, got '1'"),
        ({"instances": {"preprocesing": 2}}, "unknown key 'preprocesing'. Did you mean 'preprocessing'?"),
        ({"disaggregated": {"context": {"replica": 2}}}, "unknown key 'replica'. Did you mean 'replicas'?"),
        ({"disaggregated": {"context": {"engine": {"form": "demo"}}}}, "unknown key 'form'. Did you mean 'from'?"),
        ({"instances": {"build": 2}}, "unknown key 'build'."),
    ],
)
def test_a_wrong_setting_is_refused_by_name(write: Callable[..., Path], given: dict[str, Any], message: str) -> None:
    found = refusals(write(**{"with": given}))
    assert message in found
    assert "'build'?" not in found


def test_a_folder_without_a_model_or_a_tokenizer_is_refused(write: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "demo" / "tokenizer.json").unlink()
    assert "'demo' holds no tokenizer" in refusals(write())
    (tmp_path / "demo" / "config.json").write_text("{}")
    assert "neither an engine's" in refusals(write())


def test_an_engine_s_batch_and_types_are_the_models(write: Callable[..., Path], tmp_path: Path) -> None:
    config = tmp_path / "demo" / "config.json"
    shape = json.loads(config.read_text())
    pretrained = {**shape, "architecture": "LlamaForCausalLM", "dtype": "bfloat16", "logits_dtype": "float16"}
    build = {
        "max_batch_size": 4,
        "max_input_len": 128,
        "max_seq_len": 256,
        "max_num_tokens": 256,
        "kv_cache_type": "PAGED",
        "plugin_config": {"use_paged_context_fmha": True, "gpt_attention_plugin": "auto"},
    }
    version = "1.1.0"
    config.write_text(json.dumps({"version": version, "pretrained_config": pretrained, "build_config": build}))
    (tmp_path / "demo" / "rank0.engine").touch()
    models = built(write("25.12"))
    assert {model.config.max_batch_size for model in models.values() if model.config} == {4}
    engine = models["tensorrt_llm"].config
    assert engine is not None
    types = {tensor.name: tensor.data_type for tensor in engine.input}
    types |= {tensor.name: tensor.data_type for tensor in engine.output}
    assert (types["prompt_embedding_table"], types["context_logits"]) == (14, 10)  # BF16, FP16


def test_engine_keys_are_refused_where_a_blueprint_has_none(tmp_path: Path, write_spec: WriteSpec) -> None:
    (tmp_path / "x").mkdir()
    text = "pipelines: {p: {use: streaming_sequence, engine: x, replicas: 2, with: {file: a, states: []}}}"
    found = refusals(write_spec(text))
    assert "streaming_sequence has no engine, so no 'engine'" in found
    assert "streaming_sequence has no engine, so no 'replicas'" in found


@pytest.mark.parametrize("value", ["0", "many", "[1]"])
def test_replicas_and_nodes_are_whole_numbers_from_1(write_spec: WriteSpec, value: str) -> None:
    text = f"pipelines: {{p: {{use: text_generation, replicas: {value}, nodes: {value}}}}}"
    assert refusals(write_spec(text)).count("expected a whole number from 1") == 2


def test_build_says_once_that_a_model_is_no_engine_yet(write: Callable[..., Path], tmp_path: Path) -> None:
    spec, target = write(**{"with": {"draft": {"engine": "demo"}}}), tmp_path / "repository"
    done = CliRunner().invoke(build, [str(spec), "-o", str(target)], standalone_mode=False)
    told = "NVIDIA's C++ backend takes engines alone"
    assert (done.output.count(told), done.exception) == (1, None)
    assert f"see {target}/tensorrt_llm/engine.sh and {target}/tensorrt_llm_draft/engine.sh" in done.output
    assert all("TS640" in note or "TS416" in note for note in findings_of(read_repository(target)))


def test_of_an_engine_build_says_nothing_more(
    write: Callable[..., Path], write_engine: Callable[..., Path], tmp_path: Path
) -> None:
    write_engine("llama-0.16.0")
    spec = write(**{"engine": "engine", "with": {"tokenizer": "demo"}})
    assert plan_build(spec, tmp_path / "repository").notes == []
