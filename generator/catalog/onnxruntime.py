"""Which ONNX Runtime each release of Triton carries, and the newest ONNX files that it reads."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OnnxRuntime:
    """From a release on: ONNX Runtime's version, the newest IR version and the newest opset that it reads."""

    since: str  # YY.MM
    version: str
    ir_version: int
    opset: int


# Source: build.py on the server's release branches (ort_version); the onnx submodule of ONNX Runtime's tags. What is
# newer than the last row is not known yet.
_ROWS = (
    OnnxRuntime("24.01", "1.16", 9, 19),
    OnnxRuntime("24.03", "1.17", 9, 20),
    OnnxRuntime("24.05", "1.18", 10, 21),
    OnnxRuntime("24.08", "1.19", 10, 21),
    OnnxRuntime("24.12", "1.20", 10, 21),
    OnnxRuntime("25.03", "1.21", 10, 22),
    OnnxRuntime("25.05", "1.22", 10, 22),
    OnnxRuntime("25.08", "1.23", 11, 23),
)
_KNOWN_BEFORE = "26.02"


def onnxruntime_of(release: str) -> OnnxRuntime | None:
    """Return the ONNX Runtime of a release, None where it is not known."""
    rows = [row for row in _ROWS if row.since <= release]
    return rows[-1] if rows and release < _KNOWN_BEFORE else None
