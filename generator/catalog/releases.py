"""Triton's monthly releases as data: which server each container carries, which TensorRT-LLM, which fields it knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.message import Message

EMBEDDED = "24.10"  # what nvidia-pytriton 0.7.0 carries
# The containers' Python and since when, the newest first: that of Ubuntu 24.04, before of 22.04.
# Source: server: qa/L0_backend_python/test.sh and build.py of each release branch.
_PYTHONS = (("24.11", (3, 12)), ("24.01", (3, 10)))


@dataclass(frozen=True)
class Release:
    """One container release."""

    name: str  # YY.MM
    server: str  # tritonserver's version
    tensorrt_llm: str = ""  # TensorRT-LLM's version in the -trtllm-python-py3 container, empty where not known

    @property
    def python(self) -> tuple[int, int]:
        """The Python of its containers, in which Python models run that bring no environment of their own."""
        return next(python for since, python in _PYTHONS if since <= self.name)

    @property
    def image(self) -> str:
        """The container's name in NVIDIA's registry."""
        return f"nvcr.io/nvidia/tritonserver:{self.name}-py3"

    @property
    def tensorrt_llm_image(self) -> str:
        """The container with TensorRT-LLM, whose backend the other one lacks; empty where there is none."""
        return self.tensorrt_llm and f"nvcr.io/nvidia/tritonserver:{self.name}-trtllm-python-py3"


# Source: TRITON_VERSION on the server's release branches; TensorRT-LLM's versions from the release notes.
_ROWS = (
    Release("24.01", "2.42.0"),
    Release("24.02", "2.43.0"),
    Release("24.03", "2.44.0"),
    Release("24.04", "2.45.0", "0.9.0"),
    Release("24.05", "2.46.0", "0.9.0"),
    Release("24.06", "2.47.0", "0.10.0"),
    Release("24.07", "2.48.0", "0.11.0"),
    Release("24.08", "2.49.0", "0.12.0"),
    Release("24.09", "2.50.0", "0.13.0"),
    Release("24.10", "2.51.0", "0.14.0"),
    Release("24.11", "2.52.0", "0.15.0"),
    Release("24.12", "2.53.0", "0.16.0"),
    Release("25.01", "2.54.0", "0.17.0"),
    Release("25.02", "2.55.0", "0.17.0.post1"),
    Release("25.03", "2.56.0", "0.18.0"),
    Release("25.04", "2.57.0", "0.18.2"),
    Release("25.05", "2.58.0", "0.19.0"),
    Release("25.06", "2.59.0", "0.20.0"),
    Release("25.07", "2.59.1", "0.20.0"),
    Release("25.08", "2.60.0", "0.21.0"),
    Release("25.09", "2.61.0", "1.0.0"),
    Release("25.10", "2.62.0", "1.0.0"),
    Release("25.11", "2.63.0", "1.0.3"),
    Release("25.12", "2.64.0", "1.1.0"),
    Release("26.01", "2.65.0", "1.1.0"),
    Release("26.02", "2.66.0", "1.1.0"),
    Release("26.03", "2.67.0", "1.2.0"),
    Release("26.04", "2.68.0", "1.2.1"),
    Release("26.05", "2.69.0", "1.2.1"),
    Release("26.06", "2.70.0", "1.2.1"),
    Release("26.07", "2.71.0", "1.2.1"),
    Release("26.08", "2.72.0"),
)

RELEASES: dict[str, Release] = {row.name: row for row in _ROWS}
NEWEST = _ROWS[-1].name
# NVIDIA names no container with TensorRT-LLM of a later release. Source: tutorials, Popular_Models_Guide (Sept. 2026).
NEWEST_WITH_TENSORRT_LLM = max(row.name for row in _ROWS if row.tensorrt_llm)

# The release in which a field of ModelConfig appeared, for those younger than the table's first row.
# Source: history of common's protobuf/model_config.proto against the release branches.
FIELDS_SINCE: dict[str, str] = {
    "input.is_non_linear_format_io": "24.08",
    "output.is_non_linear_format_io": "24.08",
    "model_metrics": "24.11",
    "ensemble_scheduling.max_inflight_requests": "25.11",
}


def fields_newer_than(release: str, message: Message) -> Iterator[str]:
    """Yield the dotted paths of the fields set in `message` that appeared after `release`."""
    for since_path, since in FIELDS_SINCE.items():
        if since > release and _is_set(message, since_path.split(".")):
            yield since_path


def _is_set(message: Message, path: list[str]) -> bool:
    """Whether the field at `path` is set, in any element where a part of the path is a list."""
    for field, value in message.ListFields():
        if field.name != path[0]:
            continue
        if len(path) == 1:
            return True
        parts = value if field.is_repeated else [value]
        return any(_is_set(part, path[1:]) for part in parts)
    return False
