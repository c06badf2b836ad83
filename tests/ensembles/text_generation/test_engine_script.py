"""engine.sh: the commands that make an engine of a model, run against programs that only say what they are told."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.export import export_engine
from tritonsmith.ensembles.pipelines import load_spec
from tritonsmith.ensembles.text_generation.blueprint import BLUEPRINT
from tritonsmith.generator.catalog.tensorrtllm.speculation import lookahead_draft_tokens
from tritonsmith.generator.catalog.tensorrtllm.trtllm_build import OPTIONS, converter
from tritonsmith.generator.spec import tree
from tritonsmith.generator.spec.document import Spec

Read = Callable[..., Spec]
Scripted = Callable[..., list[list[str]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return a function that reads a spec around the demo's model, or around a checkpoint of it."""
    shutil.copytree(BLUEPRINT.folder / "demo", tmp_path / "demo")

    def spec(release: str = "25.05", *, is_checkpoint: bool = False, **given: Any) -> Spec:
        if is_checkpoint:
            path = tmp_path / "demo" / "config.json"
            shape = {**json.loads(path.read_text()), "architecture": "LlamaForCausalLM", "dtype": "float16"}
            path.write_text(json.dumps({key: value for key, value in shape.items() if key != "architectures"}))
            shutil.copy(tmp_path / "demo" / "model.safetensors", tmp_path / "demo" / "rank0.safetensors")
        pipeline = {"use": "text_generation", "engine": "demo", "with": {"max_batch_size": 4, **given}}
        (tmp_path / "tritonsmith.yaml").write_text(yaml.safe_dump({"triton": release, "pipelines": {"chat": pipeline}}))
        return load_spec(tmp_path / "tritonsmith.yaml")

    return spec


@pytest.fixture
def commands(tmp_path: Path, read: Read) -> Scripted:
    """Return a function that runs engine.sh and gives the commands that it ran."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("python3", "trtllm-build"):
        (programs / name).write_text(f'#!/bin/bash\nfor word in {name} "$@"; do printf "%s\\0" "$word"; done; echo\n')
        (programs / name).chmod(0o755)

    def run(release: str = "25.05", *, model: str = "tensorrt_llm", **given: Any) -> list[list[str]]:
        script = read(release, **given).models[model].texts["engine.sh"]
        assert subprocess.run(["bash", "-n"], input=script, text=True, timeout=20, check=False).returncode == 0
        (tmp_path / "my engine").mkdir(exist_ok=True)
        done = subprocess.run(
            ["bash", "-s", str(tmp_path / "demo"), str(tmp_path / "my engine")],
            input=script,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
            env={"PATH": f"{programs}:/usr/bin:/bin"},
        )
        return [line.rstrip("\0").split("\0") for line in done.stdout.splitlines()]

    return run


def options_of(argv: list[str]) -> dict[str, list[str]]:
    """Return a command's options with their values."""
    found: dict[str, list[str]] = {}
    for word in argv:
        if word.startswith("--"):
            values = found.setdefault(word.removeprefix("--"), [])
        elif found:
            values.append(word)
    return found


def test_a_model_is_converted_then_built(commands: Scripted, tmp_path: Path) -> None:
    convert, build = commands()
    assert convert[:2] == ["python3", "/app/examples/models/core/llama/convert_checkpoint.py"]
    options = options_of(convert)
    assert options["model_dir"] == [str(tmp_path / "demo")]
    assert (options["dtype"], options["tp_size"]) == (["float16"], ["1"])
    assert build[0] == "trtllm-build"
    assert options_of(build)["checkpoint_dir"] == options["output_dir"]
    assert options_of(build)["output_dir"] == [str(tmp_path / "my engine")]
    assert options_of(build)["max_batch_size"] == ["4"]
    assert options_of(build)["use_paged_context_fmha"] == ["enable"]


def test_the_tokenizer_lies_beside_the_engine_afterwards(commands: Scripted, tmp_path: Path) -> None:
    commands()
    copied = {path.name for path in (tmp_path / "my engine").iterdir()}
    assert copied == {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}  # its config.json is its own


def test_before_0_19_the_examples_lie_elsewhere(commands: Scripted) -> None:
    assert commands("24.12")[0][1] == "/app/examples/llama/convert_checkpoint.py"
    assert converter("Gemma2ForCausalLM", (1, 0)) == "models/core/gemma/convert_checkpoint.py"
    assert converter("NoSuchModel", (1, 0)) == ""


def test_a_checkpoint_is_built_alone(commands: Scripted) -> None:
    [build] = commands(is_checkpoint=True)
    assert build[0] == "trtllm-build"


@pytest.mark.parametrize(
    ("build", "program", "expected"),
    [
        (
            {"quantise": "fp8", "kv_cache": "fp8", "tensor_parallel": 2, "pipeline_parallel": 2},
            "quantization/quantize.py",
            {"qformat": ["fp8"], "kv_cache_dtype": ["fp8"], "tp_size": ["2"], "pp_size": ["2"]},
        ),
        ({"quantise": "int4_awq"}, "quantization/quantize.py", {"qformat": ["int4_awq"]}),
        (
            {"quantise": "int8_wo"},
            "models/core/llama/convert_checkpoint.py",
            {"use_weight_only": [], "weight_only_precision": ["int8"]},
        ),
        ({"kv_cache": "int8"}, "models/core/llama/convert_checkpoint.py", {"int8_kv_cache": []}),
    ],
)
def test_it_is_quantised_and_spread_as_asked(
    commands: Scripted, build: dict[str, Any], program: str, expected: dict[str, list[str]]
) -> None:
    convert, built = commands(build=build)
    assert convert[1] == f"/app/examples/{program}"
    assert {name: options_of(convert)[name] for name in expected} == expected
    assert options_of(built).get("workers") == (["4"] if "tensor_parallel" in build else None)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"parameters": {"max_beam_width": 4}}, {"max_beam_width": ["4"]}),
        ({"logits_datatype": "TYPE_FP16"}, {"logits_dtype": ["float16"]}),
        ({"parameters": {"gpu_weights_percent": "0.5"}}, {"weight_streaming": []}),
        ({"parameters": {"sink_token_length": 4}}, {"streamingllm": ["enable"]}),
        ({"parameters": {"lora_cache_max_adapter_size": 16}}, {"lora_plugin": ["auto"], "max_lora_rank": ["16"]}),
        (
            {"draft": {"engine": "demo"}},
            {"speculative_decoding_mode": ["draft_tokens_external"], "max_draft_len": ["10"]},
        ),
        (
            {"build": {"options": {"max_seq_len": 512, "gather_context_logits": True, "gemm_plugin": None}}},
            {"max_seq_len": ["512"], "gather_context_logits": []},
        ),
        (
            {"build": {"options": {"lora_target_modules": "attn_q attn_k"}}},
            {"lora_target_modules": ["attn_q", "attn_k"]},
        ),
        ({"build": {"options": {"max_beam_width": 2}}}, {"max_beam_width": ["2"]}),
    ],
)
def test_the_engine_can_do_what_the_pipeline_asks_of_it(
    commands: Scripted, given: dict[str, Any], expected: dict[str, list[str]]
) -> None:
    built = options_of(commands(**given)[1])
    assert {name: built.get(name) for name in expected} == expected
    assert set(built) <= set(OPTIONS) | {"checkpoint_dir", "output_dir"}


def test_an_option_that_is_null_is_left_out(commands: Scripted) -> None:
    assert "gemm_plugin" not in options_of(commands(build={"options": {"gemm_plugin": None}})[1])


def test_a_draft_has_a_script_of_its_own(commands: Scripted) -> None:
    built = options_of(commands(model="tensorrt_llm_draft", draft={"engine": "demo"})[1])
    assert built["gather_generation_logits"] == []
    assert "speculative_decoding_mode" not in built


def test_an_engine_has_nothing_to_build(write_engine: Callable[..., Path], tmp_path: Path) -> None:
    write_engine("llama-0.19.0-tp4")
    pipeline = {"use": "text_generation", "engine": "engine", "with": {"tokenizer_dir": "/t"}}
    (tmp_path / "tritonsmith.yaml").write_text(yaml.safe_dump({"triton": "25.05", "pipelines": {"chat": pipeline}}))
    assert load_spec(tmp_path / "tritonsmith.yaml").models["tensorrt_llm"].texts == {}


@pytest.mark.parametrize(
    ("code", "build", "message"),
    [
        ("TL080", {"options": {"max_sequence_len": 5}}, "trtllm-build has no option 'max_sequence_len'. Did you mean"),
        ("TL080", {"options": {"max_seq_len": "long"}}, "'long' is no value of 'max_seq_len'"),
        ("TL080", {"options": {"kv_cache_type": "ragged"}}, "'ragged' is no value of 'kv_cache_type'"),
        ("TL080", {"options": {"output_dir": "x"}}, "'output_dir' is the script's own"),
        ("TL083", {"kv_cache": "fp8"}, "kv_cache fp8 needs a format of ModelOpt; quantise is not given"),
    ],
)
def test_a_build_that_makes_no_sense_is_told(read: Read, code: str, build: dict[str, Any], message: str) -> None:
    found = [finding for finding in read(build=build).findings if finding.code == code]
    assert [message in finding.message for finding in found] == [True]
    assert found[0].place.line
    assert found[0].remedy


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"build": {"tensor_parallel": 4}, "parameters": {"gpu_device_ids": "0,1"}},
            "gpu_device_ids 0,1 are 2, but the engine is to be built with world_size 4 (build.tensor_parallel 4 x ",
        ),
        (
            {"parameters": {"gpu_device_ids": "0,1"}},
            "gpu_device_ids 0,1 are 2, but the engine is to be built with world_size 1 (build.tensor_parallel 1 x ",
        ),
    ],
)
def test_the_gpus_are_as_many_as_the_build_has_ranks(read: Read, given: dict[str, Any], message: str) -> None:
    (found,) = (finding for finding in read(**given).findings if finding.code == "TL040")
    assert message in found.message
    assert found.place.line


def test_what_is_built_over_several_gpus_is_served_on_them(read: Read) -> None:
    spec = read(build={"tensor_parallel": 2, "pipeline_parallel": 2})
    assert not spec.findings
    assert tree.to_data(spec.models["tensorrt_llm"].fields.entries["parameters"])["gpu_device_ids"] == "0,1,2,3"


def test_as_many_ranks_as_cannot_be_meant_are_told(read: Read) -> None:
    assert "ranks are asked for" in read(build={"tensor_parallel": 10**12}).findings[0].message


def test_a_checkpoint_is_not_quantised_again(read: Read) -> None:
    found = read(is_checkpoint=True, build={"quantise": "fp8"}).findings
    assert "TL082" in {finding.code for finding in found}


def test_a_checkpoint_is_warned_of_and_written(read: Read) -> None:
    spec = read(is_checkpoint=True)
    assert [finding.code for finding in spec.findings] == ["TL016"]
    assert "engine.sh" in spec.models["tensorrt_llm"].texts


def test_a_lookahead_s_length_is_what_the_rule_counts(commands: Scripted) -> None:
    length = lookahead_draft_tokens(4, 4, 4)
    build = {"options": {"speculative_decoding_mode": "lookahead_decoding", "max_draft_len": length}}
    assert options_of(commands(build=build)[1])["max_draft_len"] == ["23"]


def test_of_an_exported_graph_nothing_is_built(tmp_path: Path) -> None:
    export_engine(BLUEPRINT.folder / "demo", tmp_path / "i8", "int8")
    pipeline = {"use": "text_generation", "engine": "i8", "with": {"build": {"quantise": "fp8"}}}
    (tmp_path / "tritonsmith.yaml").write_text(yaml.safe_dump({"triton": "25.05", "pipelines": {"chat": pipeline}}))
    spec = load_spec(tmp_path / "tritonsmith.yaml")
    assert [finding.message for finding in spec.findings] == ["'build' changes nothing: i8 is an engine already"]
    assert "1/engine/model.onnx" in spec.models["tensorrt_llm"].files
    assert "engine.sh" not in spec.models["tensorrt_llm"].texts
