"""YAML that every reader takes alike."""

import pytest
import yaml

from tritonsmith.generator.manifests.yaml_text import to_yaml


@pytest.mark.parametrize(
    "text", ["1e3", "0o17", "0x1F", "y", "N", "1.5", "12", "true", "null", "", "1_000", "2026-11-21"]
)
def test_text_that_a_reader_could_take_for_something_else_is_quoted(text: str) -> None:
    written = to_yaml([{"value": text}])
    assert written in (f"---\nvalue: '{text}'\n", f'---\nvalue: "{text}"\n')
    assert yaml.safe_load(written) == {"value": text}


def test_scripts_are_blocks_lists_lie_below_their_key_and_nothing_is_an_alias() -> None:
    shared = {"a": ["x"]}
    written = to_yaml([{"one": shared, "two": shared, "script": "first\nsecond\n"}])
    assert written == "---\none:\n  a:\n    - x\ntwo:\n  a:\n    - x\nscript: |\n  first\n  second\n"
