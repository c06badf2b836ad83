from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import yaml

from tests.generator.manifests.kubernetes.shapes import SHAPES, chat, model, workload
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.inspect.engine import BuildOptions
from tritonsmith.generator.manifests.kubernetes.core import pod_labels, serving_labels
from tritonsmith.generator.manifests.kubernetes.picker import SMALLEST_BLOCK, picker_config, pickers
from tritonsmith.generator.manifests.kubernetes.pod import container
from tritonsmith.generator.manifests.kubernetes.routing import inference_pools, routes
from tritonsmith.generator.manifests.kubernetes.services import services
from tritonsmith.generator.manifests.kv_cache import KvCache, kv_caches
from tritonsmith.generator.manifests.workload import Workload, plan_workload
from tritonsmith.generator.repository.core import Content, Repository


def routed(shape: str, way: str) -> dict[str, dict[str, Any]]:
    """Return the backend of each path that the gateway lets in."""
    (route,) = routes(workload(shape, way))
    rules = route["spec"]["rules"]
    return {match["path"]["value"]: rule["backendRefs"][0] for rule in rules for match in rule["matches"]}


def of_kind(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [document for document in objects if document["kind"] == kind]
    return found


def repository(reuse: str, **files: bytes) -> Repository:
    models = {found.name: found for found in chat(1, reuse)}
    contents = {path: Content(data) for path, data in files.items()}
    models["tensorrt_llm"] = type(models["tensorrt_llm"])("tensorrt_llm", models["tensorrt_llm"].config, contents)
    deploy = {"gateway": "public", "openai": True, "image": "registry.example/s:1"}
    return Repository("chat", models, settings={"triton": "25.05", "deploy": deploy, "hardware": {"gpu": "L4"}})


def test_a_route_s_backends_are_ports_of_the_service_and_what_speaks_grpc_says_so() -> None:
    service = of_kind(services(workload("one gpu", "gateway"))[:1], "Service")
    ports = {port["port"]: port for port in service["spec"]["ports"]}
    backends = routed("one gpu", "gateway")
    assert {backend["name"] for backend in backends.values()} == {service["metadata"]["name"]}
    assert {backend["port"] for backend in backends.values()} <= ports.keys()
    infer = backends["/inference.GRPCInferenceService/ModelInfer"]
    assert ports[infer["port"]]["appProtocol"] == "kubernetes.io/h2c"


def lets_in(documents: list[dict[str, Any]], method: str, path: str) -> bool:
    """Whether a request meets a rule of any route."""
    rules = [rule for document in documents for rule in document["spec"]["rules"]]
    return any(_meets(match, method, path) for rule in rules for match in rule["matches"])


def _meets(match: dict[str, Any], method: str, path: str) -> bool:
    kind, value = match["path"]["type"], match["path"]["value"]
    is_met = path == value or (kind == "PathPrefix" and path.startswith(f"{value}/"))
    return is_met and match.get("method", method) == method


INSIDE = ["/v2/repository/index", "/v2/logging", "/v2/systemsharedmemory/status", "/metrics", "/v1/x", "/"]
UNLOAD = "/inference.GRPCInferenceService/RepositoryModelUnload"
TRACE = "/inference.GRPCInferenceService/TraceSetting"


@pytest.mark.parametrize(("method", "path"), [*product(("GET", "POST"), INSIDE), ("POST", UNLOAD), ("POST", TRACE)])
def test_what_changes_the_server_is_not_let_in(method: str, path: str) -> None:
    assert not lets_in(routes(workload("one gpu", "gateway and openai")), method, path)


# what Triton answers below a model. Source: server: src/http_server.cc (model_regex_)
BELOW = ["", "/infer", "/generate", "/generate_stream", "/ready", "/config", "/stats", "/trace/setting"]


@pytest.mark.parametrize("below", BELOW)
@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_of_a_model_everything_is_read_and_only_requests_are_posted(version: str, below: str) -> None:
    found = routes(workload("one gpu", "gateway"))
    path = f"/v2/models/tensorrt_llm{version}{below}"
    assert lets_in(found, "GET", path)
    assert lets_in(found, "POST", path) == (not version and below in ("/infer", "/generate", "/generate_stream"))
    assert not lets_in(found, "POST", path.replace("tensorrt_llm", "unknown"))


def test_routes_of_many_models_hold_what_a_route_can_hold() -> None:
    many = tuple(f"m{number}" for number in range(50))
    chosen = workload("one gpu", "gateway and openai")
    found = routes(replace(chosen, needs=replace(chosen.needs, models=many)))
    for document in found:
        counts = [len(rule["matches"]) for rule in document["spec"]["rules"]]
        assert max(counts) <= 64
        assert sum(counts) <= 128
    assert len({document["metadata"]["name"] for document in found}) == len(found) > 1
    assert all(lets_in(found, "POST", f"/v2/models/{name}/infer") for name in many)


def test_answers_may_take_as_long_as_they_do() -> None:
    (route,) = routes(workload("one gpu", "gateway and openai"))
    assert {rule["timeouts"]["request"] for rule in route["spec"]["rules"]} == {"0s"}


def test_a_gateway_of_another_namespace_is_named_with_it() -> None:
    (route,) = routes(workload("one gpu", "gateway"))
    assert route["spec"]["parentRefs"] == [{"name": "public", "namespace": "infra"}]


@pytest.mark.parametrize("shape", SHAPES)
def test_without_openai_s_api_nothing_is_routed_by_prefix(shape: str) -> None:
    plain = workload(shape, "gateway")
    assert not inference_pools(plain)
    assert not pickers(plain)
    assert "/v1/chat/completions" not in routed(shape, "gateway")


def test_prompts_go_to_a_pool_of_the_pods_that_answer() -> None:
    chosen = workload("tp4", "gateway and openai")
    (pool,) = inference_pools(chosen)
    prompts = routed("tp4", "gateway and openai")["/v1/chat/completions"]
    assert (prompts["kind"], prompts["name"]) == ("InferencePool", pool["metadata"]["name"])
    assert pool["spec"]["selector"]["matchLabels"] == serving_labels(chosen)
    ports = {port["containerPort"] for port in container(chosen)["ports"]}
    assert {port["number"] for port in pool["spec"]["targetPorts"]} <= ports
    service = of_kind(pickers(chosen), "Service")
    reference = pool["spec"]["endpointPickerRef"]
    assert reference["name"] == service["metadata"]["name"]
    assert reference["port"]["number"] == service["spec"]["ports"][0]["port"]


def test_the_picker_reads_the_engine_s_metrics_where_the_pods_answer_them() -> None:
    chosen = workload("one gpu", "gateway and openai")
    written = yaml.safe_load(of_kind(pickers(chosen), "ConfigMap")["data"]["picker.yaml"])
    plugins = {plugin["type"]: plugin.get("parameters", {}) for plugin in written["plugins"]}
    named = {port["name"]: port["containerPort"] for port in container(chosen)["ports"]}
    assert plugins["metrics-data-source"]["port"] == named[chosen.metrics_port]
    assert plugins["core-metrics-extractor"] == {"defaultEngine": "triton-tensorrt-llm"}
    (profile,) = written["schedulingProfiles"]
    assert {plugin["pluginRef"] for plugin in profile["plugins"]} < plugins.keys()


def test_the_picker_s_pods_are_none_of_the_servers() -> None:
    chosen = workload("one gpu", "gateway and openai")
    deployment = of_kind(pickers(chosen), "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert not pod_labels(chosen).items() <= labels.items()
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
    assert of_kind(pickers(chosen), "RoleBinding")["subjects"][0]["name"] == account


def blocks(tokens: int) -> int:
    caches = (KvCache("tensorrt_llm", "enable_kv_cache_reuse", True, tokens),)
    chosen = workload("one gpu", "gateway and openai")
    sized = Workload(**{**vars(chosen), "needs": type(chosen.needs)(**{**vars(chosen.needs), "kv_caches": caches})})
    (producer,) = [one for one in picker_config(sized)["plugins"] if one["type"].startswith("approx")]
    return int(producer["parameters"]["blockSizeTokens"])


def test_the_picker_s_blocks_are_the_engine_s_and_never_below_what_it_takes() -> None:
    assert [blocks(tokens) for tokens in (0, 32, 64, 128)] == [SMALLEST_BLOCK, SMALLEST_BLOCK, 64, 128]
    assert BuildOptions().tokens_per_block == 0, "0 stands for a size that is not known"


def test_an_engine_that_reuses_nothing_is_not_routed_by_prefix() -> None:
    with pytest.raises(RepositoryError, match=r"tensorrt_llm: enable_kv_cache_reuse is off"):
        inference_pools(plan_workload(repository("false")))


def test_reuse_is_what_the_release_has_by_default_where_nothing_is_said() -> None:
    (engine,) = [found for found in chat(1) if found.name == "tensorrt_llm"]
    assert engine.config is not None
    del engine.config.parameters["enable_kv_cache_reuse"]
    found = {}
    for release in ("24.10", "26.07"):
        (cache,) = kv_caches(Repository("chat", {"tensorrt_llm": engine}, settings={"triton": release}))
        found[release] = cache.is_reused
    assert found == {"24.10": False, "26.07": True}


def test_the_llm_api_s_cache_is_what_model_yaml_says() -> None:
    text = b"model: m\ntriton_config: {}\nkv_cache_config: {enable_block_reuse: false, tokens_per_block: 64}\n"
    chosen = model('name: "chat" backend: "python"', **{"1_model.yaml": text})
    (cache,) = kv_caches(Repository("chat", {"chat": chosen}, settings={"triton": "26.07"}))
    assert (cache.is_reused, cache.tokens_per_block) == (False, 64)
