from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tests.ensembles.draw.configs import MODEL, chain, ensemble, model
from tritonsmith.ensembles.draw.core import Drawing, Graph, plain, shorten
from tritonsmith.ensembles.draw.repository import draw_repository, draw_served
from tritonsmith.generator.checks import Case, Target
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.findings import Finding, Place, error, warning
from tritonsmith.generator.repository.core import Model, Repository
from tritonsmith.generator.repository.read import read_repository

Draw = Callable[..., Drawing]
Write = Callable[[Mapping[str, str]], Path]


def names(graph: Graph) -> list[str]:
    return [box.name for box in graph.boxes]


def flows(graph: Graph) -> list[tuple[str, tuple[str, ...], str]]:
    named = {box.key: box.name for box in graph.boxes}
    return [
        (named[edge.source], tuple(named[one] for one in edge.targets), ",".join(one.name for one in edge.tensors))
        for edge in graph.edges
    ]


def test_an_ensemble_is_drawn_from_request_to_response(draw: Draw) -> None:
    (graph,) = draw({"a": model(), "b": model(), "both": chain("a", "b")}).graphs
    assert graph.name == "both"
    assert names(graph) == ["request", "a", "b", "response"]
    assert flows(graph) == [("request", ("a",), "t0"), ("a", ("b",), "t1"), ("b", ("response",), "t2")]
    assert graph.edges[1].tensors[0].type == "FP32 [-1,4]"
    assert (graph.edges[1].tensors[0].made_as, graph.edges[1].tensors[0].read_as) == ("y", "x")


def test_steps_are_drawn_in_the_order_in_which_they_can_run(draw: Draw) -> None:
    steps = [("b", {"x": "t1"}, {"y": "t2"}), ("a", {"x": "t0"}, {"y": "t1"})]
    (graph,) = draw({"a": model(), "b": model(), "both": ensemble(["t0"], ["t2"], *steps)}).graphs
    assert names(graph) == ["request", "a", "b", "response"]


def test_a_tensor_that_two_steps_read_is_one_edge(draw: Draw) -> None:
    steps = [("a", {"x": "t0"}, {"y": "one"}), ("b", {"x": "t0"}, {"y": "two"})]
    (graph,) = draw({"a": model(), "b": model(), "both": ensemble(["t0"], ["one", "two"], *steps)}).graphs
    assert flows(graph)[0] == ("request", ("a", "b"), "t0")


@pytest.mark.parametrize(
    ("fields", "facts"),
    [
        ('backend: "python"', ("python, latest version (1)", "no batching", "default instance group")),
        (
            (
                'backend: "python" max_batch_size: 8 dynamic_batching { preferred_batch_size: [ 4, 8 ] '
                "max_queue_delay_microseconds: 1500 } instance_group [ { count: 2 kind: KIND_GPU gpus: [ 0, 1 ] } ]"
            ),
            (
                "python, latest version (1)",
                "max_batch_size 8",
                "dynamic batcher, preferred 4 8, delay 1,500 µs",
                "2 × KIND_GPU on GPU 0 1",
            ),
        ),
        (
            (
                'backend: "python" max_batch_size: 8 sequence_batching { oldest { max_candidate_sequences: 16 } } '
                "instance_group [ { kind: KIND_CPU } ] response_cache { enable: true }"
            ),
            (
                "python, latest version (1)",
                "max_batch_size 8",
                "sequence batcher (oldest), 16 candidates",
                "1 × KIND_CPU",
                "response cache",
            ),
        ),
        (
            (
                'backend: "tensorrtllm" max_batch_size: 8 parameters { key: "gpt_model_type" '
                'value { string_value: "inflight_fused_batching" } }'
            ),
            ("tensorrtllm, latest version (1)", "max_batch_size 8, in-flight batching", "default instance group"),
        ),
    ],
    ids=["plain", "dynamic", "sequence", "in-flight"],
)
def test_a_box_says_how_the_model_runs(draw: Draw, fields: str, facts: tuple[str, ...]) -> None:
    (graph,) = draw({"a": model(fields=fields)}).graphs
    assert graph.boxes[0].facts == facts


def test_all_behind_a_decoupled_model_is_a_stream(draw: Draw) -> None:
    decoupled = model(fields=f"{MODEL} model_transaction_policy {{ decoupled: true }}")
    (graph,) = draw({"a": model(), "b": decoupled, "c": model(), "all": chain("a", "b", "c")}).graphs
    assert [edge.is_stream for edge in graph.edges] == [False, False, True, True]
    assert [box.is_decoupled for box in graph.boxes] == [False, False, True, False, False]


def test_a_nested_ensemble_holds_its_own_steps(draw: Draw) -> None:
    drawing = draw({"a": model(), "b": model(), "inner": chain_of("a"), "outer": chain("inner", "b")})
    (graph,) = drawing.graphs
    assert graph.name == "outer"
    inner = graph.boxes[1].inner
    assert inner is not None
    assert names(inner) == ["request", "a", "response"]


def chain_of(name: str) -> str:
    """An ensemble whose tensors are called like a model's, so that it can be a step of `chain`."""
    return ensemble(["x"], ["y"], (name, {"x": "x"}, {"y": "y"}))


def test_an_ensemble_within_itself_ends(draw: Draw) -> None:
    graphs = draw({"one": chain_of("two"), "two": chain_of("one")}).graphs
    assert [graph.name for graph in graphs] == ["one"]


def test_ensembles_that_multiply_are_not_drawn_whole(draw: Draw) -> None:
    outputs = [f"y{index}" for index in range(10)]
    configs = {"e8": model()}
    for depth in range(8):
        steps = [(f"e{depth + 1}", {"x": "x"}, {"y": output}) for output in outputs]
        configs[f"e{depth}"] = ensemble(["x"], outputs, *steps)
    (graph,) = draw(configs).graphs
    assert all(box.inner is None for box in graph.boxes)


def test_ensembles_come_before_models_that_call() -> None:
    calling, steps = ModelConfig(name="calls", backend="python"), ModelConfig(name="steps", platform="ensemble")
    steps.ensemble_scheduling.step.add(model_name="a")
    models = {config.name: Model(config.name, config) for config in (calling, steps, ModelConfig(name="a"))}
    repository = Repository("r", models, settings={"calls": {"calls": ["a"]}})
    drawing = draw_repository(Case(repository, Target()), ())
    assert [graph.name for graph in drawing.graphs] == ["steps", "calls"]


def test_models_in_no_ensemble_are_single_boxes_with_their_tensors(draw: Draw) -> None:
    graphs = draw({"a": model(), "whole": chain("a"), "lonely": model(["p"], ["q"])}).graphs
    assert [graph.name for graph in graphs] == ["whole", "models in no pipeline"]
    (box,) = graphs[1].boxes
    assert [tensor.name for tensor in (*box.inputs, *box.outputs)] == ["p", "q"]
    assert not graphs[1].edges


def test_one_pipeline_can_be_chosen(draw: Draw) -> None:
    configs = {"a": model(), "whole": chain("a"), "lonely": model()}
    assert [graph.name for graph in draw(configs, (), "lonely").graphs] == ["lonely"]


def test_an_unknown_model_is_refused_with_its_neighbour(draw: Draw) -> None:
    with pytest.raises(UsageError, match=r"no model 'lonly' here\. Did you mean 'lonely'"):
        draw({"lonely": model()}, (), "lonly")


def test_a_call_is_an_edge_of_its_own() -> None:
    configs = {name: ModelConfig(name=name, backend="python") for name in ("asks", "answers", "helps")}
    graph = draw_served(configs, "asks", {"asks": ["answers", "helps"], "answers": ["helps"]})
    assert [(edge.kind, one, other) for edge, (one, other, _) in zip(graph.edges, flows(graph), strict=True)] == [
        ("call", "asks", ("answers", "helps")),
        ("call", "answers", ("helps",)),
    ]


def test_a_call_is_found_in_a_python_model(repository: Write) -> None:
    folder = repository({"asks": model(), "answers": model()})
    script = (
        "class TritonPythonModel:\n    def execute(self, requests):\n        InferenceRequest(model_name='answers')\n"
    )
    (folder / "asks" / "1" / "model.py").write_text(script)
    (graph,) = draw_repository(Case(read_repository(folder), Target()), ()).graphs
    assert ("asks", ("answers",), "") in flows(graph)


def test_what_is_broken_is_drawn_as_far_as_it_is_known(draw: Draw) -> None:
    steps = [("gone", {"x": "in"}, {"y": "t1"}), ("bad", {"x": "t1", "z": "nowhere"}, {"y": "left"})]
    graph = draw({"bad": "no such field: 1", "whole": ensemble(["in"], ["out"], *steps)}).graphs[0]
    assert {box.name: box.kind for box in graph.boxes} == {
        "request": "request", "gone": "missing", "bad": "missing", "response": "response",
        "nobody writes": "nothing", "nobody reads": "nothing",
    }  # fmt: skip
    assert ("nobody writes", ("bad",), "nowhere") in flows(graph)
    assert ("nobody writes", ("response",), "out") in flows(graph)
    assert ("bad", ("nobody reads",), "left") in flows(graph)


def test_a_circle_is_drawn(draw: Draw) -> None:
    steps = [("a", {"x": "t2"}, {"y": "t1"}), ("a", {"x": "t1"}, {"y": "t2"})]
    graph = draw({"a": model(), "whole": ensemble(["in"], ["out"], *steps)}).graphs[0]
    assert ("a", ("a",), "t1") in flows(graph)
    assert ("a", ("a",), "t2") in flows(graph)


def about(key: str, finding: Finding) -> Finding:
    return replace(finding, key=key, model=key.partition(".")[0], code="TS999")


@pytest.mark.parametrize(
    ("key", "where"),
    [
        ("a", "box a"),
        ("a.input[0].dims", "box a"),
        ("whole", "graph"),
        ("whole.max_batch_size", "graph"),
        ("whole.ensemble_scheduling.step[1]", "box b"),
        ("whole.ensemble_scheduling.step[1].model_version", "box b"),
        ("whole.ensemble_scheduling.step[1].input_map.x", "tensor t1"),
        ("whole.output[0].data_type", "tensor t2"),
        ("whole.ensemble_scheduling.step[9]", "graph"),
    ],
)
def test_a_finding_stands_where_it_belongs(draw: Draw, key: str, where: str) -> None:
    configs = {"a": model(), "b": model(), "whole": chain("a", "b")}
    (graph,) = draw(configs, [about(key, error("wrong", Place("somewhere", 1)))]).graphs
    found = ["graph"] * len(graph.marks)
    found += [f"box {box.name}" for box in graph.boxes for _ in box.marks]
    found += [f"tensor {one.name}" for edge in graph.edges for one in edge.tensors for _ in one.marks]
    assert found == [where]


def test_a_finding_about_no_model_belongs_to_the_drawing(draw: Draw) -> None:
    drawing = draw({"a": model()}, [warning("the repository is odd")])
    assert [mark.message for mark in drawing.marks] == ["the repository is odd"]


def test_a_finding_names_its_file_within_the_repository(draw: Draw) -> None:
    finding = about("a.backend", error("wrong", Place("/some/where/models/a/config.pbtxt", 3, 1)))
    (graph,) = draw({"a": model()}, [finding]).graphs
    assert graph.boxes[0].marks[0].place == "a/config.pbtxt:3:1"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a b", "a b"), ("a\nb\t c", "a b c"), ("\x1b[31mred\x07", "\ufffd[31mred\ufffd"), ("\u202eevil", "\ufffdevil")],
)
def test_names_cannot_command_a_terminal(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_long_names_keep_both_ends() -> None:
    assert shorten("tensor_with_a_long_name_17", 16) == "tensor_wit…me_17"
    assert shorten("short", 16) == "short"
