"""What is read from an ONNX file, and what is refused with which reason."""

import os
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import onnx
import pytest
from onnx import TensorProto, helper

from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.inspect.onnx import LARGEST_FILE_BYTES, OnnxFacts, read_onnx, shape_findings, triton_dims


def tensor(name: str, shape: Any, elem_type: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, elem_type, shape)


def save(
    path: Path,
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    *,
    initializers: Sequence[onnx.TensorProto] = (),
    nodes: list[onnx.NodeProto] | None = None,
) -> Path:
    nodes = [helper.make_node("Identity", [inputs[0].name], [outputs[0].name])] if nodes is None else nodes
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializer=list(initializers))
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(model, path)
    return path


def messages(findings: tuple[Finding, ...] | list[Finding]) -> str:
    return "\n".join(map(str, findings))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def test_names_types_shapes_and_symbols_are_read(path: Path) -> None:
    facts = read_onnx(save(path, [tensor("x", ["N", 3, None], TensorProto.INT64)], [tensor("y", ["N", 2])]))
    (x,), (y,) = facts.inputs, facts.outputs
    assert x.datatype and y.datatype
    assert (x.name, x.datatype.name, x.shape, x.symbols) == ("x", "TYPE_INT64", (-1, 3, -1), ("N", "", ""))
    assert (y.name, y.datatype.name, y.shape, y.symbols) == ("y", "TYPE_FP32", (-1, 2), ("N", ""))
    assert (facts.ir_version, facts.opset, facts.findings, facts.external) == (8, 17, (), ())


@pytest.mark.parametrize(
    ("input_shape", "output_shape", "is_batchable"),
    [
        (["N", 4], ["N", 2], True),
        (["N", 4], ["M", 2], True),  # the C++ backend looks at -1 alone
        ([1, 4], ["N", 2], False),
        (["N", 4], [2], False),
        ([], ["N"], False),
        (None, ["N"], False),
    ],
)
def test_a_model_batches_iff_every_first_axis_is_dynamic(
    path: Path, input_shape: Any, output_shape: Any, is_batchable: bool
) -> None:
    facts = read_onnx(save(path, [tensor("x", input_shape)], [tensor("y", output_shape)]))
    assert facts.is_batchable is is_batchable


def test_an_input_with_an_initializer_is_no_input(path: Path) -> None:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    facts = read_onnx(save(path, [tensor("x", [2]), tensor("w", [2])], [tensor("y", [2])], initializers=[weight]))
    assert [t.name for t in facts.inputs] == ["x"]
    assert [t.name for t in facts.overridable] == ["w"]


@pytest.mark.parametrize("elem_type", ["COMPLEX64", "FLOAT8E4M3FN", "INT4", "UINT4"])
def test_a_type_that_triton_lacks_is_refused_by_name(path: Path, elem_type: str) -> None:
    number = TensorProto.DataType.Value(elem_type)
    facts = read_onnx(save(path, [tensor("x", [2], number)], [tensor("y", [2], number)]))
    assert facts.inputs[0].datatype is None
    assert [f.message for f in facts.findings] == [
        f"input 'x' has ONNX type {elem_type}, which Triton lacks",
        f"output 'y' has ONNX type {elem_type}, which Triton lacks",
    ]


def test_a_type_newer_than_onnx_itself_is_refused_by_number(path: Path) -> None:
    facts = read_onnx(save(path, [tensor("x", [2], 999)], [tensor("y", [2])]))
    assert "input 'x' has ONNX type 999" in messages(facts.findings)


def test_sequences_optionals_maps_and_sparse_tensors_are_refused(path: Path) -> None:
    element = helper.make_tensor_type_proto(TensorProto.FLOAT, [2])
    inputs = [
        helper.make_value_info("s", helper.make_sequence_type_proto(element)),
        helper.make_value_info("o", helper.make_optional_type_proto(element)),
        helper.make_value_info("m", helper.make_map_type_proto(TensorProto.INT64, element)),
        helper.make_value_info("p", helper.make_sparse_tensor_type_proto(TensorProto.FLOAT, [2])),
    ]
    facts = read_onnx(save(path, inputs, [tensor("y", [2])]))
    for said in ("'s' is a sequence", "'o' is an optional", "'m' is a map", "'p' is a sparse tensor"):
        assert said in messages(facts.findings)


def test_a_graph_without_outputs_or_types_is_refused(path: Path) -> None:
    facts = read_onnx(save(path, [onnx.ValueInfoProto(name="x")], [], nodes=[]))
    assert "does not say which type input 'x' has" in messages(facts.findings)
    assert "the graph has no outputs" in messages(facts.findings)


def facts_of(path: Path, input_shape: Any, output_shape: Any = ("N", 2)) -> OnnxFacts:
    return read_onnx(save(path, [tensor("x", input_shape)], [tensor("y", output_shape)]))


@pytest.mark.parametrize(
    ("shape", "max_batch_size", "reason"),
    [
        (None, 0, "does not say how many axes input 'x' has"),
        (None, 8, "does not say how many axes input 'x' has"),
        ([], 0, "input 'x' is a scalar"),
        ([], 8, "input 'x' of shape [] has no dynamic first axis"),
        ([4, 2], 8, "input 'x' of shape [4, 2] has no dynamic first axis"),
        (["N", 0], 8, "input 'x' of shape [-1, 0] has a dimension of zero"),
        ([0], 0, "input 'x' of shape [0] has a dimension of zero"),
    ],
)
def test_a_shape_that_triton_cannot_express_is_refused(
    path: Path, shape: Any, max_batch_size: int, reason: str
) -> None:
    found = shape_findings(facts_of(path, shape), max_batch_size)
    assert len(found) == 1
    assert reason in str(found[0])


def test_an_unknown_rank_is_no_problem_where_the_spec_gives_dims(path: Path) -> None:
    facts = facts_of(path, None)
    assert shape_findings(facts, 0, given=["x"]) == []
    assert "dims: [...]" in shape_findings(facts, 0)[0].remedy


def test_a_batching_scalar_travels_as_one_element_and_is_reshaped(path: Path) -> None:
    facts = read_onnx(save(path, [tensor("x", ["N"])], [tensor("y", ["N", 2])]))
    assert triton_dims(facts.inputs[0], 8) == ([1], True)
    assert triton_dims(facts.inputs[0], 0) == ([-1], False)
    assert triton_dims(facts.outputs[0], 8) == ([2], False)


def test_a_missing_file_is_an_error(path: Path) -> None:
    with pytest.raises(SpecError, match="No such file"):
        read_onnx(path)


@pytest.mark.parametrize("name", ["pipe", "/dev/zero"])
def test_what_never_ends_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SpecError, match="neither a file nor a folder"):
        read_onnx(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"\x00" * 3_000_000, b"{}"])
def test_what_is_no_onnx_model_is_an_error(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(SpecError, match="ONNX"):
        read_onnx(path)


@pytest.mark.parametrize("elements", [10, 600_000])
def test_a_truncated_file_is_an_error_wherever_it_ends(path: Path, elements: int) -> None:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [elements], numpy.ones(elements, "float32").tobytes(), raw=True)
    whole = save(path, [tensor("x", ["N", 2])], [tensor("y", ["N", 2])], initializers=[weight]).read_bytes()
    for length in (*range(1, 60), len(whole) // 2, *range(len(whole) - 60, len(whole) - 12)):
        path.write_bytes(whole[:length])
        with pytest.raises(SpecError):
            read_onnx(path)


def test_a_file_too_big_for_protobuf_says_what_to_do(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(LARGEST_FILE_BYTES + 1)
    with pytest.raises(SpecError, match=r"2,147,483,648 bytes(.|\n)*save_as_external_data"):
        read_onnx(path)


def test_a_big_file_is_read_without_its_weights(path: Path) -> None:
    elements = 16 << 20
    weights = [
        helper.make_tensor("w", TensorProto.FLOAT, [elements], bytes(4 * elements), raw=True),
        helper.make_tensor("v", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0]),
    ]
    save(path, [tensor("x", ["N", 2]), tensor("w", [elements])], [tensor("y", ["N", 2])], initializers=weights)
    tracemalloc.start()
    facts = read_onnx(path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path.stat().st_size > 4 * elements
    assert peak_bytes < 1_000_000
    assert [t.name for t in facts.inputs] == ["x"]
    assert [t.name for t in facts.overridable] == ["w"]
    assert facts.outputs[0].shape == (-1, 2)


def external(tmp_path: Path, location: str) -> OnnxFacts:
    """Facts of a model with one weight in an external file."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    weight.ClearField("float_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    return read_onnx(
        save(tmp_path / "in" / "model.onnx", [tensor("x", [2])], [tensor("y", [2])], initializers=[weight])
    )


def test_external_data_is_listed(tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "sub" / "weights.bin").write_bytes(bytes(8))
    facts = external(tmp_path, "sub/weights.bin")
    assert (facts.external, facts.findings) == (("sub/weights.bin",), ())


def test_external_data_that_is_missing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert "external data file 'weights.bin' is missing" in messages(external(tmp_path, "weights.bin").findings)


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", "sub/../../weights.bin", "escape/weights.bin"])
def test_external_data_outside_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(8))
    (tmp_path / "in" / "escape").symlink_to(tmp_path)
    assert "lies outside the model's folder" in messages(external(tmp_path, location).findings)


def test_external_data_of_a_subgraph_is_found(tmp_path: Path) -> None:
    (tmp_path / "deep.bin").write_bytes(bytes(8))
    value = helper.make_tensor("c", TensorProto.FLOAT, [2], [1.0, 2.0])
    value.ClearField("float_data")
    value.data_location = TensorProto.EXTERNAL
    value.external_data.add(key="location", value="deep.bin")
    branch = helper.make_graph([helper.make_node("Constant", [], ["b"], value=value)], "b", [], [tensor("b", [2])])
    node = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    facts = read_onnx(
        save(tmp_path / "model.onnx", [tensor("x", [1], TensorProto.BOOL)], [tensor("y", [2])], nodes=[node])
    )
    assert facts.external == ("deep.bin",)


def test_external_data_beside_a_model_in_a_download_cache_is_allowed(tmp_path: Path) -> None:
    """Download caches keep the files as blobs and link to them under their names."""
    (tmp_path / "in").mkdir()
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "w").write_bytes(bytes(8))
    (tmp_path / "in" / "weights.bin").symlink_to(tmp_path / "blobs" / "w")
    external(tmp_path, "weights.bin")
    (tmp_path / "in" / "model.onnx").rename(tmp_path / "blobs" / "m")
    (tmp_path / "in" / "model.onnx").symlink_to(tmp_path / "blobs" / "m")
    assert read_onnx(tmp_path / "in" / "model.onnx").findings == ()
