"""What a repository's container is: its files by what the spec says, each checked by the tool that reads it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.catalog.options import known_words
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.manifests.container.core import plan_container
from tritonsmith.generator.manifests.container.files import render, start_script
from tritonsmith.generator.repository.core import Content, Model, Repository

BIN = Path(sys.executable).parent
H100 = {"gpu": "H100-SXM-80GB", "count": 2}
BACKENDS = {"onnxruntime/model.py": b"", "tensorrtllm/model.py": b"", "tensorrtllm/llm/base.py": b""}


def model(name: str, config: str, **files: str) -> Model:
    parsed = text_format.Parse(f'name: "{name}" {config}', ModelConfig())
    contents = {path.replace("__", "/").replace("_py", ".py"): Content(text.encode()) for path, text in files.items()}
    return Model(name, parsed, {"1/model.py": Content(b""), **contents}, folders=("1",))


PYTHON = model("preprocessing", 'backend: "python"')
ONNX = model("classifier", 'backend: "onnxruntime"')
ENGINE = 'backend: "tensorrtllm" parameters { key: "gpt_model_path" value { string_value: "/engines/llama" } } '
LLM = model("tensorrt_llm", ENGINE)
TWO_RANKS = model(
    "tensorrt_llm", ENGINE + 'parameters { key: "gpu_device_ids" value { string_value: "0,1" } } instance_group {}'
)


def repository(*models: Model, triton: str = "24.10", **settings: Any) -> Repository:
    return Repository("digits", {one.name: one for one in models}, settings={"triton": triton, **settings})


def files_of(*models: Model, **settings: Any) -> Mapping[str, str]:
    made = render(plan_container(repository(*models, **settings)), "../models", BACKENDS, b"fetch")
    return {path: data.decode() for path, data in made.items()}


def service_of(*models: Model, **settings: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load(files_of(*models, **settings)["compose.yaml"])["services"]["triton"]
    return found


VARIANTS: dict[str, tuple[tuple[Model, ...], dict[str, Any]]] = {
    "baked": ((PYTHON, ONNX), {}),
    "baked with packages": ((model("m", 'backend: "python"', **{"1__decode_py": "import PIL"}),), {}),
    "mounted": ((ONNX,), {"deploy": {"repository": {"claim": "models"}}}),
    "fetched": ((ONNX,), {"deploy": {"repository": {"store": "s3://bucket/digits"}}}),
    "remote": ((ONNX,), {"deploy": {"repository": {"store": "gs://bucket/digits", "fetch": "server"}}}),
    "pinned": ((ONNX,), {"deploy": {"digest": "sha256:" + "0" * 64}}),
    "an engine": ((LLM,), {"hardware": {"gpu": "H100-SXM-80GB"}}),
    "ranks beside ONNX": ((TWO_RANKS, ONNX), {"hardware": H100}),
    "an LLM without a GPU": ((LLM, PYTHON), {}),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_dockerfile_and_compose_file_is_clean(name: str, tmp_path: Path) -> None:
    models, settings = VARIANTS[name]
    for path, text in files_of(*models, **settings).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    checks: tuple[list[str | Path], ...] = (
        [BIN / "hadolint", "--failure-threshold", "style", "--no-color", "Dockerfile"],
        [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"],
        ["bash", "-n", "start.sh"],
    )
    for argv in checks:
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_base_is_nvidias_of_the_release_and_pinned_where_the_spec_pins_it() -> None:
    digest = "sha256:" + "a" * 64
    assert plan_container(repository(ONNX)).base == "nvcr.io/nvidia/tritonserver:24.10-py3"
    assert plan_container(repository(ONNX, deploy={"digest": digest})).base.endswith(f"24.10-py3@{digest}")
    assert "24.10-trtllm-python-py3" in plan_container(repository(LLM, hardware=H100)).base


def test_a_digest_of_an_image_of_the_users_does_not_pin_nvidias() -> None:
    container = plan_container(repository(ONNX, deploy={"image": "shop/digits", "digest": "sha256:" + "a" * 64}))
    assert (container.base, container.image) == ("nvcr.io/nvidia/tritonserver:24.10-py3", "shop/digits")


def test_our_backends_are_put_in_only_where_the_image_lacks_nvidias() -> None:
    def taken(*models: Model, **settings: Any) -> set[str]:
        return {path.split("/")[1] for path in files_of(*models, **settings) if path.startswith("backends/")}

    assert taken(ONNX, PYTHON) == set()
    assert taken(TWO_RANKS, ONNX, hardware=H100) == {"onnxruntime"}
    assert taken(LLM) == {"tensorrtllm"}


def test_packages_are_pinned_and_only_what_the_image_lacks() -> None:
    preprocessing = model("m", 'backend: "python"', **{"1__decode_py": "import numpy, json, PIL.Image, tokenizers"})
    assert plan_container(repository(preprocessing)).requirements == ("pillow==11.3.0", "tokenizers==0.21.4")
    # TensorRT-LLM brings those, and ONNX Runtime, which it lacks, has to be the GPU's
    assert plan_container(repository(preprocessing, LLM, ONNX, hardware=H100)).requirements == (
        "onnxruntime-gpu==1.22.0",
    )


def test_what_a_model_only_tries_to_import_or_has_beside_it_is_not_installed() -> None:
    code = "try:\n    import torch\nexcept ImportError:\n    torch = None\nimport labels\nfrom . import decode\n"
    beside = {"1__model_py": code, "1__labels_py": "", "1__decode_py": ""}
    container = plan_container(repository(model("m", 'backend: "python"', **beside)))
    assert (container.requirements, container.notices) == ((), ())


def test_a_package_of_which_nothing_is_known_is_said() -> None:
    container = plan_container(repository(model("m", 'backend: "python"', **{"1__model_py": "import cv2"})))
    assert "m imports cv2, which the image lacks" in container.notices[0]


def test_a_container_says_that_sharing_is_set_up_elsewhere() -> None:
    (notice,) = plan_container(repository(ONNX, hardware=H100, sharing={"mode": "mig", "profile": "1g.10gb"})).notices
    assert notice.startswith("sharing: mig:1g.10gb is what Kubernetes is told")
    assert not plan_container(repository(ONNX, hardware=H100, sharing={"mode": "instances"})).notices


def test_ports_are_published_on_this_machine_unless_asked() -> None:
    ports = service_of(ONNX, server={"http_port": 18000, "metrics": {"enabled": "false"}})["ports"]
    assert ports == ["${BIND:-127.0.0.1}:18000:8000", "${BIND:-127.0.0.1}:8001:8001"]


def test_a_container_is_given_the_time_that_its_server_takes_to_end() -> None:
    assert service_of(ONNX, server={"exit_timeout_s": 100})["stop_grace_period"] == "110s"


def test_gpus_are_reserved_and_what_lies_outside_is_mounted() -> None:
    service = service_of(TWO_RANKS, hardware=H100)
    assert service["deploy"]["resources"]["reservations"]["devices"] == [
        {"driver": "nvidia", "capabilities": ["gpu"], "count": 2}
    ]
    assert {"type": "bind", "source": "/engines/llama", "target": "/engines/llama", "read_only": True} in service[
        "volumes"
    ]


def test_a_mounted_repository_is_read_only_and_a_fetched_one_is_checked_before_the_server_starts() -> None:
    mounted = VARIANTS["mounted"][1]
    assert service_of(ONNX, **mounted)["volumes"] == [
        {"type": "bind", "source": "../models", "target": "/models", "read_only": True}
    ]
    script = files_of(ONNX, **VARIANTS["fetched"][1])["start.sh"]
    assert script.index("fetch.py") < script.index("exec tritonserver")
    assert "--model-repository=gs://bucket/digits" in files_of(ONNX, **VARIANTS["remote"][1])["start.sh"]


def test_a_google_key_is_mounted_where_the_environment_says_that_it_is() -> None:
    service = service_of(ONNX, **VARIANTS["remote"][1])
    key = {"source": "${GOOGLE_APPLICATION_CREDENTIALS:-/dev/null}"}
    key["target"] = "${GOOGLE_APPLICATION_CREDENTIALS:-/run/no-key}"
    assert {"type": "bind", **key, "read_only": True} in service["volumes"]
    assert service["environment"] == ["GOOGLE_APPLICATION_CREDENTIALS"]
    assert "volumes" not in service_of(ONNX)


def test_what_triton_copies_from_a_store_goes_to_a_disk() -> None:
    files = files_of(ONNX, **VARIANTS["remote"][1])
    made = yaml.safe_load(files["compose.yaml"])
    service = made["services"]["triton"]
    assert "tmpfs" not in service
    assert {"type": "volume", "source": "copies", "target": "/tmp"} in service["volumes"]
    assert made["volumes"] == {"copies": {}}
    assert files["start.sh"].index("rm -rf /tmp/folder??????") < files["start.sh"].index("exec tritonserver")
    assert service_of(ONNX)["tmpfs"] == ["/tmp"]


def test_what_a_variable_holds_is_no_code_of_the_script() -> None:
    container = replace(plan_container(repository(ONNX)), environment={"WORDS": "two; $(words)"})
    assert "export WORDS='two; $(words)'\n" in start_script(container)


def test_the_server_is_process_1_and_mpirun_has_the_scripts_that_drain_it() -> None:
    assert "exec tritonserver" in files_of(ONNX)["start.sh"]
    files = files_of(TWO_RANKS, hardware=H100)
    assert "exec bash \\\n  /ranks/start.sh \\\n  mpirun" in files["start.sh"]
    assert {"ranks/start.sh", "ranks/first.sh"} <= files.keys()


def test_an_option_that_a_release_does_not_know_is_left_out() -> None:
    argv = ["tritonserver", "--enable-peer-access=false", "--http-port=8000"]
    assert known_words(argv, "24.05") == ["tritonserver", "--http-port=8000"]
    assert known_words(argv, "24.06") == argv


def test_an_engine_needs_its_gpus_whatever_the_spec_says_of_hardware() -> None:
    engine = model("tensorrt_llm", ENGINE)
    engine = Model(engine.name, engine.config, {**engine.files, "1/rank0.engine": Content(b"")})
    assert "trtllm" in plan_container(repository(engine)).base
    assert service_of(engine)["deploy"]["resources"]["reservations"]["devices"][0]["count"] == 1


def test_an_engine_of_several_machines_is_refused() -> None:
    four = ENGINE + 'parameters { key: "gpu_device_ids" value { string_value: "0,1,2,3" } }'
    with pytest.raises(RepositoryError, match="2 machines"):
        plan_container(repository(model("tensorrt_llm", four), hardware=H100))


def test_a_release_without_tensorrt_llm_is_refused_for_an_engine() -> None:
    with pytest.raises(RepositoryError, match=r"no container of Triton 26\.08 with TensorRT-LLM"):
        plan_container(repository(LLM, triton="26.08", hardware=H100))


def test_docker_builds_nothing_but_what_is_listed() -> None:
    ignored = files_of(TWO_RANKS, ONNX, hardware=H100)[".dockerignore"].splitlines()
    assert ignored == ["*", "!backends", "!ranks", "!requirements.txt", "!start.sh"]


def test_shared_memory_is_never_less_than_python_models_need() -> None:
    many = model("m", 'backend: "python" instance_group { count: 40 kind: KIND_CPU }')
    assert int(service_of(many)["shm_size"].removesuffix("mb")) > 1024
    assert service_of(ONNX)["shm_size"] == "1024mb"
