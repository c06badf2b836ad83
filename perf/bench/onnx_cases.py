"""ONNX's own backend test suite as cases: read, built by `tritonsmith build`'s own path, run in this process."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import yaml
from onnx import TensorProto, numpy_helper
from onnx.backend.test.runner import Runner

from tritonsmith.backends.python_based.onnxruntime.onnx_tensors import run_with_bits
from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.lower import lower
from tritonsmith.generator.repository.core import Repository
from tritonsmith.generator.spec.read import read_spec

Array = npt.NDArray[Any]
SUITE = Path(onnx.__file__).parent / "backend" / "test" / "data" / "node"
_RTOL, _ATOL = 1e-3, 1e-7  # onnx.backend.test.loader.load_model_tests

# Why a case cannot be expressed: a word of the finding that `build` refuses it with -> the reason. The list is closed.
REASONS = {
    "scalar": "scalar without batch",
    "not a tensor": "sequence, map or optional type",
    "is a tensor": "sequence, map or optional type",
    "which Triton lacks": "tensor type that Triton lacks",
    "at least 1": "zero dimension",
    "how many axes": "unknown rank",
}


@dataclass(frozen=True)
class DataSet:
    """One set of inputs and the outputs expected of them, by name."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


@dataclass(frozen=True)
class Case:
    """One folder of the suite."""

    name: str
    folder: Path

    @property
    def model(self) -> Path:
        """The ONNX file."""
        return self.folder / "model.onnx"

    def data_sets(self) -> list[DataSet]:
        """Every `test_data_set_<n>` of the case."""
        graph = onnx.load(self.model).graph
        return [
            DataSet(_tensors(folder, "input", graph.input), _tensors(folder, "output", graph.output))
            for folder in sorted(self.folder.glob("test_data_set_*"))
        ]

    def difference(self, expected: DataSet, outputs: Mapping[str, Array]) -> str:
        """What is wrong with `outputs` by the suite's own rule; empty if nothing."""
        settings_file = self.folder / "data.json"
        settings = json.loads(settings_file.read_text()) if settings_file.exists() else {}
        names = list(expected.outputs)
        try:
            Runner.assert_similar_outputs(
                [comparable(expected.outputs[name]) for name in names],
                [comparable(outputs[name]) for name in names],
                rtol=settings.get("rtol", _RTOL),
                atol=settings.get("atol", _ATOL),
            )
        except AssertionError as error:
            return one_line(error)
        return ""


def read_cases() -> list[Case]:
    """Every case, by name."""
    return [Case(folder.name, folder) for folder in sorted(SUITE.iterdir()) if (folder / "model.onnx").exists()]


def build_cases(cases: Sequence[Case], folder: Path) -> Repository:
    """The repository that `tritonsmith build` makes of the cases; the spec and its files lie in `folder`.

    Raises:
        SpecError: a case cannot be expressed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        shutil.copyfile(case.model, folder / f"{case.name}.onnx")
    group = [{"kind": "KIND_CPU", "count": 1}]
    models = {case.name: {"file": f"{case.name}.onnx", "instance_group": group} for case in cases}
    spec = folder / "tritonsmith.yaml"
    spec.write_text(yaml.safe_dump({"repository": "onnx-suite", "models": models}), encoding="utf-8")
    return lower(read_spec(spec))


def why_not_expressible(case: Case, folder: Path) -> str:
    """The reason for which `build` refuses the case, from REASONS; empty if it does not."""
    try:
        build_cases([case], folder)
    except SpecError as error:
        text = str(error)
        return next((reason for word, reason in REASONS.items() if word in text), f"other: {text}")
    return ""


def run_in_process(cases: Sequence[Case]) -> dict[str, str]:
    """For each case what is wrong when ONNX Runtime runs it in a process of ours; empty where it passes.

    The process is another one, so that a case which ends it costs only itself.
    """
    verdicts: dict[str, str] = {}
    todo = list(cases)
    while todo:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            for case in list(todo):
                try:
                    verdicts[case.name] = pool.submit(_run_case, case).result()
                except BrokenProcessPool:
                    verdicts[case.name] = "ONNX Runtime ended the process"
                todo.remove(case)
                if verdicts[case.name] == "ONNX Runtime ended the process":
                    break
    return verdicts


def comparable(array: Array) -> Array:
    """`array` in types that the suite's rule can compare: BF16 as float32, bytes as str."""
    if array.dtype == object:
        texts = [item.decode() if isinstance(item, bytes) else str(item) for item in array.ravel()]
        return np.array(texts, object).reshape(array.shape)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def from_bits(bits: Array) -> Array:
    """BF16 held as uint16 -> float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def one_line(error: Exception) -> str:
    """What an exception says, short, and without this machine's paths."""
    return " ".join(str(error).replace(f"{SUITE}{os.sep}", "").split())[:200]


def _run_case(case: Case) -> str:
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    try:
        session = onnxruntime.InferenceSession(str(case.model), providers=["CPUExecutionProvider"])
        tensors = [*session.get_inputs(), *session.get_outputs()]
        bf16 = frozenset(tensor.name for tensor in tensors if tensor.type == "tensor(bfloat16)")
        names = [tensor.name for tensor in session.get_outputs()]
        for data in case.data_sets():
            if bf16:
                inputs = {name: array.view(np.uint16) if name in bf16 else array for name, array in data.inputs.items()}
                arrays = run_with_bits(session, names, inputs, bf16, None)
            else:
                arrays = session.run(names, dict(data.inputs))
            outputs = {
                name: from_bits(array) if name in bf16 else np.asarray(array)
                for name, array in zip(names, arrays, strict=True)
            }
            if different := case.difference(data, outputs):
                return different
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        return one_line(error)
    return ""


def _tensors(folder: Path, kind: str, infos: Sequence[onnx.ValueInfoProto]) -> dict[str, Array]:
    """The tensors in `<kind>_<n>.pb`, n being the place in the graph."""
    tensors = {}
    for place, info in enumerate(infos):
        path = folder / f"{kind}_{place}.pb"
        if path.exists():
            tensors[info.name] = numpy_helper.to_array(TensorProto.FromString(path.read_bytes()))
    return tensors
