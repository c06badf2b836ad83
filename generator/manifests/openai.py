"""NVIDIA's OpenAI front end, which its images have since 24.12: one process that starts the server itself.

Source: triton-inference-server/server, build.py (copied into the image) and python/openai/openai_frontend/main.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.catalog.options import EXIT_TIMEOUT_S
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.manifests.launch import Launch
from tritonsmith.generator.manifests.server import ServerOptions

Configs = Mapping[str, ModelConfig | None]
FIRST_RELEASE = "24.12"
OPENAI_PORT = 9000
SCRIPT = "/opt/tritonserver/python/openai/openai_frontend/main.py"
# one process serves all: without MPI, TensorRT-LLM needs its workers started by itself (server, python/openai)
ENVIRONMENT = {"TRTLLM_ORCHESTRATOR": "1"}
EXIT_S = EXIT_TIMEOUT_S  # it starts the server with its default
# of ServerOptions; the front end takes none of them
LOST = (
    *("cache_config", "rate_limit", "rate_limit_resources", "trace_config", "backend_config"),
    *("disable_auto_complete_config", "model_load_thread_count"),
)


def front_end_command(repository: str, tokenizer: str, ports: Mapping[str, int]) -> list[str]:
    """Return the command that answers OpenAI's API, and Triton's own at `ports` (http, grpc)."""
    command = ["python3", SCRIPT, f"--model-repository={repository}", f"--tokenizer={tokenizer}"]
    command += ["--backend=tensorrtllm", "--host=0.0.0.0", f"--openai-port={OPENAI_PORT}", "--enable-kserve-frontends"]
    return [*command, f"--kserve-http-port={ports['http']}", f"--kserve-grpc-port={ports['grpc']}"]


def only_tokenizer(found: tuple[str, ...]) -> str:
    """Return the tokenizer of the text pipelines.

    Raises: RepositoryError where there is none, or more than the front end takes.
    """
    if len(found) != 1:
        said = f"text pipelines with {len(found)} tokenizers" if found else "no text pipeline"
        raise RepositoryError(f"{said}: NVIDIA's OpenAI front end takes one", hint="serve them in repositories apart")
    return found[0]


def require_one_process(launch: Launch | None) -> None:
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


def lost_settings(options: ServerOptions) -> list[str]:
    """Return what of a spec's `server:` the front end does not pass on to the server that it starts."""
    default = ServerOptions()
    lost = [name for name in LOST if getattr(options, name) != getattr(default, name)]
    return lost + (["model_control_mode poll"] if options.model_control_mode == "poll" else [])


def tokenizers(configs: Configs, repository: str) -> tuple[str, ...]:
    """Return the tokenizers of the text pipelines, each once, as a server sees them that has the repository there."""
    return tuple(sorted(set(_tokenizers(configs, repository))))


def _tokenizers(configs: Configs, repository: str) -> Iterator[str]:
    for config in configs.values():
        behind = models_behind(config, configs) if config is not None else None
        encoder = configs.get(behind[0]) if behind else None
        folder = parameter(encoder, "tokenizer_dir")
        if behind and folder:
            yield folder if folder.startswith("/") else f"{repository}/{behind[0]}/1/{folder}"


def parameter(config: ModelConfig | None, name: str) -> str:
    """Return a parameter of a configuration, empty where it has none of the name."""
    return config.parameters[name].string_value if config is not None and name in config.parameters else ""


def models_behind(config: ModelConfig, configs: Configs) -> tuple[str, str] | None:
    """Return the names of the preprocessing and the engine's model behind a text pipeline, None for another model."""
    if not {"text_input", "max_tokens"} <= {one.name for one in config.input}:
        return None
    if config.HasField("ensemble_scheduling"):
        steps = [step.model_name for step in config.ensemble_scheduling.step]
        encoders = [name for name in steps if _has(configs.get(name), "QUERY", "INPUT_ID")]
        engines = [name for name in steps if _has(configs.get(name), "input_ids", "output_ids")]
        return (encoders[0], engines[0]) if encoders and engines else None
    if "tensorrt_llm_model_name" not in config.parameters:
        return None
    encoder = parameter(config, "preprocessing_model_name") or "preprocessing"
    return encoder, parameter(config, "tensorrt_llm_model_name")


def _has(config: ModelConfig | None, source: str, target: str) -> bool:
    """Whether a model has an input and an output of these names."""
    return config is not None and (
        any(one.name == source for one in config.input) and any(one.name == target for one in config.output)
    )
