import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tritonsmith.backends.client.base import grpc_beside
from tritonsmith.generator.errors import UnstableError, UsageError
from tritonsmith.perf.cli_sweep import models_of, require_stable
from tritonsmith.perf.document import Sweep
from tritonsmith.perf.inputs import require_inputs
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.streams import Goals
from tritonsmith.perf.sweep_options import SweepOptions, read_goals, read_inputs, read_loads


def options(concurrency: str | None = None, request_rate: str | None = None, **others: Any) -> SweepOptions:
    given: dict[str, Any] = {
        "model": None,
        "url": None,
        "grpc_url": None,
        "repository": Path("r"),
        "vary": (),
        "inputs": (),
    }
    given |= {"repeats": 5, "window_ms": 500, "input_data": None, "protocol": "grpc", "seed": 0, "output": Path("o")}
    given |= {"prompts": None, "prompt_tokens": None, "output_tokens": None, "tokenizer": None, "goals": ()}
    return SweepOptions(**{**given, "concurrency": concurrency, "request_rate": request_rate, **others})


def test_without_loads_powers_of_two_are_measured() -> None:
    assert read_loads(options()) == tuple(Load("concurrency", value) for value in (1, 2, 4, 8))


def test_rates_alone_are_not_joined_by_concurrencies() -> None:
    assert read_loads(options(request_rate="10,12.5")) == (Load("request_rate", 10), Load("request_rate", 12.5))


def test_a_load_that_is_named_twice_is_measured_once() -> None:
    assert read_loads(options("2,2", "2")) == (Load("concurrency", 2), Load("request_rate", 2))


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "inf", "nan", "many", "4097"])
def test_a_concurrency_is_a_whole_number_above_zero_that_has_threads(text: str) -> None:
    with pytest.raises(UsageError, match=f"'{text}' is not a whole number above 0, up to 4,096"):
        read_loads(options(text))


@pytest.mark.parametrize("text", ["0", "inf", "nan", "1e9", "1000001"])
def test_a_rate_is_at_most_a_million_per_second(text: str) -> None:
    with pytest.raises(UsageError, match=f"'{text}' is not a number above 0, up to 1,000,000"):
        read_loads(options(request_rate=text))
    assert read_loads(options(request_rate="1e6")) == (Load("request_rate", 1e6),)


def test_input_and_input_data_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        require_inputs(read_inputs(options(inputs=("x=1",), input_data=tmp_path / "in.json")))


@pytest.mark.parametrize("other", [{"inputs": ("x=1",)}, {"input_data": Path("in.json")}])
def test_inputs_leave_no_room_for_prompts(other: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="leaves no room for prompts"):
        require_inputs(read_inputs(options(prompt_tokens="16", **other)))


def test_a_files_prompts_have_their_own_lengths() -> None:
    with pytest.raises(UsageError, match="--prompts and --prompt-tokens exclude each other"):
        require_inputs(read_inputs(options(prompts=Path("p.jsonl"), prompt_tokens="16")))


def test_goals_are_read_by_name() -> None:
    assert read_goals(("ttft_ms=200", "tpot_ms=12.5")) == Goals(ttft_ms=200, tpot_ms=12.5)
    assert read_goals(()) == Goals()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("ttft=200",), "'ttft' is no time of an answer. Did you mean 'ttft_ms'?"),
        (("tpot_ms",), "'tpot_ms' is no number of milliseconds above 0"),
        (("tpot_ms=fast",), "'tpot_ms=fast' is no number of milliseconds above 0"),
        (("tpot_ms=0",), "'tpot_ms=0' is no number"),
        (("tpot_ms=nan",), "'tpot_ms=nan' is no number"),
        (("tpot_ms=1", "tpot_ms=2"), "'tpot_ms=2' is given twice"),
    ],
)
def test_a_wrong_goal_is_named(texts: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        read_goals(texts)


def test_a_repositorys_models_are_its_folders(tmp_path: Path) -> None:
    for name in ("b", "a", ".stage"):
        (tmp_path / name).mkdir()
    (tmp_path / "tritonsmith.lock").write_text("{}")
    assert models_of(tmp_path) == ["a", "b"]


@pytest.mark.parametrize(
    ("url", "grpc"), [("localhost:8000", "localhost:8001"), ("http://h:9000/", "h:9001"), ("[::1]:8000", "[::1]:8001")]
)
def test_grpc_is_the_port_after_http(url: str, grpc: str) -> None:
    assert grpc_beside(url) == grpc


def test_an_unstable_point_ends_with_7_and_is_named(make_sweep: Callable[..., Sweep]) -> None:
    require_stable(make_sweep())
    with pytest.raises(UnstableError, match="more than 25% between repeats at concurrency") as caught:
        require_stable(make_sweep(noise=0.7))
    assert caught.value.exit_code == 7
