import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from tests.generator.manifests.kubernetes.embedded import embedded
from tests.generator.manifests.kubernetes.kustomized import documents
from tests.generator.manifests.kubernetes.shapes import files_of
from tests.generator.manifests.kubernetes.validation import documents_within
from tritonsmith.generator.manifests.kubernetes.schemas import FOLDER, KINDS, schema_of
from tritonsmith.generator.manifests.kubernetes.schemas.faults import faults

WAYS = [("tp8 on two nodes", "keda"), ("one gpu", "gateway and openai"), ("mig slice", "kserve")]
WORDS = {
    *("type", "properties", "required", "additionalProperties", "minProperties", "items", "minItems", "maxItems"),
    *("minLength", "minimum", "maximum", "pattern", "enum", "const", "anyOf", "x-is", "x-of", "$schema", "$comment"),
}


@pytest.fixture(scope="module")
def written() -> dict[tuple[str, str], dict[str, Any]]:
    """Return a document of each kind that has a schema and is written."""
    files = [text for way in WAYS for path, text in files_of(*way).items() if path.endswith(".yaml")]
    found = [one for text in files for one in documents(text) if "kind" in one]
    found += [dict(one) for document in found for one in documents_within(document)]
    return {(one["apiVersion"], one["kind"]): one for one in found if (one["apiVersion"], one["kind"]) in KINDS}


def places(part: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


def broken(document: dict[str, Any], choose: random.Random) -> dict[str, Any]:
    """Return the document with one thing wrong somewhere, or not wrong at all."""
    changed = copy.deepcopy(document)
    *above, last = choose.choice([path for path in places(changed) if path])
    parent = changed
    for key in above:
        parent = parent[key]  # type: ignore[index]
    value: Any = choose.choice([None, True, -1, 0, 70000, 1.5, "", "X y", [], {}, {"stray": 1}, "delete", "misspell"])
    if value == "delete":
        del parent[last]  # type: ignore[arg-type]
    elif value == "misspell" and isinstance(parent, dict):
        parent[f"{last}x"] = parent.pop(last)  # type: ignore[arg-type]
    else:
        parent[last] = value  # type: ignore[index]
    return changed


def test_every_kind_but_the_routes_that_are_not_ours_is_written(written: dict[tuple[str, str], Any]) -> None:
    assert {kind for _, kind in KINDS} - {kind for _, kind in written} == {"GRPCRoute"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_says_where_it_is_from_and_uses_words_that_are_read(kind: tuple[str, str]) -> None:
    schema = schema_of(*kind)
    assert schema is not None
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$comment"].startswith("Source: ")

    def words(part: Any, *, is_schema: bool = True) -> Iterator[str]:
        for key, value in part.items() if isinstance(part, dict) else ():
            yield from (key,) if is_schema else ()
            yield from words(value, is_schema=not is_schema or key != "properties")
        for item in part if isinstance(part, list) else ():
            yield from words(item)

    assert set(words(dict(schema))) <= WORDS


def test_what_our_schemas_refuse_a_validator_of_json_schema_refuses_and_no_more(
    written: dict[tuple[str, str], dict[str, Any]],
) -> None:
    choose, refused, seen = random.Random(6), 0, 0
    for kind, document in written.items():
        schema = schema_of(*kind)
        assert schema is not None
        validator = jsonschema.Draft202012Validator(schema)
        assert not list(faults(document, schema))
        for _ in range(150):
            changed = broken(document, choose)
            is_refused = not validator.is_valid(changed)
            assert bool(list(faults(changed, schema))) == is_refused, json.dumps(changed)
            refused, seen = refused + is_refused, seen + 1
    assert 0.3 < refused / seen < 0.95


def test_pods_within_other_kinds_are_found(written: dict[tuple[str, str], dict[str, Any]]) -> None:
    found = {}
    for kind, document in written.items():
        schema = schema_of(*kind)
        assert schema is not None
        found[kind[1]] = [(place, part["kind"]) for place, part in embedded(document, schema)]
    assert found["LeaderWorkerSet"] == [
        ("spec.leaderWorkerTemplate.leaderTemplate", "PodTemplate"),
        ("spec.leaderWorkerTemplate.workerTemplate", "PodTemplate"),
    ]
    assert found["ServingRuntime"] == [("spec", "Pod")]
    assert ("spec.predictor", "Pod") in found["InferenceService"]
    assert not found["PrometheusRule"]


def test_every_schema_file_is_a_kind_s() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {*KINDS.values(), "shared"}
