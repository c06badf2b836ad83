"""What `serve --container` asks of docker, and what it refuses before docker is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tritonsmith.backends.server.contained import Contained, plan_container
from tritonsmith.backends.toolchain import machine
from tritonsmith.ensembles.build import build_repository
from tritonsmith.generator.errors import RepositoryError, UsageError
from tritonsmith.generator.manifests.server import ServerOptions

DEMO = Path(__file__).parents[3] / "ensembles" / "text_generation" / "demo"
WriteEngine = Callable[..., Path]
Plan = Callable[..., Contained]


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine shows no GPU, whatever it has."""
    monkeypatch.setattr(machine, "gpu_count", lambda: 0)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Return a function that builds a text pipeline for a release and plans a container of another, or the same."""

    def planned(
        engine: Any, release: str = "24.12", other: str = "", port: int | None = None, **given: Any
    ) -> Contained:
        top = {key: given.pop(key) for key in ("server",) if key in given}
        own = {key: given.pop(key) for key in ("replicas",) if key in given}
        tokenizer = {} if given.get("target") == "llmapi" else {"tokenizer": str(DEMO)}
        pipeline = {"use": "text_generation", "engine": engine, **own, "with": {**tokenizer, **given}}
        (tmp_path / "tritonsmith.yaml").write_text(
            yaml.safe_dump({"triton": release, **top, "pipelines": {"chat": pipeline}})
        )
        build_repository(tmp_path / "tritonsmith.yaml", tmp_path / "repository")
        options = ServerOptions(http_port=0, grpc_port=0, metrics_port=0)
        return plan_container(tmp_path / "repository", options, other or release, port)

    return planned


@pytest.fixture
def engine(write_engine: WriteEngine) -> str:
    """The folder of an engine of 24.12."""
    return str(write_engine("llama-0.16.0"))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("25.05", r"TensorRT-LLM 0\.16\.0 \(Triton 24\.12\), and the container of 25\.05 has 0\.19\.0"),
        ("24.08", r"the container of 24\.08 has 0\.12\.0"),
        ("26.08", r"NVIDIA has no container of Triton 26\.08 with TensorRT-LLM"),
    ],
)
def test_an_engine_is_served_by_its_own_tensorrt_llm_alone(plan: Plan, engine: str, other: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        plan(engine, other=other)


def test_the_release_of_an_engine_and_one_with_the_same_tensorrt_llm_serve_it(
    plan: Plan, write_engine: WriteEngine
) -> None:
    folder = str(write_engine("llama-1.2.1-fp8"))
    for other in ("26.04", "26.07"):
        assert f"nvcr.io/nvidia/tritonserver:{other}-trtllm-python-py3" in plan(folder, "26.04", other).argv


def test_the_llm_api_s_tensors_are_those_of_a_minor_version(plan: Plan) -> None:
    plan(str(DEMO), "25.09", "25.11", target="llmapi")  # 1.0.0, 1.0.3
    with pytest.raises(UsageError, match=r"chat was written for TensorRT-LLM 1\.0\.0 .* 25\.05 has 0\.19\.0"):
        plan(str(DEMO), "25.09", "25.05", target="llmapi")


@pytest.mark.parametrize("place", ["copy", "link"])
def test_a_folder_that_is_no_engine_yet_is_refused_with_the_way_out(plan: Plan, place: str, tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="is a Hugging Face folder, and NVIDIA's backend loads engines") as caught:
        plan({"from": str(DEMO), "place": place})
    assert f"build one with {tmp_path}/repository/tensorrt_llm/engine.sh" in (caught.value.hint or "")
    assert "target: llmapi" in (caught.value.hint or "")


def test_an_engine_that_lies_elsewhere_is_mounted_behind_openai_s_api_too(plan: Plan, engine: str) -> None:
    for port in (None, 0):
        assert f"--volume={engine}:{engine}:ro" in plan({"from": engine, "place": "link"}, port=port).argv


def test_a_path_of_the_server_s_machine_is_mounted_where_it_is_here_and_else_named(plan: Plan, engine: str) -> None:
    assert f"--volume={engine}:{engine}:ro" in plan({"place": "mounted", "at": engine}).argv
    away = plan({"place": "mounted", "at": "/engines/llama"})
    assert not [word for word in away.argv if "/engines/llama" in word]
    assert [line for line in away.notices if line.startswith("/engines/llama is not on this machine")]


def test_an_engine_has_gpus_though_this_machine_shows_none(plan: Plan, engine: str) -> None:
    found = plan(engine)
    assert "--gpus=all" in found.argv
    assert [line for line in found.notices if "this machine shows no GPU" in line]


def test_a_model_has_gpus_where_it_asks_for_them(tmp_path: Path) -> None:
    options = ServerOptions(http_port=0, grpc_port=0, metrics_port=0)
    for kind, has_gpus in (("KIND_CPU", False), ("KIND_GPU", True)):
        (tmp_path / kind / "m" / "1").mkdir(parents=True)
        config = f'backend: "onnxruntime" instance_group {{ kind: {kind} }}'
        (tmp_path / kind / "m" / "config.pbtxt").write_text(config)
        assert ("--gpus=all" in plan_container(tmp_path / kind, options, "24.10", None).argv) == has_gpus


def test_ranks_behind_openai_s_api_have_their_memory_and_start_otherwise(plan: Plan, write_engine: WriteEngine) -> None:
    found = plan(str(write_engine("llama-0.19.0-tp4")), "25.05", port=0)
    shm = next(word for word in found.argv if word.startswith("--shm-size="))
    assert int(shm.removeprefix("--shm-size=").removesuffix("m")) > 4 * 1024
    assert "mpirun" not in found.argv
    assert [line for line in found.notices if "4 ranks (orchestrator mode)" in line]


def test_ranks_of_mpirun_cannot_be_behind_openai_s_api(plan: Plan, engine: str) -> None:
    with pytest.raises(RepositoryError, match="NVIDIA's OpenAI front end is one process"):
        plan(engine, port=0, server={"orchestrator": "participants"})


def test_the_llm_api_is_not_what_nvidia_s_front_end_asks(plan: Plan) -> None:
    with pytest.raises(RepositoryError, match="chat is a model of TensorRT-LLM's LLM API") as caught:
        plan(str(DEMO), "25.05", port=0, target="llmapi")
    assert "trtllm-serve" in (caught.value.hint or "")
