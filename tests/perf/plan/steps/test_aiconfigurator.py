"""aiconfigurator is asked in an environment of its own, and what it says is put together to times of any step."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.perf.plan.small_models import DENSE, write_config
from tritonsmith.generator.catalog.gpus import GPUS
from tritonsmith.generator.errors import ToolMissingError, UsageError
from tritonsmith.perf.plan.core import LanguageModel, Serving, Spread
from tritonsmith.perf.plan.models.read import read_model
from tritonsmith.perf.plan.steps.aiconfigurator import (
    BATCHES,
    CONTEXTS,
    PROMPTS,
    VARIABLE,
    Aiconfigurator,
    MeasuredSteps,
    find_aiconfigurator,
)

H100 = GPUS["H100-SXM-80GB"]
SERVING = Serving(Spread(), "bf16", "bf16")
# Prompts take 1 ms and 10 us a token, steps 2 ms, 0.1 ms a sequence and 1 us a token of the context.
STEPS = MeasuredSteps(
    tuple(1e-3 + 1e-5 * tokens for tokens in PROMPTS),
    tuple(tuple(2e-3 + 1e-4 * batch + 1e-6 * context for context in CONTEXTS) for batch in BATCHES),
    stages=1,
    ranks=1,
    source="by hand",
)


@pytest.fixture
def model(tmp_path: Path) -> LanguageModel:
    return read_model(write_config(tmp_path, DENSE))


def environment(folder: Path, program: str) -> Path:
    """Write a program in the place of an environment's Python, and return it."""
    python = folder / "environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!{sys.executable}\nimport json, sys\nquestion = json.loads(sys.argv[-1])\n{program}\n")
    python.chmod(0o755)
    return python


@pytest.mark.parametrize("tokens", [100, 1000, 5000, 20_000])
def test_prompts_between_and_beyond_those_that_were_asked_for(tokens: int) -> None:
    assert STEPS.prefill_s(tokens, 0) == pytest.approx(1e-3 + 1e-5 * tokens)


@pytest.mark.parametrize(("sequences", "context"), [(1, 512), (40, 2000), (300, 9000), (1000, 100)])
def test_steps_between_and_beyond_those_that_were_asked_for(sequences: int, context: int) -> None:
    assert STEPS.decode_s(sequences, context) == pytest.approx(2e-3 + 1e-4 * sequences + 1e-6 * context)


def test_its_answer_becomes_times_in_seconds(tmp_path: Path, model: LanguageModel) -> None:
    python = environment(
        tmp_path,
        "assert question['settings']['tp_size'] == 2 and question['system'] == 'h100_sxm'\n"
        "prefill = [tokens / 100 for tokens in question['prompts']]\n"
        "decode = [[batch for _ in question['contexts']] for batch in question['batches']]\n"
        "print('loading ...')\n"
        "print(json.dumps({'version': '0.12.0', 'prefill_ms': prefill, 'decode_ms': decode}))",
    )
    steps = Aiconfigurator(tmp_path, python)(model, Serving(Spread(2), "bf16", "bf16"), H100)
    assert steps.prefill_s(2048, 0) == pytest.approx(20.48e-3)
    assert steps.decode_s(16, 1000) == pytest.approx(16e-3)
    assert "aiconfigurator 0.12.0" in steps.source


@pytest.mark.skipif(sys.version_info < (3, 11), reason="aiconfigurator needs Python 3.11")
def test_the_script_asks_the_package_and_not_the_file_of_its_name(tmp_path: Path, model: LanguageModel) -> None:
    packages = tmp_path / "packages"
    package, told = packages / "aiconfigurator" / "cli", packages / "aiconfigurator-0.12.1.dist-info"
    package.mkdir(parents=True)
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: aiconfigurator\nVersion: 0.12.1\n")
    (package / "api.py").write_text(
        "class Found:\n    ttft = tpot = 5.0\ndef cli_estimate(model, system, **settings):\n    return Found()\n"
    )
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={packages} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    steps = Aiconfigurator(tmp_path, python)(model, SERVING, H100)
    assert steps.decode_s(16, 1000) == pytest.approx(5e-3)
    assert steps.source.startswith("aiconfigurator 0.12.1,")


def test_the_end_of_what_it_complains_of_is_shown(tmp_path: Path, model: LanguageModel) -> None:
    python = environment(tmp_path, "sys.exit('no data for this model')")
    with pytest.raises(UsageError, match="no data for this model"):
        Aiconfigurator(tmp_path, python)(model, SERVING, H100)


def test_an_environment_without_it_is_told_how_to_install(tmp_path: Path, model: LanguageModel) -> None:
    python = environment(tmp_path, "import aiconfigurator")
    with pytest.raises(ToolMissingError, match="has no aiconfigurator") as problem:
        Aiconfigurator(tmp_path, python)(model, SERVING, H100)
    assert "pip install aiconfigurator==0.12.0" in problem.value.hint


@pytest.mark.parametrize("named", ["", "nowhere"])
def test_no_environment_is_told_how_to_name_one(named: str) -> None:
    with pytest.raises(ToolMissingError) as problem:
        find_aiconfigurator({VARIABLE: named})
    assert VARIABLE in problem.value.hint


def test_a_gpu_or_type_that_it_has_not_measured_is_refused(tmp_path: Path, model: LanguageModel) -> None:
    ask = Aiconfigurator(tmp_path, tmp_path)
    with pytest.raises(UsageError, match="has not measured L4"):
        ask(model, SERVING, GPUS["L4"])
    with pytest.raises(UsageError, match="no weights in fp32"):
        ask(model, Serving(Spread(), "fp32", "bf16"), H100)


@pytest.mark.skipif(VARIABLE not in os.environ, reason=f"{VARIABLE} names no environment of aiconfigurator")
def test_the_real_one_is_near_the_roofline(tmp_path: Path) -> None:
    from tests.perf.plan.public_models import FOLDER, model_named
    from tritonsmith.perf.plan.steps.roofline import RooflineTimes

    shape = json.loads((FOLDER / "llama-3.1-8b.json").read_text())
    write_config(tmp_path, {key: value for key, value in shape.items() if not key.startswith("_")})
    llama = model_named("llama-3.1-8b")
    measured = Aiconfigurator(tmp_path, find_aiconfigurator())(llama, SERVING, H100)
    roofline = RooflineTimes(llama, SERVING, H100)
    assert measured.decode_s(16, 1000) == pytest.approx(roofline.decode_s(16, 1000), rel=0.5)
    assert measured.prefill_s(2048, 0) == pytest.approx(roofline.prefill_s(2048, 0), rel=0.5)
