"""How `sharing:` is written, and what of it is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tritonsmith.generator.spec.locked import are_settings
from tritonsmith.generator.spec.read import read_spec
from tritonsmith.generator.spec.sharing import Sharing

MODELS = "models: {m: {backend: identity}}\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def written(text: str) -> Path:
        path = tmp_path / "tritonsmith.yaml"
        path.write_text(MODELS + text)
        return path

    return written


@pytest.mark.parametrize(
    ("text", "sharing"),
    [
        ("", Sharing()),
        ("sharing:", Sharing()),
        ("sharing: none", Sharing()),
        ("sharing: instances", Sharing(mode="instances")),
        ("sharing: mps", Sharing(mode="mps")),
        ("sharing: {mode: mps, replicas: 4}", Sharing(mode="mps", replicas=4)),
        ("sharing: {mode: time-slicing, replicas: 10}", Sharing(mode="time-slicing", replicas=10)),
        ("sharing: mig:1g.10gb", Sharing(mode="mig", profile="1g.10gb")),
        ("sharing: {mode: mig:1g.24gb+me.all}", Sharing(mode="mig", profile="1g.24gb+me.all")),
        ("sharing: {mode: mig, profile: 1g.24gb-me}", Sharing(mode="mig", profile="1g.24gb-me")),
    ],
)
def test_a_mode_is_a_word_or_a_mapping(write: Callable[[str], Path], text: str, sharing: Sharing) -> None:
    spec = read_spec(write(text))
    assert spec.sharing == sharing
    assert spec.findings == ()
    assert are_settings({"sharing": spec.sharing.model_dump(mode="json", exclude_defaults=True)})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sharing: mig", "mig needs the slice's name"),
        ("sharing: mps:4", "the number of servers stands apart: sharing: {mode: mps, replicas: 4}"),
        ("sharing: mig:10gb", "string should match pattern"),
        ("sharing: mig:1g.10gbx", "string should match pattern"),
        ("sharing: {mode: mps, profile: 1g.10gb}", "profile names a MIG slice, and the mode is mps"),
        ("sharing: {replicas: 2}", "replicas belongs to mps and time-slicing, not to none"),
        ("sharing: {mode: instances, replicas: 2}", "not to instances: it has no shares"),
        ("sharing: {mode: mig:1g.10gb, replicas: 2}", "not to mig: a slice's name says how many a GPU has"),
        ("sharing: {mode: mps, replicas: 1}", "greater than or equal to 2"),
        ("sharing: {mode: mps, replicas: 49}", "a GPU has at most 48 clients by MPS, not 49"),
    ],
)
def test_what_cannot_be_shared_so_is_refused(write: Callable[[str], Path], text: str, message: str) -> None:
    (finding,) = read_spec(write(text)).findings
    assert message in finding.message
    assert finding.key.startswith("sharing")
    assert finding.place.line == 2


def test_a_profile_may_share_otherwise(write: Callable[[str], Path]) -> None:
    path = write("sharing: {mode: mps, replicas: 4}\nprofiles: {a100: {sharing: mig:1g.10gb}, own: {sharing: none}}")
    assert str(read_spec(path, profile="a100").sharing) == "mig:1g.10gb"
    assert str(read_spec(path, profile="own").sharing) == "none"
    assert str(read_spec(path).sharing) == "mps of 4"


def test_locks_with_a_sharing_that_is_none_are_not_believed() -> None:
    assert not are_settings({"sharing": {"mode": "mps", "replicas": 1}})
