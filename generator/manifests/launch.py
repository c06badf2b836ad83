"""How a server of TensorRT-LLM models is started: which processes, and what each is told.

Source: TensorRT-LLM: triton_backend/scripts/launch_triton_server.py. One difference: completion of configurations
(--disable-auto-complete-config) is left to the spec's `server: {strict_model_config: ...}`.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.catalog.options import known_words
from tritonsmith.generator.catalog.releases import EMBEDDED, NEWEST_WITH_TENSORRT_LLM, RELEASES
from tritonsmith.generator.catalog.tensorrtllm.llmapi import is_readable
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.files import read_regular
from tritonsmith.generator.inspect.architecture import MOST_RANKS
from tritonsmith.generator.manifests.script import render_script
from tritonsmith.generator.manifests.server import PORTS, ServerFolders, inside_container, options_of, server_argv
from tritonsmith.generator.repository.core import Content, Model, Repository, SourceFile
from tritonsmith.generator.spec.settings import Hardware, Server

SCRIPT = "launch.sh"
ENGINE_SCRIPT = "engine.sh"  # beside the config.pbtxt of a model that is no engine yet: makes one
HOSTFILE = "HOSTFILE"  # an environment variable of the script's
Mode = Literal["leader", "spawn", "participants", "llmapi"]
_WORDS: dict[Mode, str] = {
    "leader": "leader mode, in which the server's processes are the engine's ranks",
    "spawn": "orchestrator mode, in which the server starts the engines' processes",
    "participants": "orchestrator mode, in which mpirun starts the engines' processes and rank 0 is the orchestrator",
    "llmapi": "the LLM API behind a Python model",
}
# Told to one rank and not to another.
_OF_ONE_RANK = ("--model-control-mode=", "--load-model=")


@dataclass(frozen=True)
class Launch:
    """The processes of a server. `llms` are the models that every rank loads, `gpus` those that they name."""

    mode: Mode
    world_size: int
    llms: tuple[str, ...]
    gpus: tuple[int, ...] = (0,)
    gpus_per_node: int = 0  # 0: not said

    @property
    def has_mpi(self) -> bool:
        """Whether mpirun starts it: a lone process of the LLM API must not be, its own workers would be refused."""
        return self.mode != "llmapi" or self.world_size > 1

    @property
    def nodes(self) -> int:
        """How many machines the ranks need."""
        return -(-self.world_size // self.gpus_per_node) if self.gpus_per_node and self.mode != "participants" else 1

    @property
    def environment(self) -> dict[str, str]:
        """The variables that every rank needs."""
        if self.mode not in ("spawn", "participants"):
            return {}
        return {
            "TRTLLM_ORCHESTRATOR": "1",
            "TRTLLM_ORCHESTRATOR_SPAWN_PROCESSES": "1" if self.mode == "spawn" else "0",
        }

    @property
    def summary(self) -> str:
        """What is started, in words."""
        return f"{_WORDS[self.mode]}; {self.world_size} rank{'s'[: self.world_size != 1]}"


def plan_launch(repository: Repository) -> Launch | None:
    """Return how a repository's server is started; None where one plain process serves all of its models.

    Raises: RepositoryError where its LLMs cannot be ranks of one start.
    """
    server = Server.model_validate(repository.settings.get("server", {}))
    hardware = Hardware.model_validate(repository.settings.get("hardware", {}))
    engines = {model.name: model for model in repository.models.values() if is_engine_model(model)}
    texts = {model.name: document for model in repository.models.values() if (document := llm_document(model))}
    if engines and any(_world(document) > 1 for document in texts.values()):
        raise RepositoryError(
            f"{next(iter(engines))} and {next(iter(texts))} cannot be ranks of one mpirun: one is an engine, the other "
            "the LLM API's",
            where=repository.name,
            hint="a repository for each",
        )
    if engines:
        return _of_engines(engines, server, hardware)
    return _of_texts(texts, hardware) if texts else None


def is_engine_model(model: Model) -> bool:
    """Whether a model is run by TensorRT-LLM's backend."""
    return model.config is not None and model.config.backend == "tensorrtllm"


def llm_document(model: Model) -> Mapping[str, Any]:
    """Return an llmapi model's model.yaml, empty where it has none."""
    files = [file for path, file in model.files.items() if re.fullmatch(r"\d+/model\.yaml", path)]
    for file in files if model.config is not None and model.config.backend == "python" else ():
        try:
            text = _read(file)
            document = yaml.safe_load(text) if is_readable(text) else None
        except (yaml.YAMLError, OSError, ValueError, RecursionError):  # the model says so when it is loaded
            return {}
        if isinstance(document, dict) and "triton_config" in document:
            return document
    return {}


def _read(file: Content | SourceFile) -> bytes:
    return file.data if isinstance(file, Content) else read_regular(file.path)


def _world(document: Mapping[str, Any]) -> int:
    sizes = [document.get(f"{kind}_parallel_size") or 1 for kind in ("tensor", "pipeline")]
    tensor, pipeline = (size if isinstance(size, int) and 0 < size <= MOST_RANKS else 1 for size in sizes)
    return tensor * pipeline


def _of_engines(engines: Mapping[str, Model], server: Server, hardware: Hardware) -> Launch:
    devices = {name: _groups(model.config, "gpu_device_ids") or [[0]] for name, model in engines.items()}
    ranks = {name: _groups(model.config, "participant_ids") for name, model in engines.items()}
    gpus = tuple(sorted({gpu for groups in devices.values() for group in groups for gpu in group}))
    names = tuple(engines)
    if any(ranks.values()) or server.orchestrator == "participants":
        _require_participants(ranks)
        highest = max(rank for groups in ranks.values() for group in groups for rank in group)
        return Launch("participants", highest + 1, names, gpus, hardware.gpus)
    if server.orchestrator == "spawn" or any(len(groups) > 1 for groups in devices.values()):
        return Launch("spawn", 1, names, gpus, hardware.gpus)
    sizes = {name: max(len(groups[0]), _built_ranks(engines[name])) for name, groups in devices.items()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise RepositoryError(
            f"the LLMs have different numbers of ranks ({listed}), and every rank of a leader loads all of them",
            hint="server: {orchestrator: spawn}",
        )
    return Launch("leader", next(iter(sizes.values())), names, gpus, hardware.gpus)


def _built_ranks(model: Model) -> int:
    """Return how many ranks an engine has whose GPUs nothing names, by its files; 0 where it lies elsewhere."""
    if _groups(model.config, "gpu_device_ids"):
        return 0
    found = (re.fullmatch(r"(.*/)?rank\d+\.engine", path) for path in model.files)
    return max(Counter(match[1] for match in found if match).values(), default=0)


def _require_participants(ranks: Mapping[str, Sequence[Sequence[int]]]) -> None:
    lacking = [name for name, groups in ranks.items() if not groups]
    taken = [rank for groups in ranks.values() for group in groups for rank in group]
    twice = sorted(rank for rank, count in Counter(taken).items() if count > 1)
    if lacking:
        message = f"{lacking[0]} has no participant_ids, and no process is started for it"
        raise RepositoryError(message, hint="give each LLM MPI ranks of its own, from 1; or none of them any")
    if twice:
        message = f"MPI rank {twice[0]} is given to two instances ({', '.join(ranks)})"
        raise RepositoryError(message, hint="participant_ids: each rank once, over all models")
    if sorted(taken) != list(range(1, len(taken) + 1)):
        message = f"participant_ids are {len(taken)} MPI ranks, up to {max(taken)}: some would have nothing to do"
        raise RepositoryError(message, hint=f"count them from 1 to {len(taken)}; rank 0 is the orchestrator")


def _of_texts(documents: Mapping[str, Mapping[str, Any]], hardware: Hardware) -> Launch:
    world = max(map(_world, documents.values()))
    if world > 1 and len(documents) > 1:
        raise RepositoryError(
            f"{' and '.join(documents)} cannot share one start: the LLM API's launcher has one model's ranks",
            hint="a repository for each",
        )
    return Launch("llmapi", world, tuple(documents), tuple(range(world)), hardware.gpus)


def _groups(config: ModelConfig | None, name: str) -> list[list[int]]:
    text = config.parameters[name].string_value if config is not None and name in config.parameters else ""
    if not re.fullmatch(r"\d{1,9}(,\d{1,9})*(;\d{1,9}(,\d{1,9})*)*", text):
        return []
    return [[int(member) for member in group.split(",")] for group in text.split(";")]


def launch_argv(launch: Launch, server: Sequence[str]) -> list[str]:
    """Return the command that starts all processes; `server` is that of one, as tritonserver takes it."""
    if not launch.has_mpi:
        return list(server)
    # by default mpirun binds each of one or two ranks to a single core, of more to a NUMA node
    argv = ["mpirun", "--allow-run-as-root", "--bind-to", "none"]
    argv += ["--oversubscribe"] if launch.mode == "llmapi" else []
    argv += ["--hostfile", HOSTFILE] if launch.nodes > 1 else []
    for rank in range(launch.world_size):
        launcher = ["trtllm-llmapi-launch"] if launch.mode == "llmapi" else []
        argv += ["-n", "1", *launcher, *rank_argv(launch, server, rank), ":"]
    return argv[:-1]


def rank_argv(launch: Launch, server: Sequence[str], rank: int) -> list[str]:
    """Return one rank's command: all but the first load the LLMs alone, and each has shared memory of its own."""
    argv = list(server)
    if rank > 0:
        argv = [word for word in argv if not word.startswith(_OF_ONE_RANK)]
        argv += ["--model-control-mode=explicit", *(f"--load-model={name}" for name in launch.llms)]
    argv.append(f"--backend-config=python,shm-region-prefix-name=prefix{rank}_")
    return argv + list(_spawning(launch))


def _spawning(launch: Launch) -> Iterator[str]:
    """Yield what leaves the GPUs' memory to the processes that will be started."""
    if launch.mode == "spawn":
        yield from ("--pinned-memory-pool-byte-size=0", "--enable-peer-access=false")
        yield from (f"--cuda-memory-pool-byte-size={gpu}:0" for gpu in launch.gpus)


def launch_script(repository: Repository) -> str | None:
    """Return launch.sh: starts the server inside NVIDIA's container; None where a plain tritonserver does.

    Raises: RepositoryError where the LLMs cannot be ranks of one start.
    """
    launch = plan_launch(repository)
    if launch is None:
        return None
    settings = Server.model_validate(repository.settings.get("server", {}))
    # --network=host: the spec's own ports
    ports = {f"{name}_port": getattr(settings, f"{name}_port") for name in PORTS}
    options = replace(inside_container(options_of(settings)), **ports)
    argv = launch_argv(launch, server_argv(options, "tritonserver", ServerFolders("REPOSITORY")))
    release = RELEASES[repository.settings.get("triton", EMBEDDED)]
    return render_script(
        Path(__file__).with_name(f"{SCRIPT}.j2"),
        launch=launch,
        release=release,
        newest=NEWEST_WITH_TENSORRT_LLM,
        ranks=_lines(known_words(argv, release.name)),
        name=repository.name,
    )


def _lines(argv: Sequence[str]) -> list[str]:
    """Return the command as the script's lines: mpirun, then a line for each rank."""
    lines: list[list[str]] = [[]]
    known = {"--model-repository=REPOSITORY": '--model-repository="$here"', HOSTFILE: '"$HOSTFILE"'}
    for word in argv:
        if word == ":":
            lines[-1] += ['"$@"', ":"]
            lines.append([])
        else:
            lines[-1].append(known.get(word) or shlex.quote(word))
    lines[-1].append('"$@"')
    return [" ".join(line) for line in lines]


# Parameters that name a folder on the server.
_FOLDERS = (
    "gpt_model_path",
    "encoder_model_path",
    "tokenizer_dir",
    "lora_prefetch_dir",
    "xgrammar_tokenizer_info_path",
)


def outside_paths(repository: Repository, inside: str) -> list[Path]:
    """Return the paths that the LLMs name outside the repository, which a server finds below `inside`."""
    named = {str(llm_document(model).get("model", "")) for model in repository.models.values()}
    for config in (model.config for model in repository.models.values() if model.config is not None):
        named |= {config.parameters[name].string_value for name in _FOLDERS if name in config.parameters}
    return sorted(Path(text) for text in named if text.startswith("/") and not text.startswith(f"{inside}/"))
