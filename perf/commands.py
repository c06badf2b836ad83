"""The verbs of this layer: plan, simulate, sweep, tune, gate, report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tritonsmith.generator import console
from tritonsmith.generator.errors import UsageError

DEFAULT_CONCURRENCY = "1,2,4,8"
DEFAULT_TUNED = "1,2,4,8,16"  # concurrencies at which configurations are compared


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path), metavar="[SPEC or REPOSITORY]")
@click.option(
    "--service",
    multiple=True,
    metavar="TIMES",
    help="[MODEL:]ROWS=TIME,..,~SPREAD, e.g. 1=2ms,8=4.8ms,~20%; or a sweep's folder or document.",
)
@click.option("--url", help="HOST:PORT of a running server's HTTP, to read times from its statistics.")
@click.option("--model", "-m", help="Which model is asked.  [default: the only ensemble, else the only model]")
@click.option("--vary", multiple=True, metavar="FIELD=V,V", help="E.g. models.digits.instance_group.count=1,2.")
@click.option("--concurrency", help=f"Requests in flight, e.g. 1,2,4.  [default: {DEFAULT_CONCURRENCY}]")
@click.option("--request-rate", help="Requests sent per second, e.g. 100,200.")
@click.option(
    "--arrivals",
    default="poisson",
    show_default=True,
    metavar="KIND",
    help="poisson, bursty, constant; or a file of recorded ones: CSV, JSON lines, or SECONDS,ROWS per line.",
)
@click.option("--cores", type=click.IntRange(0), default=0, help="Cores for instances on the CPU.  [default: no limit]")
@click.option(
    "--replicas-for", type=click.FloatRange(0, min_open=True), metavar="RATE", help="Requests/s to size a fleet for."
)
@click.option("--slo", metavar="QUANTILE=TIME", help="What its answers must keep to, e.g. p99=50ms.")
@click.option("--down", type=click.IntRange(0), default=0, help="How many of its replicas may be down.  [default: 0]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of arrivals and durations.")
@click.option("--json", "is_json", is_flag=True, help="Print all as JSON.")
def simulate(is_json: bool, **options: Any) -> None:
    """Predict latency and throughput from service times by batch size; without a server.

    Triton's schedulers are simulated event by event: batchers, instances, ensembles. Ends with 1 where no number of
    replicas keeps to the --slo.
    """
    from tritonsmith.perf.simulate import cli

    console.result(cli.answer(cli.SimulateOptions(**options), is_json=is_json))


@click.command()
@click.argument("model", required=False)
@click.option("--url", help="HOST:PORT of a running server's HTTP; else the repository is served for the sweep.")
@click.option("--grpc-url", help="HOST:PORT of its gRPC.  [default: --url's host, port + 1]")
@click.option("--repository", type=click.Path(path_type=Path), default=Path("model_repository"), show_default=True)
@click.option("--concurrency", help=f"Requests in flight, e.g. 1,2,4.  [default: {DEFAULT_CONCURRENCY}]")
@click.option("--request-rate", help="Requests sent per second, Poisson arrivals, e.g. 100,200.")
@click.option(
    "--repeats", type=click.IntRange(3, 1000), default=5, show_default=True, help="Measurements of each load."
)
@click.option(
    "--window-ms", type=click.IntRange(20, 600_000), default=500, show_default=True, help="A repeat has three."
)
@click.option("--vary", multiple=True, metavar="FIELD=V,V", help="E.g. models.digits.instance_group.count=1,2.")
@click.option(
    "--input", "-i", "inputs", multiple=True, metavar="NAME=VALUE", help="As for infer; @FOLDER and @*.png are rows."
)
@click.option("--input-data", type=click.Path(path_type=Path), help="A perf_analyzer input-data JSON file.")
@click.option(
    "--prompts", type=click.Path(path_type=Path), help="Prompts for a model of text, one JSON value per line."
)
@click.option("--prompt-tokens", metavar="LENGTHS", help="Else their lengths: 128, uniform:16:256 or normal:100:20.")
@click.option("--output-tokens", metavar="LENGTHS", help="The answers' lengths, likewise.")
@click.option(
    "--tokenizer",
    type=click.Path(path_type=Path),
    help="A tokenizer.json.  [default: the served model's; with --url none, and a word counts as a token]",
)
@click.option(
    "--goal", "goals", multiple=True, metavar="TIME=MS", help="For the goodput: ttft_ms, tpot_ms, latency_ms."
)
@click.option(
    "--slo",
    multiple=True,
    metavar="METRIC=TIME",
    help="Find the highest load with p50, p90, p95, p99, mean, ttft, tpot within e.g. p99=50ms; loads are LOW..HIGH.",
)
@click.option(
    "--mix",
    metavar="MODEL=PART,..",
    help="Several models at once: a=70%,b=30% of --request-rate, or a=4,b=2 requests in flight.",
)
@click.option("--trace", type=click.Path(path_type=Path), help="Replay recorded arrivals: CSV, JSON lines, or seconds.")
@click.option("--speed", default="1x", show_default=True, help="Of the trace's replay.")
@click.option("--price-per-hour", type=click.FloatRange(0), default=0.0, help="Of the machine, for costs per million.")
@click.option("--protocol", type=click.Choice(["grpc", "http"]), default="grpc", show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the order and the arrivals.")
@click.option(
    "--executor",
    type=click.Choice(["local", "ray", "kubernetes"]),
    default="local",
    show_default=True,
    help="Where cells are measured: here, on a Ray cluster's nodes, or in the pods of a Job, which is written.",
)
@click.option("--ray-address", metavar="HOST:PORT", help="Of the cluster's head.  [default: $RAY_ADDRESS, else here]")
@click.option("--workers", type=click.IntRange(1), help="Nodes to measure on at most.  [default: all]")
@click.option("--image", help="Of the Job's pods, with tritonsmith[embedded] and perf_analyzer in it.")
@click.option("--results", metavar="PLACE", help="Where they write: a PersistentVolumeClaim, or s3://, gs://, as://.")
@click.option("--sidecar", "is_sidecar", is_flag=True, help="The release's own server in each pod, not the embedded.")
@click.option("--output", "-o", type=click.Path(path_type=Path), default=Path("build/sweep"), show_default=True)
@click.option("--json", "is_json", is_flag=True, help="Print the document as JSON.")
def sweep(is_json: bool, **options: Any) -> None:
    """Measure MODEL (default: the only ensemble, else the only model) over levels of load.

    What was measured is kept: after an interruption the same command measures the rest. Ends with 7 where a point
    varies by more than 25% between repeats; it is reported nevertheless. With --slo the highest load within limits is
    found: 1 where not even the lowest keeps them, 7 where it cannot be told. With --executor kubernetes a Job is
    written and what its pods have measured is collected: 7 where some of it is missing.
    """
    from tritonsmith.perf import cli_mix, cli_sweep
    from tritonsmith.perf.sweep_options import SweepOptions

    if options["mix"]:
        mixed = cli_mix.measure_mix(SweepOptions(**options))
        console.result(cli_mix.show_mix(mixed, options["output"], is_json=is_json))
        cli_mix.require_stable_mix(mixed)
        return
    done = cli_sweep.measure(SweepOptions(**options))
    console.result(cli_sweep.show(done, options["output"], is_json=is_json))
    cli_sweep.require_answers(done)


@click.command()
@click.argument("spec", type=click.Path(path_type=Path), required=False)
@click.option("--url", help="HOST:PORT of a running server's HTTP; without a SPEC nothing is written.")
@click.option("--grpc-url", help="HOST:PORT of its gRPC.  [default: --url's host, port + 1]")
@click.option("--model", "-m", help="Which model is tuned.  [default: the only ensemble, else the only model]")
@click.option(
    "--objective",
    type=click.Choice(["throughput", "latency", "goodput", "cost"]),
    help="What the best is the best for.  [default: the spec's, else throughput]",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="METRIC=MOST",
    help="What must hold: mean, p50, p90, p95, p99, ttft, tpot=50ms; memory=2GiB.",
)
@click.option("--concurrency", help=f"Requests in flight, e.g. 1,4,16.  [default: {DEFAULT_TUNED}]")
@click.option("--request-rate", help="Requests sent per second, e.g. 100,200; instead of --concurrency.")
@click.option("--vary", multiple=True, metavar="FIELD=V,V", help="E.g. models.digits.max_batch_size=8,32.")
@click.option(
    "--budget-s",
    type=click.FloatRange(10, 86_400),
    default=120.0,
    show_default=True,
    help="For all of it, the server's start and stop included.",
)
@click.option(
    "--input", "-i", "inputs", multiple=True, metavar="NAME=VALUE", help="As for infer; @FOLDER and @*.png are rows."
)
@click.option("--input-data", type=click.Path(path_type=Path), help="A perf_analyzer input-data JSON file.")
@click.option(
    "--prompts", type=click.Path(path_type=Path), help="Prompts for a model of text, one JSON value per line."
)
@click.option("--price-per-hour", type=click.FloatRange(0, min_open=True), help="Of this machine, for the cost.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the search and the arrivals.")
@click.option("--profile", default="", help="Tune with this profile of the spec; the change is written into it.")
@click.option("--patch", "--dry-run", "is_patch", is_flag=True, help="Leave the spec as it is; show what would change.")
@click.option("--output", "-o", type=click.Path(path_type=Path), default=Path("build/tune"), show_default=True)
@click.option("--json", "is_json", is_flag=True, help="Print the document as JSON.")
def tune(is_json: bool, **options: Any) -> None:
    """Find the best configuration of SPEC (./tritonsmith.yaml) under a goal, and write it into the spec.

    One server is started and changed while it runs; what cannot win is left early. Ends with 1 where no configuration
    keeps the limits, with 7 where the budget was out before anything could be told apart. The same command goes on
    where it was interrupted.
    """
    from tritonsmith.perf.tune import cli
    from tritonsmith.perf.tune.options import TuneOptions

    done = cli.tune(TuneOptions(**options))
    console.result(cli.show(done, options["output"], is_json=is_json))
    cli.require_pick(done)


@click.command()
@click.argument("candidate", default="model_repository")
@click.option("--baseline", help="A model repository, a git revision such as main, or a stored baseline, FILE.json.")
@click.option(
    "--save-baseline", type=click.Path(path_type=Path), help="Measure CANDIDATE alone and add it to this FILE.json."
)
@click.option(
    "--repository",
    type=click.Path(path_type=Path),
    default=Path("model_repository"),
    show_default=True,
    help="Where the repository lies at a git revision.",
)
@click.option("--model", "-m", help="Which model is compared.  [default: the only ensemble, else the only model]")
@click.option("--concurrency", help="Requests in flight, e.g. 4 or 1,16.  [default: 4]")
@click.option("--request-rate", help="Requests sent per second, Poisson arrivals, e.g. 100.")
@click.option(
    "--tolerance",
    "tolerances",
    multiple=True,
    metavar="METRIC=SHARE",
    help="How much slower is allowed: p50, mean, p90, p99, throughput, ttft_p50, tpot_p50, tokens.  [default: p50=5%]",
)
@click.option(
    "--answers-within", default="0.1%", show_default=True, help="How far answers may differ, of their largest value."
)
@click.option(
    "--input", "-i", "inputs", multiple=True, metavar="NAME=VALUE", help="As for infer; @FOLDER and @*.png are rows."
)
@click.option("--input-data", type=click.Path(path_type=Path), help="A perf_analyzer input-data JSON file.")
@click.option(
    "--window-ms",
    type=click.IntRange(20, 600_000),
    help="A run has three windows.  [default: for 60 requests, 60 or more]",
)
@click.option(
    "--budget-s", type=click.FloatRange(10, 86_400), default=120.0, show_default=True, help="No pair begins after it."
)
@click.option("--protocol", type=click.Choice(["grpc", "http"]), default="grpc", show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the order and the arrivals.")
@click.option("--self-test", "is_self_test", is_flag=True, help="Compare the candidate with itself; keeps a record.")
@click.option("--output", "-o", type=click.Path(path_type=Path), default=Path("build/gate"), show_default=True)
@click.option("--json", "is_json", is_flag=True, help="Print the document as JSON.")
@click.option("--markdown", "is_markdown", is_flag=True, help="Print Markdown, for a pull request.")
def gate(is_json: bool, is_markdown: bool, **options: Any) -> None:
    """Serve CANDIDATE (a model repository or a git revision) beside a baseline and tell whether it is slower.

    Both are measured in turn, in pairs of fresh servers. Ends with 0 where it is not slower by more than the tolerance,
    with 1 where it is or fails, with 7 where neither can be shown here. Writes gate.html, gate.md, gate.xml (JUnit).
    """
    from tritonsmith.perf.gate import cli

    if is_json and is_markdown:
        raise UsageError("--json and --markdown exclude each other", hint="gate.md and gate.json are written anyway")
    if (path := options["save_baseline"]) is not None:
        console.result(cli.show_saved(cli.save_baseline(cli.GateOptions(**options), path), path))
        return
    done = cli.compare(cli.GateOptions(**options))
    form = "json" if is_json else "markdown" if is_markdown else "text"
    console.result(cli.show(done, options["output"], form=form))
    cli.require_pass(done)


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("build/sweep"))
@click.option("--html", is_flag=True, help="Print the page.")
@click.option("--markdown", is_flag=True, help="Print a Markdown table.")
@click.option("--csv", is_flag=True, help="Print one row per point.")
@click.option("--junit", is_flag=True, help="Print JUnit XML, of a gate.")
@click.option("--json", is_flag=True, help="Print the document and its points.")
def report(path: Path, **forms: bool) -> None:
    """Turn what sweep, tune, gate or plan left in PATH (a folder or a document) into a report.

    Without an option the page is written beside the document.
    """
    from tritonsmith.perf.report.documents import report_on

    chosen = [form for form, is_chosen in forms.items() if is_chosen]
    if len(chosen) > 1:
        raise UsageError(f"--{' and --'.join(chosen)} exclude each other", hint="print one, then the other")
    console.result(report_on(path, chosen[0] if chosen else ""))


@click.command()
@click.argument("model", required=False, type=click.Path(path_type=Path), metavar="[MODEL]")
@click.option(
    "--gpu",
    "gpus",
    multiple=True,
    metavar="NAME,..",
    help="E.g. H100-SXM-80GB,L4; a part of one: H100-SXM-80GB/mig:3g.40gb, L40S/mps:4.  [default: all]",
)
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Requests per second.")
@click.option("--input", type=click.IntRange(1), metavar="TOKENS", help="Of a prompt.")
@click.option("--output", type=click.IntRange(1), metavar="TOKENS", help="Of an answer.")
@click.option(
    "--trace", type=click.Path(path_type=Path), help="Recorded requests instead: time, prompt_tokens, output_tokens."
)
@click.option("--bursts", type=click.FloatRange(1), default=1.0, help="A burst's rate by the mean.  [default: none]")
@click.option("--prefix", metavar="SHARE", help="Of a prompt's tokens, found in the KV cache, e.g. 30%.")
@click.option(
    "--slo", multiple=True, metavar="METRIC=TIME,..", help="ttft=500ms,tpot=50ms for 99 %; p90=5s: whole answers, 90 %."
)
@click.option("--weights", metavar="TYPE,..", help="Of weights to look at, e.g. bf16,fp8.  [default: as in the files]")
@click.option("--kv-cache", metavar="TYPE,..", help="Of the KV cache, e.g. fp8.  [default: fp16 or bf16]")
@click.option("--max-batch-size", metavar="N,..", help="Sequences in flight at a replica, at most.  [default: 256]")
@click.option(
    "--max-gpus", type=click.IntRange(1, 64), default=8, show_default=True, help="Over which one replica is spread."
)
@click.option("--spare", type=click.IntRange(0), default=1, show_default=True, help="Replicas that may be down.")
@click.option("--price", "prices", multiple=True, metavar="[GPU=]PRICE", help="Per GPU and hour.")
@click.option(
    "--calibrate",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="[WAY=]RESULTS",
    help='Sweeps that correct times; of which way, where several are looked at: "H100-SXM-80GB TP2=build/confirm".',
)
@click.option(
    "--estimator",
    type=click.Choice(["roofline", "aiconfigurator"]),
    default="roofline",
    show_default=True,
    help="Of step times; the second in an environment of its own.",
)
@click.option("--compare", "is_compared", is_flag=True, help="Show all ways side by side; write plan.html.")
@click.option("--write", type=click.Path(path_type=Path), metavar="SPEC", help="Write the pick as a spec for build.")
@click.option(
    "--regions", type=click.Path(path_type=Path), metavar="FILE", help="Split the traffic: shares, latencies."
)
@click.option("--pack", type=click.Path(path_type=Path), metavar="FLEET", help="Pack the models of a YAML onto GPUs.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of arrivals.")
@click.option(
    "--into",
    "folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    default=Path("build/plan"),
    show_default=True,
    help="For plan.json and plan.html; --output are tokens.",
)
@click.option("--json", "is_json", is_flag=True, help="Print the document as JSON.")
def plan(is_json: bool, **options: Any) -> None:
    """Say whether MODEL fits, how it is spread, how many replicas, at what cost; before any GPU is rented.

    A language model (config.json, checkpoint, engine): memory from its shape, times from a roofline or sweeps, tails
    from a simulation of in-flight batching. An ONNX or TensorRT file: its memory. A spec or repository with the
    --calibrate of one sweep: instances, and replicas of the server. Ends with 1 where nothing meets what is asked.
    """
    from tritonsmith.perf.plan import cli
    from tritonsmith.perf.plan.options import PlanOptions

    asked = PlanOptions(**options)
    if (text := cli.answer_of_others(asked, is_json=is_json)) is not None:
        console.result(text)
        return
    done = cli.make_plan(asked)
    console.result(cli.show(done, asked, is_json=is_json))
    cli.require_pick(done)
