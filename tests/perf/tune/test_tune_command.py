"""The verb tune where no server is needed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from tritonsmith.generator.cli import cli
from tritonsmith.generator.errors import AnswerIsNo, TritonsmithError, UnstableError, UsageError
from tritonsmith.generator.spec.tune import Limits, Loads, Tune
from tritonsmith.perf.document import Variation
from tritonsmith.perf.limits import Limit
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.served import the_model
from tritonsmith.perf.tune.cli import require_pick, show
from tritonsmith.perf.tune.document import Tuning
from tritonsmith.perf.tune.options import TuneOptions, read_variations, read_wish, words_of
from tritonsmith.perf.tune.space.candidates import configs_of
from tritonsmith.perf.tune.subject import built_subject

MakeTuning = Callable[..., Tuning]
SPEC = """\
repository: naps
models:
  first: {python: ./model, max_batch_size: 8}
  second: {python: ./model, max_batch_size: 8}
tune:
  objective: latency
  limits: {p99_ms: 50, memory_mib: 512}
  loads: {concurrency: [8, 2]}
  vary: {first: {max_batch_size: [4, 8], dynamic_batching: [null, {}]}}
"""
TENSORS = 'input { name: "x" data_type: TYPE_FP32 dims: 1 } output { name: "y" data_type: TYPE_FP32 dims: 1 }'
CODE = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"
WANTED = Tune(
    objective="latency",
    limits=Limits(p99_ms=50, memory_mib=512),
    loads=Loads(concurrency=(8, 2)),
    latency_metric="p50_ms",
)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A spec of two models of which none is the only one."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.pbtxt").write_text(TENSORS)
    (tmp_path / "model" / "model.py").write_text(CODE)
    (tmp_path / "tritonsmith.yaml").write_text(SPEC)
    return tmp_path / "tritonsmith.yaml"


def options(**given: Any) -> TuneOptions:
    names = TuneOptions.__dataclass_fields__
    plain: dict[str, Any] = {"limits": (), "vary": (), "inputs": (), "budget_s": 120.0, "seed": 0, "output": Path("o")}
    values: dict[str, Any] = {**dict.fromkeys(names), **plain, "profile": "", "is_patch": False, **given}
    return TuneOptions(**values)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--objective", "speed"], 2, "'speed' is not one of"),
        (["--objective", "cost"], 2, "a cost needs a price"),
        (["--objective", "throughput", "--price-per-hour", "2"], 2, "a throughput has no price"),
        (["--limit", "p99=fast"], 2, "--limit: 'p99=fast' has no time above 0"),
        (["--limit", "p99=5ms", "--limit", "p99=6ms"], 2, "p99 is given twice"),
        (["--concurrency", "1", "--request-rate", "5"], 2, "exclude each other"),
        (["--concurrency", "0"], 2, "'0' is not a whole number above 0"),
        (["--input", "x=1", "--prompts", "/nowhere"], 2, "--input and --prompts exclude each other"),
        (["--input-data", "/nowhere"], 2, "no input data in /nowhere"),
        (["--grpc-url", "localhost:1"], 2, "--grpc-url without --url"),
        (["--budget-s", "1"], 2, "--budget-s"),
        ([], 2, "which model? There are first, second"),
        (["--model", "third"], 2, "there is no model 'third' to tune"),
        (["--model", "first", "--vary", "models.first.max_batch_sise=1"], 2, "max_batch_sise"),
        (["--profile", "lab"], 2, "no profile 'lab'"),
    ],
)
def test_wrong_usage_is_named_before_a_server_starts(
    words: list[str], status: int, said: str, spec: Path, tmp_path: Path
) -> None:
    try:
        cli.main(["tune", str(spec), *words, "--output", str(tmp_path / "out")], standalone_mode=False)
    except TritonsmithError as problem:
        got, error = problem.exit_code, str(problem)
    except click.ClickException as problem:
        got, error = problem.exit_code, problem.format_message()
    assert (got, said in error) == (status, True), error


def test_without_a_spec_a_running_server_s_model_has_no_patch(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--patch is about a spec"):
        cli.main(["tune", "--url", "localhost:1", "--patch", "--output", str(tmp_path)], standalone_mode=False)


def test_the_default_is_throughput_at_a_few_concurrencies() -> None:
    wish = read_wish(options())
    assert (wish.objective, wish.limits) == ("throughput", ())
    assert [load.value for load in wish.loads] == [1, 2, 4, 8, 16]


def test_good_answers_need_a_limit_on_time() -> None:
    with pytest.raises(UsageError, match="none is given"):
        read_wish(options(objective="goodput", limits=("memory=1GiB",)))
    assert read_wish(options(objective="goodput"), WANTED).objective == "goodput"


def test_options_go_over_what_the_spec_wants() -> None:
    wish = read_wish(options(), WANTED)
    assert (wish.objective, wish.latency_metric) == ("latency", "p50_ms")
    assert wish.limits == (Limit("p99_ms", 50), Limit("memory_mib", 512))
    assert wish.loads == (Load("concurrency", 2), Load("concurrency", 8))
    wish = read_wish(options(objective="throughput", limits=("p99=20ms",), request_rate="200,100"), WANTED)
    assert wish.objective == "throughput"
    assert wish.limits == (Limit("p99_ms", 20), Limit("memory_mib", 512))
    assert wish.loads == (Load("request_rate", 100), Load("request_rate", 200))


def test_what_the_spec_varies_is_varied_where_no_option_says_otherwise(spec: Path, tmp_path: Path) -> None:
    subject = built_subject(spec, tmp_path)
    assert [words_of(one) for one in read_variations(options(), subject.wanted)] == [
        "models.first.max_batch_size=4,8",
        "models.first.dynamic_batching=null,{}",
    ]
    given = options(vary=("models.second.max_batch_size=1,2",))
    assert read_variations(given, subject.wanted) == (Variation("models.second.max_batch_size", (1, 2)),)


def test_the_spec_is_built_into_the_folder_of_the_tuning(spec: Path, tmp_path: Path) -> None:
    subject = built_subject(spec, tmp_path)
    assert subject.folder is not None
    assert subject.folder.is_relative_to(tmp_path)
    assert sorted(subject.repository.models) == ["first", "second"]
    assert (subject.folder / "first" / "config.pbtxt").exists()
    with pytest.raises(UsageError, match="which model"):
        the_model(configs_of(subject.repository))


def test_a_tuning_leaves_its_page_and_prints_what_it_is_asked_for(make_tuning: MakeTuning, tmp_path: Path) -> None:
    assert show(make_tuning(), tmp_path, is_json=False).splitlines()[-2:] == [
        f"report: {tmp_path / 'tune.html'}",
        f"document: {tmp_path / 'tune.json'}",
    ]
    assert json.loads(show(make_tuning(), tmp_path, is_json=True))["found"]["pick"]["name"].endswith("count=2")


def test_the_exit_status_is_what_was_found(make_tuning: MakeTuning) -> None:
    require_pick(make_tuning())
    with pytest.raises(AnswerIsNo):
        require_pick(make_tuning(pick=None))
    with pytest.raises(UnstableError):
        require_pick(make_tuning(pick=None, is_out_of_budget=True))
