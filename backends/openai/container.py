"""NVIDIA's own front end, which its containers have, in place of ours: it starts the server itself.

Source: triton-inference-server/server, build.py (copied into the container from r24.12 on) and
python/openai/openai_frontend/main.py (its options).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.openai.pipelines import Configs, models_behind
from tritonsmith.backends.server.container import Outfit, docker_run
from tritonsmith.backends.server.ports import choose_ports
from tritonsmith.generator.errors import RepositoryError, UsageError
from tritonsmith.generator.manifests.launch import Launch
from tritonsmith.generator.manifests.server import MODELS, PORTS, ServerOptions

FIRST_RELEASE = "24.12"
PORT = 9000  # inside the container
SCRIPT = "/opt/tritonserver/python/openai/openai_frontend/main.py"
# of `server:`; the front end takes none of them
LOST = ("cache_config", "rate_limit", "rate_limit_resources", "trace_config", "backend_config")


@dataclass(frozen=True)
class ContainerFrontEnd:
    """The command in the container, what it needs around it, and what is lost with it."""

    port: int  # on the host
    command: tuple[str, ...]
    environment: Mapping[str, str]
    notices: tuple[str, ...]


def container_front_end(
    configs: Configs, options: ServerOptions, release: str, port: int, launch: Launch | None = None
) -> ContainerFrontEnd:
    """Return how a release's container answers OpenAI's API for a repository.

    The ports of `options` are chosen already; a `port` of 0 takes a free one. `launch` is how the LLMs' processes are
    started without it.

    Raises: UsageError where it cannot; ServerError where the port is in use; RepositoryError where there is no text
        pipeline, or one tokenizer too many.
    """
    if release < FIRST_RELEASE:
        raise UsageError(
            f"the container of {release} has no OpenAI front end",
            hint=f"--triton {FIRST_RELEASE} is the first that has",
        )
    if options.tls:
        raise UsageError("--openai does not speak TLS, and server.tls asks for it", hint="put a proxy before it")
    _require_one_process(launch)
    fixed = {"http": options.http_port, "grpc": options.grpc_port}
    port = choose_ports(options.host, fixed | {"openai": port})["openai"]
    tokenizers = sorted(set(_tokenizers(configs)))
    if len(tokenizers) != 1:
        found = f"text pipelines with {len(tokenizers)} tokenizers" if tokenizers else "no text pipeline"
        raise RepositoryError(f"{found}: NVIDIA's OpenAI front end takes one", hint="serve them in repositories apart")
    command = ["python3", SCRIPT, f"--model-repository={MODELS}", f"--tokenizer={tokenizers[0]}"]
    command += ["--backend=tensorrtllm", "--host=0.0.0.0", f"--openai-port={PORT}", "--enable-kserve-frontends"]
    command += [f"--kserve-http-port={PORTS['http']}", f"--kserve-grpc-port={PORTS['grpc']}"]
    # one process serves all: without MPI, TensorRT-LLM needs its workers started by itself (server, python/openai)
    return ContainerFrontEnd(
        port, tuple(command), {"TRTLLM_ORCHESTRATOR": "1"}, tuple(_notices(configs, options, launch))
    )


def front_end_argv(
    front: ContainerFrontEnd,
    repository: Path,
    options: ServerOptions,
    image: str,
    outfit: Outfit,
) -> list[str]:
    """Return the docker command that serves a repository behind NVIDIA's front end; see `docker_argv`."""
    published = {PORTS["http"]: options.http_port, PORTS["grpc"]: options.grpc_port, PORT: front.port}
    argv = docker_run(repository, options, published, outfit)
    argv += [f"--env={key}={value}" for key, value in front.environment.items()]
    return [*argv, image, *front.command]


def _require_one_process(launch: Launch | None) -> None:
    """Refuse LLMs that the front end cannot start or cannot ask.

    Source: triton-inference-server/server, python/openai/openai_frontend/engine/utils/triton.py: it writes the tensors
    of tensorrt_llm_bls, or vLLM's.
    """
    if launch is not None and launch.mode == "llmapi":
        message = f"{launch.llms[0]} is a model of TensorRT-LLM's LLM API: NVIDIA's OpenAI front end cannot ask it"
        hint = "`trtllm-serve` in the container answers OpenAI's API with the same model; or target: tensorrtllm"
        raise RepositoryError(message, hint=hint)
    if launch is not None and launch.mode == "participants":
        message = f"mpirun starts the ranks of {', '.join(launch.llms)}, and NVIDIA's OpenAI front end is one process"
        raise RepositoryError(message, hint="serve --container without --openai; or server: {orchestrator: spawn}")


def _tokenizers(configs: Configs) -> Iterator[str]:
    """Yield the tokenizers of the text pipelines, as the container sees them."""
    for config in configs.values():
        behind = models_behind(config, configs) if config is not None else None
        encoder = configs.get(behind[0]) if behind else None
        folder = _parameter(encoder, "tokenizer_dir")
        if behind and folder:
            yield folder if folder.startswith("/") else f"{MODELS}/{behind[0]}/1/{folder}"


def _notices(configs: Configs, options: ServerOptions, launch: Launch | None) -> Iterator[str]:
    if launch is not None and launch.mode == "leader" and launch.world_size > 1:
        yield (
            f"NVIDIA's front end is one process: it starts the engine's {launch.world_size} ranks (orchestrator mode), "
            "where without --openai mpirun does (leader mode)"
        )
    if not options.allow_metrics:
        yield "NVIDIA's front end answers /metrics, whatever server.metrics says"
    default = ServerOptions()
    lost = [name for name in LOST if getattr(options, name) != getattr(default, name)]
    lost += ["model_control_mode poll"] if options.model_control_mode == "poll" else []
    if lost:
        yield f"NVIDIA's front end starts the server without {', '.join(lost)}"
    engines = [name for name, config in configs.items() if config is not None and config.backend == "tensorrtllm"]
    for name in engines:
        if _parameter(configs[name], "exclude_input_in_output").lower() != "true":
            yield f"{name}: exclude_input_in_output is not true: NVIDIA's front end then repeats the prompt"


def _parameter(config: ModelConfig | None, name: str) -> str:
    return config.parameters[name].string_value if config is not None and name in config.parameters else ""
