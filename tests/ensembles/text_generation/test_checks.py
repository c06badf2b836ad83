"""What the blueprint writes, before the checks of any repository."""

from collections.abc import Callable
from typing import Any

import pytest

from tritonsmith.generator.catalog.releases import RELEASES
from tritonsmith.generator.checks import Case, Target, check_repository
from tritonsmith.generator.findings import Severity
from tritonsmith.generator.lower import lower

SERVED = [name for name, row in RELEASES.items() if name >= "24.08" and row.tensorrt_llm]
ENGINES = ["llama-0.16.0", "llama-0.16.0-paged-fmha", "llama-0.16.0-beam4", "llama-0.16.0-medusa", "llama-0.16.0-lora"]


def told(read: Callable[..., Any], engine: str, release: str, **given: Any) -> list[tuple[str, str]]:
    changes = {"version": RELEASES[release].tensorrt_llm}
    repository = lower(read(engine, release, changes=changes, **given))
    found = check_repository(Case(repository, Target.of(repository)))
    ours = [finding for finding in found if finding.code.startswith(("TL", "TS7"))]
    return [(finding.code, finding.place.file) for finding in ours if finding.severity is not Severity.NOTE]


@pytest.mark.parametrize("release", SERVED)
@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_is_said_of_an_engine_of_the_release(read: Callable[..., Any], engine: str, release: str) -> None:
    assert told(read, engine, release) == []


@pytest.mark.parametrize(
    ("code", "given"),
    [
        ("TL005", {"max_queue_delay_microseconds": 100}),
        ("TL003", {"parameters": {"gpt_model_type": "V1"}}),
        ("TL022", {"parameters": {"kv_cache_host_memory_bytes": "1000"}}),
        ("TL011", {"hardware": {"gpu": "A100"}}),
    ],
)
def test_what_the_spec_is_told_is_told_once_and_at_its_place(
    read: Callable[..., Any], code: str, given: dict[str, Any]
) -> None:
    ((said, file),) = told(read, "llama-0.16.0", "24.12", **given)
    assert said == code and file.endswith("tritonsmith.yaml")


@pytest.mark.parametrize("release", SERVED)
def test_what_the_backend_asks_for_is_written_be_it_empty(read: Callable[..., Any], release: str) -> None:
    changes = {"version": RELEASES[release].tensorrt_llm}
    config = lower(read("llama-0.16.0", release, changes=changes)).models["tensorrt_llm"].config
    assert config is not None
    names = {"tokenizer_dir", "xgrammar_tokenizer_info_path", "guided_decoding_backend"}
    assert names & set(config.parameters) == (names if release >= "25.05" else set())
