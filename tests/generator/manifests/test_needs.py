"""What a repository's models ask of a pod."""

from collections.abc import Callable
from typing import Any

import pytest
from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup

from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.manifests.workload import Workload, kubernetes_name
from tritonsmith.generator.repository.core import Model

CPU, GPU, AUTO = ModelInstanceGroup.KIND_CPU, ModelInstanceGroup.KIND_GPU, ModelInstanceGroup.KIND_AUTO
L4S = {"gpu": "L4", "count": 4}
Plan = Callable[..., Workload]
MakeModel = Callable[..., Model]


@pytest.mark.parametrize(
    ("backend", "groups", "hardware", "expected"),
    [
        ("python", [], {}, 1),  # completed: one instance
        ("python", [{"kind": CPU, "count": 3}], {}, 3),
        ("python", [{"count": 2}, {"count": 4}], {}, 6),
        ("python", [{"kind": GPU, "count": 2, "gpus": [0, 1]}], L4S, 4),  # on each of the GPUs
        ("python", [{"kind": CPU}], L4S, 1),
        ("vllm", [], L4S, 1),
        ("our_own", [{"kind": CPU, "count": 2}], {}, 2),  # in no image: may be Python-based
        ("onnxruntime", [{"kind": CPU, "count": 2}], {}, 0),
        ("pytorch", [], {}, 0),
    ],
)
def test_each_instance_in_python_is_counted(
    backend: str, groups: list[dict[str, Any]], hardware: dict[str, Any], expected: int, plan: Plan, model: MakeModel
) -> None:
    assert plan(model("m", backend, *groups), hardware=hardware).needs.python_instances == expected


def test_a_pytorch_model_with_a_model_py_runs_in_python(plan: Plan, model: MakeModel) -> None:
    assert plan(model("m", "pytorch", file="1/model.py")).needs.python_instances == 1


@pytest.mark.parametrize(
    ("groups", "expected"), [([], 2), ([{"kind": CPU}], 2), ([{"kind": CPU, "count": 1}], 1), ([{"count": 5}], 5)]
)
def test_onnx_groups_on_the_cpu_are_completed_as_triton_does(
    groups: list[dict[str, Any]], expected: int, plan: Plan, model: MakeModel
) -> None:
    assert plan(model("m", "onnxruntime", *groups)).needs.cpu_instances == expected


@pytest.mark.parametrize(
    ("groups", "hardware", "expected"),
    [
        ([{"kind": CPU}], L4S, 0),
        ([{"kind": GPU}], {}, 0),  # nothing says that there is one
        ([], L4S, 1),
        ([{"kind": GPU, "count": 3}], L4S, 1),  # on one GPU all three
        ([{"kind": GPU, "gpus": [0]}, {"kind": GPU, "gpus": [2]}], L4S, 3),
        ([{"kind": AUTO, "gpus": [7]}], L4S, 0),  # a GPU that is not there: the CPU
    ],
)
def test_a_pod_has_the_gpus_that_its_groups_name(
    groups: list[dict[str, Any]], hardware: dict[str, Any], expected: int, plan: Plan, model: MakeModel
) -> None:
    assert plan(model("m", "onnxruntime", *groups), hardware=hardware).needs.gpus == expected


def test_an_engine_has_a_gpu_for_each_rank(plan: Plan, engine: MakeModel) -> None:
    h100s = {"gpu": "H100-SXM-80GB", "count": 8}
    assert plan(engine(), hardware=h100s).needs.gpus == 1
    assert plan(engine(gpu_device_ids="0,1,2,3"), hardware=h100s).needs.gpus == 4
    assert plan(engine(gpu_device_ids="0,1;2,3"), hardware=h100s).needs.gpus == 4  # two instances of two ranks
    assert plan(engine()).needs.gpus == 1  # an LLM needs one whatever the spec forgot


def test_an_llm_that_is_no_engine_and_has_no_gpu_is_one_process_in_python(plan: Plan, engine: MakeModel) -> None:
    workload = plan(Model("tensorrt_llm", engine().config))
    assert workload.launch is None
    needs = workload.needs
    assert (needs.is_llm, needs.gpus, needs.python_instances, needs.stand_ins) == (True, 0, 1, ("tensorrtllm",))


def test_an_onnx_model_beside_an_engine_is_served_in_python(plan: Plan, engine: MakeModel, model: MakeModel) -> None:
    beside = {"kind": CPU, "count": 3}
    needs = plan(engine(), model("net", "onnxruntime", beside), hardware={"gpu": "L4", "count": 1}).needs
    assert (needs.python_instances, needs.cpu_instances, needs.stand_ins) == (3, 0, ("onnxruntime",))


def test_what_a_pod_reads_are_all_files(plan: Plan, engine: MakeModel, model: MakeModel) -> None:
    assert plan(model(), engine(size=5000)).needs.repository_bytes == 5010


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Digits_v2", "digits-v2"), ("--", "models"), ("8b-chat", "models-8b-chat"), ("x" * 40, "x" * 40)],
)
def test_names_are_such_as_kubernetes_takes(name: str, expected: str) -> None:
    assert kubernetes_name(name) == expected


def test_a_release_that_nobody_knows_is_refused(plan: Plan, model: MakeModel) -> None:
    with pytest.raises(RepositoryError, match=r"Triton 99\.01"):
        plan(model(), triton="99.01")
