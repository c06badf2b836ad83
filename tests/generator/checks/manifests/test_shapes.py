"""Whatever a manifest holds in the place of what belongs there, it is judged to the end."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tritonsmith.generator.findings import Finding

SOUND = Path(__file__).parent / "sound"
ODD: tuple[Any, ...] = (None, "x", -1, [], {}, [None], [["x"]], {"x": None}, "${X}", "1e999", [{"name": 1}])


def paths(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value below a node."""
    below = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in below:
        yield (*path, key)
        yield from paths(value, (*path, key))


def with_odd(documents: Any, path: tuple[Any, ...], odd: Any) -> Any:
    """Return documents with one value in the place of another."""
    changed = copy.deepcopy(documents)
    node = changed
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = odd
    return changed


@pytest.mark.parametrize("name", sorted(path.name for path in SOUND.iterdir()))
def test_no_value_of_another_shape_stops_a_check(judge_manifests: Callable[..., list[Finding]], name: str) -> None:
    documents = list(yaml.safe_load_all((SOUND / name).read_text()))
    places = list(paths(documents))
    assert len(places) > 200
    for number, path in enumerate(places[::4]):
        odd = ODD[number % len(ODD)]
        judge_manifests({name: yaml.safe_dump_all(with_odd(documents, path, odd))})
