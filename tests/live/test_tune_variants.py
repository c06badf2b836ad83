"""Precision variants on the real server: one live server changes from one file to another, and the spec follows."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import tritonclient.http as triton
from google.protobuf.json_format import MessageToDict
from onnx import TensorProto, helper, numpy_helper

from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.ensembles.pipelines import load_spec
from tritonsmith.generator.lower import lower
from tritonsmith.generator.repository.write import write_repository
from tritonsmith.perf.document import Variation
from tritonsmith.perf.target import embedded_target
from tritonsmith.perf.tune.space.candidates import candidates_of, configs_of
from tritonsmith.perf.tune.space.variant_files import variant_files, with_variants
from tritonsmith.perf.tune.write_back import write_pick
from tritonsmith.perf.variants import changed_configs

pytestmark = [pytest.mark.live, pytest.mark.slow]

SPEC = """\
models:
  m:
    file: plain.onnx      # what is served
    max_batch_size: 8
    variants: {plain: plain.onnx, doubled: doubled.onnx, shifted: shifted.onnx}
"""


def write_model(path: Path, kind: str, number: float, *, is_external: bool = False) -> None:
    """Write a model of y = x (kind) number; with `is_external` the number lies in a file beside it."""
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in "xy"]
    weight = numpy_helper.from_array(np.full(2, number, np.float32), "w")
    graph = helper.make_graph([helper.make_node(kind, ["x", "w"], ["y"])], "g", tensors[:1], tensors[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, str(path), save_as_external_data=is_external, location="weights.bin", size_threshold=0)


def answer(server: Server) -> list[float]:
    client = triton.InferenceServerClient(server.http_url)
    given = triton.InferInput("x", [1, 2], "FP32")
    given.set_data_from_numpy(np.array([[1, 3]], np.float32))
    found: list[float] = client.infer("m", [given]).as_numpy("y")[0].tolist()
    client.close()
    return found


def test_a_live_server_changes_to_a_variants_file_and_the_spec_to_the_pick(tmp_path: Path) -> None:
    write_model(tmp_path / "plain.onnx", "Mul", 1)
    write_model(tmp_path / "doubled.onnx", "Mul", 2)
    write_model(tmp_path / "shifted.onnx", "Add", 10, is_external=True)
    path = tmp_path / "tritonsmith.yaml"
    path.write_text(SPEC)
    spec = load_spec(path)
    repository, files = with_variants(spec, lower(spec)), variant_files(spec)
    write_repository(tmp_path / "repository", repository)
    variation = Variation("models.m.variants", ("plain", "doubled", "shifted"))
    space = candidates_of(repository, "m", [variation], cores=2, variants=files)
    own, doubled, shifted = space.candidates
    configs = configs_of(repository)
    answers = {}
    with embedded_server(tmp_path / "repository") as server:
        target = embedded_target(server)
        for candidate in (own, doubled, shifted, own):
            config = {**configs, **changed_configs(candidate.variant, configs)}["m"]
            target.load("m", MessageToDict(config, preserving_proto_field_name=True), where=candidate.name)
            answers[candidate.name] = answer(server)
    assert answers == {own.name: [1, 3], doubled.name: [2, 6], shifted.name: [11, 13]}
    assert write_pick(path, shifted)
    assert "    file: shifted.onnx      # what is served\n" in path.read_text()
    assert list(lower(load_spec(path)).models["m"].files) == ["1/model.onnx", "1/weights.bin"]
