from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tritonsmith.backends.client.base import InferResponse, Tensor
from tritonsmith.backends.client.outputs import as_json, as_line, as_piece, as_text, cell, save
from tritonsmith.generator.errors import UsageError


def response(**outputs: tuple[str, Any]) -> InferResponse:
    tensors = {name: Tensor(name, datatype, np.array(array)) for name, (datatype, array) in outputs.items()}
    return InferResponse("m", "1", "", tensors, {})


LABELS = np.array([[b"seven"], [b"one"]], dtype=object)


def test_a_batch_is_a_table_with_a_row_for_each() -> None:
    scores = np.array([[0.9], [0.25]], dtype=np.float32)
    assert as_text(response(label=("BYTES", LABELS), score=("FP32", scores)), is_batched=True) == (
        "row  label BYTES[1]  score FP32[1]\n0             seven            0.9\n1               one           0.25"
    )


def test_a_row_may_be_a_single_text() -> None:
    texts = np.array([b"caf\xc3\xa9", b"one"], dtype=object)
    assert as_text(response(text_output=("BYTES", texts)), is_batched=True) == (
        "row  text_output BYTES[]\n0                   caf\u00e9\n1                    one"
    )


def test_outputs_that_have_no_rows_in_common_are_lines() -> None:
    text = as_text(response(a=("INT32", [1, 2]), b=("INT32", [3])), is_batched=False)
    assert text == "a  INT32[2]  [1, 2]\nb  INT32[1]  3"


def test_json_has_the_protocols_form_and_short_floats() -> None:
    answer = as_json(
        response(y=("FP32", np.array([0.1], dtype=np.float32)), s=("BYTES", np.array([b"\xff"], dtype=object)))
    )
    assert answer["outputs"] == [
        {"name": "y", "datatype": "FP32", "shape": [1], "data": [0.1]},
        {"name": "s", "datatype": "BYTES", "shape": [1], "data": [{"b64": "/w=="}]},
    ]


def test_a_line_of_a_stream_names_its_outputs() -> None:
    assert as_line(response(text=("BYTES", np.array([b"hi"], dtype=object)), n=("INT32", [2]))) == "text=hi  n=2"


def test_long_values_are_shortened() -> None:
    assert cell(np.arange(100)) == "[0, 1, 2, 3, 4, 5, 6, 7, ... 100 in all]"
    assert cell(np.array([b"x" * 300], dtype=object)).endswith("... 300 bytes")
    assert cell(np.array([b"a\nb"], dtype=object)) == r"'a\nb'"


def test_outputs_are_saved_as_npy(tmp_path: Path) -> None:
    paths = save(response(**{"a/b": ("FP32", [1.5]), "label": ("BYTES", LABELS)}), tmp_path / "out", ".0")
    assert [path.name for path in paths] == ["a%2Fb.0.npy", "label.0.npy"]
    assert np.load(paths[1]).tolist() == [[b"seven"], [b"one"]]


def test_what_npy_cannot_keep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="end in NUL"):
        save(response(x=("BYTES", np.array([b"a\x00"], dtype=object))), tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write"):
        save(response(x=("FP32", [1.0])), tmp_path / "file")


@pytest.mark.parametrize(
    ("outputs", "piece"),
    [
        ({"text_output": ("BYTES", np.array([[b" caf\xc3\xa9\n"]], dtype=object))}, " caf\u00e9\n"),
        ({"text_output": ("BYTES", np.array([b"\x1b[31mred\x9b"], dtype=object))}, "\\x1b[31mred\ufffd"),
        ({"text_output": ("BYTES", np.array([b"a", b"b"], dtype=object))}, None),
        ({"text_output": ("BYTES", np.array([b"a"], dtype=object)), "score": ("FP32", [1])}, None),
        ({"label": ("BYTES", np.array([b"a"], dtype=object))}, None),
    ],
)
def test_text_alone_is_a_piece_of_text_and_no_model_speaks_to_the_terminal(
    outputs: dict[str, Any], piece: str | None
) -> None:
    assert as_piece(response(**outputs)) == piece
