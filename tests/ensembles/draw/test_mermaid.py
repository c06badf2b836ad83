import re
from collections.abc import Callable
from dataclasses import replace

from tests.ensembles.draw.configs import MODEL, chain, ensemble, model
from tritonsmith.ensembles.draw.core import Drawing, Graph
from tritonsmith.ensembles.draw.mermaid import fenced, render_mermaid
from tritonsmith.generator.findings import error

Draw = Callable[..., Drawing]


def test_a_chain_is_a_flowchart(draw: Draw) -> None:
    text = render_mermaid(draw({"a": model(), "whole": chain("a")}))
    assert text.startswith('flowchart TB\nsubgraph p0["whole: ensemble, max_batch_size 8"]\n  direction TB\n')
    assert 'p0_0(["request"])' in text
    assert 'p0_1["<b>a</b><br/>python, latest version (1)<br/>max_batch_size 8<br/>default instance group"]' in text
    assert 'p0_0 -->|"t0 FP32 [-1,4]"| p0_1' in text


def test_streams_and_calls_have_lines_of_their_own(draw: Draw) -> None:
    decoupled = model(fields=f"{MODEL} model_transaction_policy {{ decoupled: true }}")
    text = render_mermaid(draw({"a": decoupled, "whole": chain("a")}))
    assert 'p0_1 ==>|"stream<br/>t1 FP32 [-1,4]"| p0_2' in text


def test_a_nested_ensemble_is_a_subgraph(draw: Draw) -> None:
    inner = ensemble(["x"], ["y"], ("a", {"x": "x"}, {"y": "y"}))
    text = render_mermaid(draw({"a": model(), "inner": inner, "outer": chain("inner")}))
    assert text.count("subgraph ") == text.count("end\n") == 2


def test_an_error_is_told_in_its_box(draw: Draw) -> None:
    finding = replace(error("it is wrong"), model="a", key="a", code="TS999")
    text = render_mermaid(draw({"a": model(), "whole": chain("a")}, [finding]))
    assert 'error TS999 it is wrong"]:::error' in text


def test_no_name_ends_its_quotes_or_becomes_markup() -> None:
    graph = Graph('"] --> x; <img src=x> `#35; %%{init}%% end')
    (line,) = [line for line in render_mermaid(Drawing("d", (graph,))).splitlines() if line.startswith("subgraph")]
    label = re.fullmatch(r'subgraph p0\["([^"]*)"\]', line)
    assert label is not None
    assert not set('<>"`{}%') & set(label[1])
    assert label[1].startswith("#34;] --#62; x")


def test_markdown_takes_it_as_a_block() -> None:
    assert fenced("flowchart TB\n") == "```mermaid\nflowchart TB\n```\n"
