"""Write the demo's model: python -m tritonsmith.ensembles.streaming_sequence.make_model [FILE].

It watches a stream of readings (4 sensors) and says how surprising each is: it keeps, per stream, an exponentially
weighted mean and variance. Everything is elementwise, so a stream's answers do not depend, to the bit, on which other
streams share its batch.

Triton's C++ onnxruntime backend demands that the graph's inputs are exactly the configuration's inputs, its control
tensors and its state inputs (onnxruntime_backend: onnxruntime.cc, ModelInstanceState, expected_input_cnt), the
controls of shape [batch, 1].
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
from onnx import TensorProto, helper

SENSORS = 4
WEIGHT = 0.125  # of the newest reading; a power of two, so exact
FLOOR = 1e-6  # below any variance that matters: keeps the division finite

FLOAT, BOOL, INT64, UINT64 = TensorProto.FLOAT, TensorProto.BOOL, TensorProto.INT64, TensorProto.UINT64
INPUTS = {
    "reading": (FLOAT, SENSORS),
    # what the sequence batcher adds
    "START": (BOOL, 1),
    "END": (BOOL, 1),
    "READY": (BOOL, 1),
    "CORRID": (UINT64, 1),
    # the state
    "mean": (FLOAT, SENSORS),
    "variance": (FLOAT, SENSORS),
    "steps": (INT64, 1),
}
OUTPUTS = {
    "surprise": (FLOAT, SENSORS),  # distance from the mean, in standard deviations; 0 at the start
    "average": (FLOAT, SENSORS),  # the mean, this reading included
    "step": (INT64, 1),  # readings so far, from 1
    "stream": (UINT64, 1),  # the correlation id
    # the state
    "mean_next": (FLOAT, SENSORS),
    "variance_next": (FLOAT, SENSORS),
    "steps_next": (INT64, 1),
}
# One operator per line: output = operator(inputs).
STEPS = """
known = Where START reading mean          # a new stream's mean is its first reading
spread = Where START zero variance
before = Where START none steps
delta = Sub reading known
distance = Abs delta
floored = Add spread floor
deviation = Sqrt floored
surprise = Div distance deviation
change = Mul delta weight
average = Add known change
square = Mul delta change
grown = Add spread square
shrunk = Mul grown rest
step = Add before one
mean_kept = Where READY average mean      # READY is 0 in the padding rows of the direct strategy
variance_kept = Where READY shrunk variance
steps_kept = Where READY step steps
mean_next = Where END zero mean_kept      # nothing of a finished stream is left behind
variance_next = Where END zero variance_kept
steps_next = Where END none steps_kept
stream = Identity CORRID
"""


def stream_model() -> onnx.ModelProto:
    """Return the model: one reading of every stream per run, with a batch axis."""
    graph = helper.make_graph(
        [node(line) for line in STEPS.strip().splitlines()],
        "readings",
        [helper.make_tensor_value_info(name, kind, ["batch", size]) for name, (kind, size) in INPUTS.items()],
        [helper.make_tensor_value_info(name, kind, ["batch", size]) for name, (kind, size) in OUTPUTS.items()],
        [
            helper.make_tensor("zero", FLOAT, [1], [0.0]),
            helper.make_tensor("floor", FLOAT, [1], [FLOOR]),
            helper.make_tensor("weight", FLOAT, [1], [WEIGHT]),
            helper.make_tensor("rest", FLOAT, [1], [1 - WEIGHT]),
            helper.make_tensor("none", INT64, [1], [0]),
            helper.make_tensor("one", INT64, [1], [1]),
        ],
    )
    # onnx's defaults are newer than what ONNX Runtime accepts; these are old enough for every Triton release in use.
    model = helper.make_model(
        graph, producer_name="tritonsmith", ir_version=8, opset_imports=[helper.make_opsetid("", 17)]
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def node(line: str) -> onnx.NodeProto:
    """Return the node that a line of STEPS describes."""
    output, _, rest = line.partition("#")[0].partition("=")
    operator, *inputs = rest.split()
    return helper.make_node(operator, inputs, [output.strip()])


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "demo" / "readings.onnx"
    target.write_bytes(stream_model().SerializeToString(deterministic=True))
