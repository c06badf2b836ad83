"""Fixtures of text_generation: a pipeline around an engine from tests/data/engines, and what is said of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tritonsmith.ensembles.pipelines import load_spec
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.spec import tree
from tritonsmith.generator.spec.document import Spec

# The first release whose container carries the TensorRT-LLM of an engine.
RELEASES = {"0.12.0": "24.08", "0.16.0": "24.12", "0.19.0": "25.05", "1.0.0": "25.09", "1.2.1": "26.04"}

WriteEngine = Callable[..., Path]
Read = Callable[..., Spec]


@pytest.fixture
def read(tmp_path: Path, write_engine: WriteEngine) -> Read:
    """Return a function that reads the spec of a pipeline; `engine` names one of tests/data/engines.

    Settings of `with:` are keyword arguments; so are the pipeline's replicas and nodes, and the spec's hardware and
    server.
    """

    def read_pipeline(engine: str = "llama-0.16.0", release: str = "", *, changes: Any = None, **given: Any) -> Spec:
        if not (tmp_path / "engine").exists():
            write_engine(engine, changes)
        top: dict[str, Any] = {key: given.pop(key) for key in ("hardware", "server") if key in given}
        own: dict[str, Any] = {key: given.pop(key) for key in ("replicas", "nodes", "names") if key in given}
        version = engine.split("-")[1]
        pipeline = {"use": "text_generation", "engine": "engine", **own, "with": {"tokenizer_dir": "/t", **given}}
        spec = {"triton": release or RELEASES[version], **top, "pipelines": {"chat": pipeline}}
        (tmp_path / "tritonsmith.yaml").write_text(yaml.safe_dump(spec))
        return load_spec(tmp_path / "tritonsmith.yaml")

    return read_pipeline


@pytest.fixture
def said(read: Read) -> Callable[..., list[Finding]]:
    """Return a function that gives what is said of a pipeline."""

    def findings(*names: str, **given: Any) -> list[Finding]:
        return list(read(*names, **given).findings)

    return findings


@pytest.fixture
def parameters(read: Read) -> Callable[..., dict[str, str]]:
    """Return a function that gives the parameters that are written for a model of the pipeline."""

    def written(*names: str, model: str = "tensorrt_llm", **given: Any) -> dict[str, str]:
        fields: dict[str, str] = tree.to_data(read(*names, **given).models[model].fields.entries["parameters"])
        return fields

    return written
