"""TensorRT-LLM's tables: versions, rows that come and go, values of parameters."""

from __future__ import annotations

from collections import Counter

import pytest

from tritonsmith.generator.catalog.releases import RELEASES
from tritonsmith.generator.catalog.tensorrtllm.parameters import (
    PARAMETERS,
    TENSORRT_LLM,
    Kind,
    Parameter,
    parameters_of,
)
from tritonsmith.generator.catalog.tensorrtllm.rows import TENSORS
from tritonsmith.generator.catalog.tensorrtllm.steps import STEPS, map_of
from tritonsmith.generator.catalog.tensorrtllm.tensors import items_of
from tritonsmith.generator.catalog.tensorrtllm.versions import NEWEST, OLDEST, Spanned, Version, parse_version

VERSIONS = sorted({parse_version(release.tensorrt_llm) for release in RELEASES.values() if release.tensorrt_llm})
KNOWN = [version for version in VERSIONS if version >= OLDEST]


def names_of(model: str, side: int, version: Version) -> list[str]:
    return [item["name"] for item in items_of(TENSORS[model][side], version, {})]


@pytest.mark.parametrize(
    ("text", "version"),
    [("0.17.0.post1", (0, 17)), ("1.2.1", (1, 2)), ("1.3.0rc4", (1, 3)), ("", (0, 0)), ("main", (0, 0))],
)
def test_a_version_is_its_major_and_minor_number(text: str, version: Version) -> None:
    assert parse_version(text) == version


def test_a_row_holds_from_since_to_before_until() -> None:
    row = Spanned(since="0.9", until="0.16")
    assert [row.holds_in(version) for version in ((0, 8), (0, 9), (0, 15), (0, 16), (1, 0))] == [0, 1, 1, 0, 0]


def test_every_release_with_an_engine_backend_has_tables() -> None:
    assert KNOWN[-1] == NEWEST
    assert all(names_of("tensorrt_llm", 0, version) for version in KNOWN)


@pytest.mark.parametrize("version", KNOWN)
def test_a_version_has_each_tensor_and_each_parameter_once(version: Version) -> None:
    for model, sides in TENSORS.items():
        for side in range(len(sides)):
            assert set(Counter(names_of(model, side, version)).values()) == {1}, model
        held = [row.name for row in PARAMETERS[model] if row.holds_in(version)]
        assert len(held) == len(set(held)), model


@pytest.mark.parametrize("version", KNOWN)
def test_every_link_joins_tensors_that_the_version_has(version: Version) -> None:
    inside = {name for step in STEPS for name in map_of(step.outputs, version).values()}
    outside = set(names_of("ensemble", 0, version))
    for step in STEPS:
        assert set(map_of(step.inputs, version)) <= set(names_of(step.role, 0, version))
        assert set(map_of(step.outputs, version)) <= set(names_of(step.role, 1, version))
        assert set(map_of(step.inputs, version).values()) <= inside | outside
    read = {name for step in STEPS for name in map_of(step.inputs, version).values()}
    assert outside <= read  # Triton refuses an ensemble's input that nobody reads
    assert set(names_of("ensemble", 1, version)) <= inside


@pytest.mark.parametrize("version", KNOWN)
def test_what_clients_see_of_the_engine_is_the_same_in_ensemble_and_bls(version: Version) -> None:
    assert names_of("ensemble", 1, version) == names_of("tensorrt_llm_bls", 1, version)
    assert set(names_of("ensemble", 0, version)) <= set(names_of("tensorrt_llm_bls", 0, version))


@pytest.mark.parametrize("row", TENSORRT_LLM, ids=lambda row: f"{row.name} since {row.since or 'ever'}")
def test_a_default_is_one_of_the_values(row: Parameter) -> None:
    assert not row.default or row.normalised(row.default) == row.default
    assert row.default or not row.is_written


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("bool", "True", "true"),
        ("bool", "yes", None),
        ("bool", "1", None),
        ("int", " 4 ", "4"),
        ("int", "4.0", None),
        ("int", "-1", None),
        ("fraction", "0.95", "0.95"),
        ("fraction", ".5", ".5"),
        ("fraction", "1.0", "1.0"),
        ("fraction", "1.01", None),
        ("ints", "8, 4", "8,4"),
        ("ints", "8;4", None),
        ("groups", "0,1;2,3", "0,1;2,3"),
        ("groups", "0,1;", None),
        ("tree", "{0, 0, 0}, {0, 1}", "{0, 0, 0}, {0, 1}"),
        ("tree", "[0]", None),
        ("path", "/x y", "/x y"),
        ("path", " ", None),
    ],
)
def test_values_are_read_as_the_backend_reads_them(kind: Kind, text: str, value: str | None) -> None:
    assert Parameter(name="x", kind=kind).normalised(text) == value


def test_a_choice_is_taken_letter_by_letter() -> None:
    policy = parameters_of(TENSORRT_LLM, NEWEST)["batch_scheduler_policy"]
    assert policy.normalised("max_utilization") == "max_utilization"
    assert policy.normalised("MAX_UTILIZATION") is None
    assert policy.form == "one of guaranteed_no_evict, max_utilization"
