"""What the options of `plan` say, and what is refused."""

from pathlib import Path

import pytest
from click import BadParameter

from tritonsmith.generator.catalog.gpus import GPUS
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.commands import plan
from tritonsmith.perf.plan.core import Objectives
from tritonsmith.perf.plan.options import (
    PlanOptions,
    options_given,
    read_gpus,
    read_objectives,
    read_prices,
    read_wishes,
)


def options(**given: object) -> PlanOptions:
    return PlanOptions(**{"model": Path("config.json"), **given})  # type: ignore[arg-type]


def test_gpus_are_named_freely_and_each_is_asked_once() -> None:
    assert read_gpus(("H100-SXM-80GB,L4", "l4")) == ("H100-SXM-80GB", "L4")
    assert read_gpus(()) == tuple(GPUS)


def test_a_quantile_of_whole_answers_says_the_share_that_keeps_all_limits() -> None:
    assert read_objectives(("ttft=500ms,tpot=50ms",)) == Objectives(500.0, 50.0, None, share=0.99)
    assert read_objectives(("ttft=0.5s", "p90=5s")) == Objectives(500.0, None, 5000.0, share=0.9)
    with pytest.raises(UsageError, match="p90 and p99 are two shares"):
        read_objectives(("p90=5s,p99=8s",))


def test_a_price_without_a_gpu_is_that_of_the_only_one() -> None:
    assert read_prices(("2.5",), ["L4"]) == {"L4": 2.5}
    assert read_prices(("H100-SXM-80GB=2.5,L4=0.7",), ["L4", "H100-SXM-80GB"]) == {"L4": 0.7, "H100-SXM-80GB": 2.5}
    with pytest.raises(UsageError, match="does not say of which GPU"):
        read_prices(("2.5",), ["L4", "A10"])
    with pytest.raises(UsageError, match="A10 has none"):
        read_prices(("L4=0.7",), ["L4", "A10"])


def test_recorded_requests_say_the_rate_and_the_lengths(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("time,prompt_tokens,output_tokens\n0,100,10\n1,300,30\n4,200,20\n")
    traffic = read_wishes(options(trace=trace)).traffic
    assert traffic is not None
    assert (traffic.rate_per_s, traffic.input_tokens, traffic.output_tokens) == (0.5, 200, 20)
    assert traffic.arrivals == ((0.0, 100, 10), (1.0, 300, 30), (4.0, 200, 20))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rate": 5.0}, "--rate needs lengths"),
        ({"input": 100}, "--input is about a traffic"),
        ({"slo": ("ttft=1s",)}, "--slo is about a traffic"),
        ({"bursts": 3.0}, "--bursts is about a traffic"),
        ({"weights": "fp9"}, "--weights: there is no type 'fp9'. Did you mean 'fp8'"),
        ({"kv_cache": "fp4"}, "--kv-cache: there is no type 'fp4'"),
        ({"gpus": ("H1000",)}, "no GPU 'H1000' is known"),
        ({"rate": 5.0, "input": 9, "output": 9, "prefix": "120%"}, "no share below 100%"),
        ({"rate": 5.0, "input": 9, "output": 9, "slo": ("itl=5ms",)}, "'itl' is nothing to limit"),
        ({"rate": float("nan"), "input": 9, "output": 9}, "--rate: nan is no finite number"),
        ({"rate": 5.0, "input": 9, "output": 9, "bursts": float("inf")}, "--bursts: inf is no finite number"),
        ({"max_batch_size": "256,many"}, "--max-batch-size: 'many' is no whole number above 0"),
        ({"max_batch_size": "0"}, "--max-batch-size: '0' is no whole number above 0"),
        ({"prices": ("free",), "gpus": ("L4",)}, "'free' is no price above 0"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_wishes(options(**given))


@pytest.mark.parametrize("name", ["rate", "bursts"])
def test_a_number_without_an_end_is_told_with_its_own_option(name: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_wishes(options(**{"rate": 5.0, "input": 9, "output": 9, name: float("inf")}))
    assert (refused.value.hint or "").startswith(f"--{name} ")


def test_a_trace_excludes_a_rate_and_needs_lengths(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("0\n1\n")
    with pytest.raises(UsageError, match="--trace and --rate exclude each other"):
        read_wishes(options(trace=trace, rate=5.0))
    with pytest.raises(UsageError, match="without its lengths") as refused:
        read_wishes(options(trace=trace))
    assert refused.value.where == f"{trace}:1"


def test_options_are_told_as_they_are_written() -> None:
    assert options_given(options()) == []
    asked = options(gpus=("L4",), kv_cache="fp8", prices=("1",), is_compared=True, folder=Path("elsewhere"))
    assert options_given(asked) == ["--gpu", "--kv-cache", "--price", "--compare", "--into"]
    assert set(options_given(asked)) <= {name for parameter in plan.params for name in parameter.opts}


def test_batches_are_each_looked_at_once_and_256_where_none_is_named() -> None:
    assert read_wishes(options()).batches == (256,)
    assert read_wishes(options(max_batch_size="2048, 256,2048")).batches == (2048, 256)


def test_a_seed_below_0_is_wrong_usage() -> None:
    with pytest.raises(BadParameter, match="-5 is not in the range"):
        plan.make_context("plan", ["--seed", "-5"])
