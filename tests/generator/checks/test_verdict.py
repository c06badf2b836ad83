"""Of two mistakes in one model the server meets one first: each pair was tried on tritonserver 2.51, in both modes."""

from collections.abc import Callable

import pytest

from tritonsmith.generator.checks.verdict import Verdict, verdict_on
from tritonsmith.generator.findings import Finding

Judge = Callable[..., list[Finding]]
INPUT = 'input { name: "x" data_type: TYPE_FP32 dims: [4] }\n'
OUTPUT = 'output { name: "y" data_type: TYPE_FP32 dims: [4] }\n'
PYTHON = f'backend: "python"\n{INPUT}{OUTPUT}'


def parameter(name: str, value: str) -> str:
    return f'{PYTHON}parameters {{ key: "{name}" value {{ string_value: "{value}" }} }}'


STATE = """max_batch_size: 1 sequence_batching { state { input_name: "s" output_name: "t" data_type: TYPE_FP32 dims: [4]
 initial_state { data_type: TYPE_FP32 dims: [4] zero_data: true } } }"""


@pytest.mark.parametrize(
    ("config", "auto", "strict"),
    [
        (PYTHON, Verdict.HANGS, Verdict.HANGS),
        (f"{PYTHON}max_batch_size: -1", Verdict.FAILS, Verdict.FAILS),
        (f'backend: "python"\n{INPUT.replace("dims: [4]", "")}', Verdict.HANGS, Verdict.FAILS),
        (f"{PYTHON}instance_group {{ kind: KIND_GPU }}", Verdict.FAILS, Verdict.FAILS),
        (PYTHON.replace('name: "y"', 'name: "y" label_filename: "zz"'), Verdict.HANGS, Verdict.FAILS),
        (parameter("TRITON_BATCH_STRATEGY_PATH", "/x.so"), Verdict.HANGS, Verdict.FAILS),
        (f"{PYTHON}{STATE}", Verdict.HANGS, Verdict.HANGS),
        (parameter("EXECUTION_ENV_PATH", "/x.tar.gz"), Verdict.FAILS, Verdict.FAILS),
        (parameter("FORCE_CPU_ONLY_INPUT_TENSORS", "maybe"), Verdict.FAILS, Verdict.FAILS),
    ],
)
def test_a_missing_python_file_hangs_unless_something_is_refused_before(
    judge_repository: Judge, config: str, auto: Verdict, strict: Verdict
) -> None:
    files = {"m/config.pbtxt": config, "m/1": None}
    for is_auto_complete, verdict in ((True, auto), (False, strict)):
        findings = judge_repository(files, prefixes=("TS",), is_auto_complete=is_auto_complete)
        assert verdict_on("m", findings, is_auto_complete=is_auto_complete) is verdict, findings


def test_a_number_beyond_all_versions_ends_the_server_before_the_model_is_looked_at(judge_repository: Judge) -> None:
    findings = judge_repository({"m/config.pbtxt": PYTHON, "m/99999999999999999999": None}, prefixes=("TS",))
    assert verdict_on("m", findings) is Verdict.CRASHES


ENSEMBLE = f"""platform: "ensemble"
{INPUT}{OUTPUT}ensemble_scheduling {{
  step {{
    model_name: "m" model_version: -1
    input_map {{ key: "x" value: "x" }}
    output_map {{ key: "y" value: "y" }}
  }}
}}
"""


@pytest.mark.parametrize(
    ("files", "auto", "strict"),
    [
        ({"e/config.pbtxt": ENSEMBLE}, Verdict.HANGS, Verdict.HANGS),  # it has no version
        (
            {"e/config.pbtxt": ENSEMBLE.replace('name: "y"', 'name: "y" label_filename: "zz"'), "e/1": None},
            Verdict.HANGS,
            Verdict.HANGS,
        ),
        ({"e/config.pbtxt": ENSEMBLE.replace("dims: [4]", ""), "e/1": None}, Verdict.HANGS, Verdict.FAILS),
        ({"e/config.pbtxt": f"{ENSEMBLE}max_batch_size: -1", "e/1": None}, Verdict.FAILS, Verdict.FAILS),
    ],
)
def test_an_ensemble_waits_for_its_steps_unless_it_is_refused_at_the_poll(
    judge_repository: Judge, files: dict[str, str | None], auto: Verdict, strict: Verdict
) -> None:
    for is_auto_complete, verdict in ((True, auto), (False, strict)):
        written = {"m/config.pbtxt": PYTHON, "m/1": None, **files}
        findings = judge_repository(written, prefixes=("TS",), is_auto_complete=is_auto_complete)
        assert verdict_on("e", findings, is_auto_complete=is_auto_complete) is verdict, findings
