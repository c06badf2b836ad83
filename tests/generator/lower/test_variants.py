from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import TensorProto

from tests.conftest import WriteOnnx
from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.lower import lower
from tritonsmith.generator.spec.read import read_spec

SPEC = """\
models:
  m:
    file: model.onnx
    max_batch_size: 4
    variants:
      fp32: model.onnx
      int8: other.onnx
"""


def test_variants_with_the_tensors_of_the_file_place_nothing(
    write_onnx: WriteOnnx, write_spec: Callable[[str], Path]
) -> None:
    write_onnx()
    write_onnx("other.onnx")
    assert list(lower(read_spec(write_spec(SPEC))).models["m"].files) == ["1/model.onnx"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"data_type": TensorProto.FLOAT16}, "'other.onnx' has other inputs than the model's file"),
        ({"target": "z"}, "'other.onnx' has other outputs than the model's file"),
        (
            {"shape": (2, 4)},
            "input 'x' of shape [2, 4] has no dynamic first axis, so",
        ),
    ],
)
def test_a_variant_with_other_tensors_is_refused_at_its_line(
    write_onnx: WriteOnnx, write_spec: Callable[[str], Path], other: dict[str, object], message: str
) -> None:
    write_onnx()
    write_onnx("other.onnx", **other)
    with pytest.raises(SpecError) as caught:
        lower(read_spec(write_spec(SPEC)))
    found = [(f.place.line, f.key, f.message) for f in caught.value.findings]
    assert found[0][:2] == (7, "models.m.variants.int8")
    assert any(message in line for _, _, line in found), found
