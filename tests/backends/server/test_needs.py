from __future__ import annotations

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.server.needs import DEFAULT_CACHE_BYTES, with_needs
from tritonsmith.generator.manifests.server import ServerOptions

CACHED = text_format.Parse("response_cache { enable: true }", ModelConfig())
RESOURCES = 'resources { name: "R1" count: 3 } resources { name: "R2" count: 1 }'
LIMITED = text_format.Parse(f"instance_group {{ rate_limiter {{ {RESOURCES} }} }}", ModelConfig())
PLAIN = ModelConfig()


def test_nothing_is_added_for_models_that_need_nothing() -> None:
    assert with_needs(ServerOptions(), {"m": PLAIN, "unreadable": None}) == (ServerOptions(), [])


def test_a_cached_model_gets_a_cache_unless_one_is_open() -> None:
    options, lines = with_needs(ServerOptions(), {"m": CACHED})
    assert options.response_cache_byte_size == DEFAULT_CACHE_BYTES
    assert lines == ["a response cache of 64 MiB was opened for m"]
    own = ServerOptions(cache_config={"redis": {"host": "h"}})
    assert with_needs(own, {"m": CACHED}) == (own, [])


def test_a_rate_limiter_is_switched_on_unless_it_was_switched_off() -> None:
    options, lines = with_needs(ServerOptions(), {"m": LIMITED})
    assert (options.rate_limit, options.rate_limit_resources) == ("execution_count", {})  # the server takes the most
    assert lines == ["the rate limiter was switched on for m"]
    off = ServerOptions(rate_limit="off")
    assert with_needs(off, {"m": LIMITED}) == (off, [])


def test_resources_that_the_options_forget_are_listed_or_nothing_would_run() -> None:
    given = ServerOptions(rate_limit="execution_count", rate_limit_resources={"R1": 8})
    options, lines = with_needs(given, {"m": LIMITED})
    assert options.rate_limit_resources == {"R1": 8, "R2": 1}
    assert lines == ["rate limiter resource R2 was set to 1, the most one instance asks for"]
