"""ONNX's own backend test suite through the real server: `python -m tritonsmith.perf.bench.onnx_suite`.

Every case that Triton can express is built by `tritonsmith build`'s own path, served by our `onnxruntime` backend on
the real server, and compared with the suite's expected outputs by the suite's own rule. What was done is remembered
in --work, so that an interrupted run goes on where it was; --sample N takes a fixed selection.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import tritonclient.grpc as triton

from tritonsmith.backends.server.embedded import embedded_server
from tritonsmith.backends.toolchain.find import SERVER_VERSION
from tritonsmith.generator import console
from tritonsmith.generator.errors import ServerError
from tritonsmith.generator.manifests.server import ServerOptions
from tritonsmith.generator.repository.write import write_repository
from tritonsmith.perf.bench.onnx_cases import (
    Array,
    Case,
    DataSet,
    build_cases,
    one_line,
    read_cases,
    run_in_process,
    why_not_expressible,
)
from tritonsmith.perf.bench.record import write_result

_CHUNK = 40  # models on one server; each is a process
_CASE_LIMIT_S = 30.0
# The configurations are complete, so auto-completion would only start one more process for each of them.
_OPTIONS = ServerOptions(disable_auto_complete_config=True, allow_metrics=False, exit_timeout_secs=1, load_limit_s=60)
_TYPES = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "int8": "INT8",
    "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16", "float32": "FP32", "float64": "FP64",
    "object": "BYTES", "bfloat16": "BF16",
}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What became of one case. Empty strings mean that nothing was wrong; `served` is not tried after a refusal."""

    case: str
    refused: str
    in_process: str = ""
    served: str = ""


@click.command()
@click.option("--sample", type=int, default=0, help="only so many cases, always the same ones")
@click.option("--work", type=click.Path(path_type=Path), default=Path("build/onnx-suite"), help="where to remember")
@click.option("--afresh", is_flag=True, help="forget what is remembered")
def main(sample: int, work: Path, afresh: bool) -> None:
    """Run ONNX's backend test suite through the real server and say how it went."""
    if afresh:
        shutil.rmtree(work, ignore_errors=True)
    summary = summarize(run_suite(sample_cases(sample, work / "alone") if sample else read_cases(), work))
    if not sample:
        write_result("onnx_suite", summary)
    console.result(as_text(summary))


def sample_cases(count: int, work: Path) -> list[Case]:
    """A fixed selection of the cases that `build` takes, evenly over the suite; `work` is a scratch folder."""
    cases = [case for case in read_cases() if not why_not_expressible(case, work)]
    return [cases[place * len(cases) // count] for place in range(count)]


def run_suite(cases: Sequence[Case], work: Path) -> list[Verdict]:
    """A verdict for each case; those remembered in `work` are taken from there."""
    work.mkdir(parents=True, exist_ok=True)
    memory = work / "verdicts.jsonl"
    lines = memory.read_text(encoding="utf-8").splitlines() if memory.exists() else []
    known = {verdict.case: verdict for verdict in (Verdict(**json.loads(line)) for line in lines)}
    todo = [case for case in cases if case.name not in known]
    with console.progress("cases", total=len(todo)) as bar:
        for start in range(0, len(todo), _CHUNK):
            bar.update(start)
            for verdict in _judge(todo[start : start + _CHUNK], work):
                known[verdict.case] = verdict
                with memory.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(verdict)) + "\n")
    return [known[case.name] for case in cases]


def summarize(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Counts, and each case that does not agree with the reason."""
    expressible = [verdict for verdict in verdicts if not verdict.refused]
    passing = [verdict for verdict in expressible if not verdict.in_process]
    failing = [verdict for verdict in passing if verdict.served]
    return {
        "versions": {name: version(name) for name in ("onnx", "onnxruntime", "numpy")} | {"server": SERVER_VERSION},
        "cases": len(verdicts),
        "refused": dict(Counter(verdict.refused for verdict in verdicts if verdict.refused).most_common()),
        "expressible": len(expressible),
        "pass_in_process": len(passing),
        "agree_through_server": len(passing) - len(failing),
        "disagree": {verdict.case: verdict.served for verdict in failing},
        "fail_in_process": {verdict.case: verdict.in_process for verdict in expressible if verdict.in_process},
    }


def as_text(summary: dict[str, Any]) -> str:
    """The summary for a person."""
    passing, agreeing = summary["pass_in_process"], summary["agree_through_server"]
    lines = [
        f"{summary['cases']} cases of onnx {summary['versions']['onnx']}, {summary['expressible']} expressible",
        *(f"  {count:5} refused by build: {reason}" for reason, count in summary["refused"].items()),
        f"{passing} pass in ONNX Runtime {summary['versions']['onnxruntime']} in-process",
        f"{agreeing} of those agree through the server ({agreeing / max(passing, 1):.2%})",
        *(f"  {case}: {reason}" for case, reason in summary["disagree"].items()),
    ]
    return "\n".join(lines)


def _judge(cases: Sequence[Case], work: Path) -> Iterator[Verdict]:
    refused = {case.name: why_not_expressible(case, work / "alone") for case in cases}
    expressible = [case for case in cases if not refused[case.name]]
    in_process = run_in_process(expressible)
    served = _serve([case for case in expressible if not in_process[case.name]], work)
    for case in cases:
        yield Verdict(case.name, refused[case.name], in_process.get(case.name, ""), served.get(case.name, ""))


def _serve(cases: Sequence[Case], work: Path) -> dict[str, str]:
    """For each case what was wrong through the server; a server that breaks is narrowed down to the case."""
    if not cases:
        return {}
    shutil.rmtree(work / "spec", ignore_errors=True)
    shutil.rmtree(work / "repository", ignore_errors=True)
    write_repository(work / "repository", build_cases(cases, work / "spec"))
    try:
        with embedded_server(work / "repository", _OPTIONS, is_partial=True) as server:
            client = triton.InferenceServerClient(server.grpc_url)
            verdicts = {case.name: server.failed.get(case.name) or _infer(client, case) for case in cases}
            client.close()
            if server.process.poll() is not None:
                raise ServerError("the server ended")
            return verdicts
    except ServerError as error:
        if len(cases) == 1:
            return {cases[0].name: one_line(error)}
        half = len(cases) // 2
        return {**_serve(cases[:half], work), **_serve(cases[half:], work)}


def _infer(client: Any, case: Case) -> str:
    """What is wrong with the case's answers; empty if nothing."""
    for data in case.data_sets():
        try:
            outputs = _ask(client, case, data)
        except triton.InferenceServerException as error:
            return one_line(error)
        if different := case.difference(data, outputs):
            return different
    return ""


def _ask(client: Any, case: Case, data: DataSet) -> dict[str, Array]:
    inputs = [_input(name, array) for name, array in data.inputs.items()]
    wanted = [triton.InferRequestedOutput(name) for name in data.outputs]
    answer = client.infer(case.name, inputs, outputs=wanted, client_timeout=_CASE_LIMIT_S)
    return {name: answer.as_numpy(name) for name in data.outputs}


def _input(name: str, array: Array) -> Any:
    tensor = triton.InferInput(name, list(array.shape), _TYPES[array.dtype.name])
    tensor.set_data_from_numpy(array)
    return tensor


if __name__ == "__main__":
    main()
