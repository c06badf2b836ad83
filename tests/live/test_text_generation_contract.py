"""The five models of each release on the real server: each loads, and answers when only its required inputs are given.

A null backend stands behind `tensorrtllm`: what is tested is what the configurations say.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput

from tritonsmith.backends.client.base import Client, InferRequest, InferResponse, Tensor, connect
from tritonsmith.backends.server import view
from tritonsmith.backends.server.embedded import embedded_server
from tritonsmith.ensembles.build import build_repository
from tritonsmith.ensembles.text_generation.blueprint import BLUEPRINT
from tritonsmith.generator.catalog.datatypes import BY_NUMBER
from tritonsmith.generator.manifests.server import ServerOptions

pytestmark = pytest.mark.live

NULL_BACKENDS = Path(__file__).parents[1] / "data" / "null_backends"
RELEASES = ("24.08", "24.12", "25.05", "25.09", "25.12", "26.03", "26.07")
MODELS = ("preprocessing", "tensorrt_llm", "postprocessing", "ensemble", "tensorrt_llm_bls")
FAST = ServerOptions(disable_auto_complete_config=True)  # one Python process less for each load
SPEC = """
triton: "{release}"
pipelines:
  ensemble:
    use: text_generation
    engine: {engine}
    with: {{instances: {{tensorrt_llm_bls: 1}}}}
"""


@pytest.fixture(scope="module", params=RELEASES)
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder: Path = tmp_path_factory.mktemp("contract")
    spec = folder / "tritonsmith.yaml"
    spec.write_text(SPEC.format(release=request.param, engine=BLUEPRINT.folder / "demo"))
    build_repository(spec, folder / "repository")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(view, "SHIPPED_BACKENDS", NULL_BACKENDS)
        with embedded_server(folder / "repository", FAST) as server, connect(server.grpc_url) as client:
            yield client


def tensor_of(given: ModelInput) -> Tensor:
    """Return the input's smallest value: one row of one."""
    datatype = BY_NUMBER[given.data_type]
    shape = (1, *(max(size, 1) for size in given.dims))
    value = b"What is a backend?" if datatype.numpy == "object" else 1
    return Tensor(given.name, datatype.wire, np.full(shape, value, datatype.numpy))


def required(config: ModelConfig) -> list[Tensor]:
    return [tensor_of(given) for given in config.input if not given.optional]


def answers(client: Client, model: str) -> list[InferResponse]:
    """Return the responses that hold tensors."""
    request = InferRequest(model, required(client.config(model)))
    return [response for response in client.stream([request]) if response.outputs]


@pytest.mark.parametrize("model", MODELS)
def test_a_model_answers_when_only_its_required_inputs_are_given(client: Client, model: str) -> None:
    (answer,) = answers(client, model)
    assert set(answer.outputs) <= {output.name for output in client.config(model).output}
    expected = {"ensemble": "text_output", "tensorrt_llm_bls": "text_output", "tensorrt_llm": "output_ids"}
    assert expected.get(model, next(iter(answer.outputs))) in answer.outputs
