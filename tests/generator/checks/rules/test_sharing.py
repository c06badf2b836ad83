"""Every combination that excludes itself is refused, with its reason; others are not."""

from pathlib import Path
from typing import Any

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tests.generator.checks.rules.llm.models import chat, llm
from tritonsmith.generator.checks import Case, Target, check_repository
from tritonsmith.generator.findings import Finding, Severity
from tritonsmith.generator.repository.core import Content, Model, Repository, SourceFile

H100 = {"gpu": "H100-SXM-80GB", "count": 8}
MPS, SLICED = {"mode": "mps", "replicas": 4}, {"mode": "time-slicing", "replicas": 4}
MIG = {"mode": "mig", "profile": "1g.10gb"}
SHARED = [MPS, SLICED, MIG]


def judged(
    *models: Model, sharing: dict[str, Any], hardware: dict[str, Any] | None = None, **deploy: Any
) -> list[Finding]:
    hardware = H100 if hardware is None else hardware
    settings = {"triton": "25.05", "hardware": hardware, "sharing": sharing, "deploy": deploy}
    repository = Repository("r", {model.name: model for model in models}, settings=settings)
    found = check_repository(Case(repository, Target.of(repository)))
    return [one for one in found if one.code.startswith("TS54")]


def onnx(size: int = 10, count: int = 1, **group: Any) -> Model:
    groups = [ModelInstanceGroup(**{"kind": ModelInstanceGroup.KIND_GPU, "count": count, **group})]
    config = ModelConfig(name="net", backend="onnxruntime", instance_group=groups)
    return Model("net", config, {"1/model.onnx": Content(bytes(size))})


def codes(found: list[Finding]) -> list[tuple[str, Severity]]:
    return [(one.code, one.severity) for one in found]


@pytest.mark.parametrize("sharing", SHARED)
@pytest.mark.parametrize(
    "model",
    [
        llm(engine="llama-0.19.0-tp4", kv_cache_free_gpu_mem_fraction="0.1"),
        llm(gpu_device_ids="0,1", kv_cache_free_gpu_mem_fraction="0.1"),
        chat({"tensor_parallel_size": 2, "kv_cache_config": {"max_tokens": 4096}}),
        chat({"pipeline_parallel_size": 2, "kv_cache_config": {"max_tokens": 4096}}),
    ],
)
def test_no_engine_of_several_ranks_runs_on_shares(sharing: dict[str, Any], model: Model) -> None:
    (found,) = judged(model, sharing=sharing)
    assert found.code == "TS541"
    assert "ranks do not run on" in found.message
    assert judged(model, sharing={}) == []


@pytest.mark.parametrize("sharing", SHARED)
def test_an_engine_of_one_rank_names_the_one_gpu_that_there_is(sharing: dict[str, Any]) -> None:
    first, second = (llm(gpu_device_ids=number, kv_cache_free_gpu_mem_fraction="0.1") for number in "01")
    (found,) = judged(second, sharing=sharing)
    assert (found.code, found.severity) == ("TS542", Severity.ERROR)
    assert found.message.startswith("gpu_device_ids is 1, and a pod has one")
    assert judged(first, sharing=sharing) == []
    assert judged(second, sharing={}) == []


@pytest.mark.parametrize("sharing", SHARED)
def test_a_pod_asks_for_one_share(sharing: dict[str, Any]) -> None:
    assert codes(judged(onnx(gpus=[1]), sharing=sharing)) == [("TS542", Severity.ERROR)]
    assert codes(judged(onnx(gpus=[0, 1]), sharing=sharing)) == [("TS542", Severity.ERROR)]
    assert judged(onnx(gpus=[0]), sharing=sharing) == []
    assert judged(onnx(gpus=[0, 1]), sharing={}) == []


def test_mps_and_mig_exclude_each_other() -> None:
    (found,) = judged(onnx(), sharing=MPS, gpus={"resource": "nvidia.com/mig-1g.10gb"})
    assert (found.code, found.severity) == ("TS543", Severity.ERROR)
    assert "sharing: mig:1g.10gb" in found.remedy


@pytest.mark.parametrize(
    ("sharing", "resource"),
    [
        (SLICED, "nvidia.com/mig-1g.10gb"),
        (MIG, "nvidia.com/gpu.shared"),
        (MIG, "nvidia.com/mig-2g.20gb"),
        (MPS, "nvidia.com/gpus"),
    ],
)
def test_pods_ask_for_what_is_handed_out(sharing: dict[str, Any], resource: str) -> None:
    assert codes(judged(onnx(), sharing=sharing, gpus={"resource": resource})) == [("TS544", Severity.ERROR)]


@pytest.mark.parametrize(
    ("sharing", "resource"),
    [
        (MIG, "nvidia.com/mig-1g.10gb"),
        (MPS, "nvidia.com/gpu.shared"),
        ({}, "nvidia.com/mig-3g.40gb"),
        ({}, "nvidia.com/gpu.shared"),
    ],
)
def test_the_same_said_twice_or_without_sharing_is_fine(sharing: dict[str, Any], resource: str) -> None:
    assert judged(onnx(), sharing=sharing, gpus={"resource": resource}) == []


@pytest.mark.parametrize(
    ("gpu", "profile", "message"),
    [
        ("L40S", "1g.10gb", "L40S GPUs cannot be cut into MIG slices"),
        ("T4", "1g.10gb", "T4 GPUs cannot be cut"),
        ("H100-SXM-80GB", "1g.5gb", "H100-SXM-80GB GPUs have no slice 1g.5gb"),
        ("H200", "1g.35gb", ""),
    ],
)
def test_a_slice_is_one_that_the_gpu_has(gpu: str, profile: str, message: str) -> None:
    hardware = {"gpu": "H200-SXM-141GB" if gpu == "H200" else gpu}
    found = judged(onnx(), sharing={"mode": "mig", "profile": profile}, hardware=hardware)
    assert [one.code for one in found] == (["TS545"] if message else [])
    assert all(message in one.message and one.remedy for one in found)


@pytest.mark.parametrize(
    ("deploy", "message"),
    [
        (
            {"gpus": {"products": ["NVIDIA-H200"]}},
            "deploy.gpus.products: NVIDIA-H200, which cannot be cut into 1g.10gb",
        ),
        ({"gpus": {"products": ["NVIDIA-L40S"]}}, "NVIDIA-L40S, which cannot be cut"),
        ({"regions": {"eu": {"products": ["NVIDIA-H200"]}}}, "deploy.regions.eu.products: NVIDIA-H200"),
        ({"gpus": {"products": ["NVIDIA-A100-SXM4-80GB"]}}, ""),
        ({"gpus": {"products": ["of-somebody"]}}, ""),
    ],
)
def test_the_other_gpus_that_pods_may_run_on_are_cut_alike(deploy: dict[str, Any], message: str) -> None:
    found = judged(onnx(), sharing=MIG, **deploy)
    assert [one.code for one in found] == (["TS545"] if message else [])
    assert all(message in one.message for one in found)


def test_the_same_name_on_gpus_that_have_another_number_of_it_is_refused() -> None:
    hardware, sharing = {"gpu": "H200-SXM-141GB"}, {"mode": "mig", "profile": "1g.35gb"}
    (found,) = judged(onnx(), sharing=sharing, hardware=hardware, gpus={"products": ["NVIDIA-GB300"]})
    assert "NVIDIA-GB300, which has 7 slices 1g.35gb, and a H200-SXM-141GB 4" in found.message


def test_engines_that_take_turns_at_the_default_fraction_are_refused() -> None:
    (found,) = judged(llm(), sharing=SLICED)
    assert (found.code, found.severity) == ("TS546", Severity.ERROR)
    assert "takes 0.9 of the free memory" in found.message
    assert found.remedy.startswith('kv_cache_free_gpu_mem_fraction: "0.21"')
    (found,) = judged(chat({}), sharing=SLICED)
    assert found.code == "TS546"
    assert "kv_cache_config.free_gpu_memory_fraction: 0.21" in found.remedy


def test_the_fraction_that_is_advised_is_accepted() -> None:
    assert judged(llm(kv_cache_free_gpu_mem_fraction="0.21"), sharing=SLICED) == []
    assert judged(llm(kv_cache_free_gpu_mem_fraction="0.26"), sharing=SLICED)
    assert judged(llm(max_tokens_in_paged_kv_cache="8192"), sharing=SLICED) == []
    assert judged(chat({"kv_cache_config": {"free_gpu_memory_fraction": 0.2}}), sharing=SLICED) == []


def test_engines_of_one_server_are_added_up() -> None:
    halves = [llm(name=name, kv_cache_free_gpu_mem_fraction="0.2") for name in ("chat", "draft")]
    found = judged(*halves, sharing=SLICED)
    assert codes(found) == [("TS546", Severity.ERROR)] * 2
    assert "takes 0.2 of the free memory (kv_cache_free_gpu_mem_fraction) beside 0.2 of others" in found[0].message
    advised = [llm(name=name, kv_cache_free_gpu_mem_fraction="0.1") for name in ("chat", "draft")]
    assert found[0].remedy.startswith('kv_cache_free_gpu_mem_fraction: "0.1"')
    assert judged(*advised, sharing=SLICED) == []
    assert codes(judged(chat({"kv_cache_config": {"free_gpu_memory_fraction": 0.2}}, count=2), sharing=SLICED))


@pytest.mark.parametrize(
    ("gib", "refused", "accepted", "remedy"),
    [
        (8, "0.18", "0.16", 'kv_cache_free_gpu_mem_fraction: "0.13"'),  # (20 - 8) / (80 - 8) = 0.17
        (19, "0.1", None, "fewer shares: beside the weights nothing of one is left"),
    ],
)
def test_weights_are_taken_off_before_the_fraction(
    tmp_path: Path, gib: int, refused: str, accepted: str | None, remedy: str
) -> None:
    def served(fraction: str) -> list[Finding]:
        return judged(weighing(tmp_path, gib, fraction=fraction), sharing=SLICED)

    (found,) = served(refused)
    assert found.code == "TS546"
    assert found.remedy.startswith(remedy)
    assert accepted is None or served(accepted) == []


def weighing(folder: Path, gib: int, name: str = "rank0.engine", fraction: str = "") -> Model:
    file = folder / name
    with file.open("wb") as written:
        written.truncate(gib << 30)  # a hole: no bytes on the disk
    return llm(files={f"1/engine/{name}": SourceFile(file)}, kv_cache_free_gpu_mem_fraction=fraction)


def test_a_checkpoint_is_weighed_unless_it_is_loaded_in_another_type(tmp_path: Path) -> None:
    assert [one.code for one in judged(weighing(tmp_path, 30, "model.safetensors"), sharing=MIG)] == ["TS547"]
    file = {"1/hf/model.safetensors": SourceFile(tmp_path / "model.safetensors")}
    plain, quantised = chat(), chat({"quant_config": {"quant_algo": "FP8"}})
    plain, quantised = (Model(one.name, one.config, {**one.files, **file}) for one in (plain, quantised))
    assert [one.code for one in judged(plain, sharing=MIG)] == ["TS547"]
    assert judged(quantised, sharing=MIG) == []


@pytest.mark.parametrize("sharing", [MPS, MIG, {}])
def test_an_engine_that_sees_its_share_alone_keeps_its_default(sharing: dict[str, Any]) -> None:
    assert judged(llm(), sharing=sharing) == []


def test_models_larger_than_a_share_are_refused_with_the_arithmetic(tmp_path: Path) -> None:
    big = tmp_path / "model.onnx"
    with big.open("wb") as file:
        file.truncate(8 << 30)  # a hole: no bytes on the disk
    config = ModelConfig(name="net", backend="onnxruntime")
    config.instance_group.add(kind=ModelInstanceGroup.KIND_GPU, count=2)
    model = Model("net", config, {"1/model.onnx": SourceFile(big)})
    (found,) = judged(model, sharing=MIG)
    assert found.code == "TS547"
    assert "16384 MiB" in found.message
    assert "9984 MiB" in found.message
    assert judged(model, sharing={"mode": "mig", "profile": "2g.20gb"}) == []
    assert judged(model, sharing={"mode": "mps", "replicas": 4}) == []
    assert [one.code for one in judged(model, sharing={"mode": "mps", "replicas": 5})] == ["TS547"]


def test_sharing_by_instances_is_of_several() -> None:
    assert codes(judged(onnx(), sharing={"mode": "instances"})) == [("TS548", Severity.WARNING)]
    assert judged(onnx(count=2), sharing={"mode": "instances"}) == []
    assert judged(onnx(), llm(), sharing={"mode": "instances"}) == []


def test_a_python_model_on_a_gpu_of_mps_is_a_client_more() -> None:
    group = ModelInstanceGroup(kind=ModelInstanceGroup.KIND_GPU, count=2)
    config = ModelConfig(name="post", backend="python", instance_group=[group])
    model = Model("post", config, {"1/model.py": Content(b"import torch  # cuda")})
    (found,) = judged(model, sharing=MPS)
    assert (found.code, found.severity) == ("TS549", Severity.WARNING)
    assert found.message.startswith("2 processes of a Python model")
    assert judged(model, sharing=SLICED) == []


def test_without_a_gpu_there_is_nothing_to_share() -> None:
    config = ModelConfig(name="m", backend="identity")
    assert codes(judged(Model("m", config, {}), sharing=MPS, hardware={})) == [("TS540", Severity.WARNING)]
