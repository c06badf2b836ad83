"""How a server of LLMs is started: ranks, world size, what each rank is told; the script that says it."""

import json
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.manifests.launch import (
    Launch,
    launch_argv,
    launch_script,
    outside_paths,
    plan_launch,
    rank_argv,
)
from tritonsmith.generator.repository.core import Content, Model, Repository

SERVER = [
    "tritonserver",
    "--model-repository=/models",
    "--model-control-mode=explicit",
    "--load-model=*",
    "--http-port=8000",
]


def engine(name: str = "tensorrt_llm", **parameters: str) -> Model:
    config = ModelConfig(name=name, backend="tensorrtllm")
    for key, value in parameters.items():
        config.parameters[key].string_value = value
    return Model(name, config)


def text(name: str = "chat", **arguments: Any) -> Model:
    document = {"model": "/models/chat/1/engine", **arguments, "triton_config": {"decoupled": True}}
    return Model(
        name, ModelConfig(name=name, backend="python"), {"1/model.yaml": Content(yaml.safe_dump(document).encode())}
    )


def repository(*models: Model, **settings: Any) -> Repository:
    return Repository("r", {model.name: model for model in models}, settings={"triton": "25.05", **settings})


def planned(*models: Model, **settings: Any) -> Launch:
    launch = plan_launch(repository(*models, **settings))
    assert launch is not None
    return launch


def ranks_of(argv: list[str]) -> list[list[str]]:
    """Return what comes after mpirun's own options, rank by rank."""
    start = argv.index("-n")
    ranks: list[list[str]] = [[]]
    for word in argv[start:]:
        if word == ":":
            ranks.append([])
        else:
            ranks[-1].append(word)
    return ranks


def test_a_repository_without_llms_is_a_plain_server_s() -> None:
    assert plan_launch(repository(Model("m", ModelConfig(backend="onnxruntime")))) is None
    assert launch_script(repository(Model("m", ModelConfig(backend="python")))) is None


@pytest.mark.parametrize(("devices", "world"), [("", 1), ("0", 1), ("0,1,2,3", 4)])
def test_a_leader_has_the_engine_s_ranks(devices: str, world: int) -> None:
    launch = planned(engine(**({"gpu_device_ids": devices} if devices else {})))
    assert (launch.mode, launch.world_size, launch.environment) == ("leader", world, {})


def test_an_engine_whose_gpus_nothing_names_has_the_ranks_that_its_files_are() -> None:
    files = {f"1/engine/rank{rank}.engine": Content(b"") for rank in range(4)} | {"1/rank0.engine": Content(b"")}
    spread = Model("tensorrt_llm", engine().config, files)
    launch = planned(spread, hardware={"gpu": "H100-SXM-80GB", "count": 2})
    assert (launch.mode, launch.world_size, launch.nodes, launch.gpus) == ("leader", 4, 2, (0,))


def test_each_rank_but_the_first_loads_the_llms_alone() -> None:
    launch = planned(engine("llm", gpu_device_ids="0,1"), engine("draft", gpu_device_ids="0,1"))
    argv = launch_argv(launch, SERVER)
    assert argv[:2] == ["mpirun", "--allow-run-as-root"]
    first, second = ranks_of(argv)
    assert first == ["-n", "1", *SERVER, "--backend-config=python,shm-region-prefix-name=prefix0_"]
    assert second == [
        *("-n", "1", "tritonserver", "--model-repository=/models", "--http-port=8000"),
        *("--model-control-mode=explicit", "--load-model=llm", "--load-model=draft"),
        "--backend-config=python,shm-region-prefix-name=prefix1_",
    ]


def test_an_orchestrator_that_spawns_is_one_rank_and_leaves_the_gpus_memory() -> None:
    launch = planned(engine(gpu_device_ids="0,1;2,3"), server={"orchestrator": "spawn"})
    assert (launch.mode, launch.world_size) == ("spawn", 1)
    assert launch.environment == {"TRTLLM_ORCHESTRATOR": "1", "TRTLLM_ORCHESTRATOR_SPAWN_PROCESSES": "1"}
    argv = launch_argv(launch, SERVER)
    assert argv.count("-n") == 1
    assert "--pinned-memory-pool-byte-size=0" in argv
    assert "--enable-peer-access=false" in argv
    assert [word for word in argv if word.startswith("--cuda-memory")] == [
        f"--cuda-memory-pool-byte-size={gpu}:0" for gpu in range(4)
    ]


def test_several_groups_of_gpus_need_an_orchestrator_whoever_says_so() -> None:
    assert planned(engine(gpu_device_ids="0;1")).mode == "spawn"


def test_participants_are_the_ranks_and_one() -> None:
    launch = planned(
        engine("context", gpu_device_ids="0,1", participant_ids="1,2"),
        engine("generation", gpu_device_ids="2,3", participant_ids="3,4"),
        server={"orchestrator": "participants"},
    )
    assert (launch.mode, launch.world_size) == ("participants", 5)
    assert launch.environment["TRTLLM_ORCHESTRATOR_SPAWN_PROCESSES"] == "0"
    ranks = ranks_of(launch_argv(launch, SERVER))
    assert len(ranks) == 5
    assert all({"--load-model=context", "--load-model=generation"} <= set(rank) for rank in ranks[1:])
    assert not [word for rank in ranks for word in rank if word.startswith("--pinned")]


def test_the_llm_api_on_one_gpu_is_started_without_mpi() -> None:
    launch = planned(text())
    assert (launch.mode, launch.has_mpi) == ("llmapi", False)
    assert launch_argv(launch, SERVER) == SERVER


def test_the_llm_api_on_several_gpus_has_its_launcher() -> None:
    launch = planned(text(tensor_parallel_size=2, pipeline_parallel_size=2))
    argv = launch_argv(launch, SERVER)
    assert argv[:5] == ["mpirun", "--allow-run-as-root", "--bind-to", "none", "--oversubscribe"]
    assert [rank[:4] for rank in ranks_of(argv)] == [["-n", "1", "trtllm-llmapi-launch", "tritonserver"]] * 4


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ((engine("a", gpu_device_ids="0"), engine("b", gpu_device_ids="0,1")), "different numbers of ranks (a 1, b 2)"),
        ((engine("a", participant_ids="1"), engine("b")), "b has no participant_ids"),
        ((engine("a", participant_ids="1"), engine("b", participant_ids="1")), "MPI rank 1 is given to two instances"),
        ((engine("a", participant_ids="1"), engine("b", participant_ids="900")), "are 2 MPI ranks, up to 900"),
        ((engine("a"), text("b", tensor_parallel_size=2)), "a and b cannot be ranks of one mpirun"),
        ((text("a", tensor_parallel_size=2), text("b")), "a and b cannot share one start"),
    ],
)
def test_what_cannot_be_started_together_is_told(models: tuple[Model, ...], message: str) -> None:
    with pytest.raises(RepositoryError) as problem:
        plan_launch(repository(*models))
    assert message in problem.value.message
    assert problem.value.hint


HARDWARE = {"hardware": {"gpu": "H100", "count": 2}}
SCRIPTS: list[tuple[tuple[Model, ...], Mapping[str, Any], int]] = [
    ((engine(),), {}, 1),
    ((engine(gpu_device_ids="0,1,2,3"),), {}, 4),
    ((engine(gpu_device_ids="0,1,2,3"),), HARDWARE, 4),
    ((engine(gpu_device_ids="0;1"),), {"server": {"orchestrator": "spawn"}}, 1),
    ((engine("a", participant_ids="1"), engine("b", participant_ids="2")), {}, 3),
    ((text(),), {}, 1),
    ((text(tensor_parallel_size=2),), {"server": {"model_control_mode": "none", "log_verbose": 1}}, 2),
    ((text(),), {"server": {"backend_config": {"python": {"x": "it's $HOME `date`"}}}}, 1),
]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    """Return a function that runs a script with programs that only say what they were started with."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("mpirun", "tritonserver"):
        program = programs / name
        program.write_text(
            "#!/usr/bin/env python3\nimport json, os, sys\n"
            'env = {k: v for k, v in os.environ.items() if k.startswith("TRTLLM")}\n'
            'print(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]), json.dumps(env), sep="\\n")\n'
        )
        program.chmod(0o755)

    def started(script: str, *words: str, **environment: str) -> tuple[list[str], dict[str, str]]:
        folder = tmp_path / "a repository"
        folder.mkdir(exist_ok=True)
        (folder / "launch.sh").write_text(script)
        path = f"{programs}:{Path(shutil.which('python3') or '').parent}:/usr/bin:/bin"
        done = subprocess.run(
            ["bash", str(folder / "launch.sh"), *words],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
            env={"PATH": path, **environment},
        )
        argv, env = done.stdout.splitlines()
        return json.loads(argv), json.loads(env)

    return started


@pytest.mark.parametrize(("models", "settings", "world"), SCRIPTS)
def test_the_script_starts_what_was_planned(
    run: Callable[..., Any], tmp_path: Path, models: tuple[Model, ...], settings: Mapping[str, Any], world: int
) -> None:
    found = repository(*models, **settings)
    script, launch = launch_script(found), plan_launch(found)
    assert script is not None
    assert launch is not None
    assert subprocess.run(["bash", "-n"], input=script, text=True, timeout=20, check=False).returncode == 0
    argv, environment = run(script, "--log-info=true", HOSTFILE="hosts")
    assert environment == launch.environment
    where = f"--model-repository={tmp_path / 'a repository'}"
    servers = [argv] if not launch.has_mpi else ranks_of(argv)
    assert len(servers) == world
    for rank, words in enumerate(servers):
        assert where in words
        assert words[-1] == "--log-info=true"
        started = words[words.index("tritonserver") :]
        base = [word for word in started if not word.startswith(("--backend-config=python,shm", "--log-info"))]
        if launch.has_mpi:
            assert f"--backend-config=python,shm-region-prefix-name=prefix{rank}_" in words
        if rank == 0:
            assert rank_argv(launch, base, 0)[: len(base)] == base
    assert ("--hostfile" in argv) == (launch.nodes > 1)
    assert "docker run" in script
    assert "25.05-trtllm-python-py3" in script


def test_a_script_for_several_machines_asks_for_them(run: Callable[..., Any]) -> None:
    script = launch_script(repository(engine(gpu_device_ids="0,1,2,3"), **HARDWARE))
    assert script is not None
    with pytest.raises(subprocess.CalledProcessError) as problem:
        run(script)
    assert "set HOSTFILE" in problem.value.stderr


@pytest.mark.parametrize(("release", "has_image"), [("26.07", True), ("26.08", False)])
def test_no_image_is_named_that_does_not_exist(release: str, has_image: bool) -> None:
    script = launch_script(repository(text(), triton=release))
    assert script is not None
    assert ("nvcr.io/nvidia/tritonserver:26.07-trtllm-python-py3 bash" in script) is has_image
    assert ("IMAGE bash /models/launch.sh" in script) is not has_image
    assert ("NVIDIA has no container of 26.08 with TensorRT-LLM, the newest is of 26.07" in script) is not has_image


def test_words_of_the_spec_stay_words(run: Callable[..., Any]) -> None:
    models, settings, _ = SCRIPTS[-1]
    argv, _ = run(launch_script(repository(*models, **settings)))
    assert "--backend-config=python,x=it's $HOME `date`" in argv


def test_no_word_of_a_script_needs_a_second_look() -> None:
    for models, settings, _ in SCRIPTS:
        script = launch_script(repository(*models, **settings)) or ""
        command = script.partition("exec ")[2]
        assert shlex.split(command.replace("\\\n", " "))
        assert "<" not in command
        assert "REPOSITORY" not in command


def test_paths_outside_the_repository_are_known(tmp_path: Path) -> None:
    found = repository(engine(gpt_model_path=str(tmp_path), tokenizer_dir="/models/x"), text(model="/nowhere/at/all"))
    assert outside_paths(found, "/models") == [Path("/nowhere/at/all"), tmp_path]
