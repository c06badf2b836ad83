from __future__ import annotations

from tritonsmith.backends.server.loading import startable

NEEDED = {"a": (), "b": ("a",), "c": ("a", "absent"), "d": ("b", "c"), "x": ("y",), "y": ("x",)}


def test_a_model_waits_for_those_that_it_needs() -> None:
    assert startable(["a", "b", "c", "d"], [], NEEDED) == ["a"]
    assert startable(["b", "c", "d"], ["a"], NEEDED) == []
    assert startable(["b", "c", "d"], [], NEEDED) == ["b", "c"]
    assert startable(["d"], ["c"], NEEDED) == []


def test_models_that_wait_for_each_other_are_tried_all_the_same() -> None:
    assert startable(["x", "y"], [], NEEDED) == ["x"]
    assert startable(["x", "y"], ["a"], NEEDED) == []
    assert startable([], [], NEEDED) == []
