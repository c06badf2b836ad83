from collections.abc import Callable
from pathlib import Path

import pytest

from tritonsmith.ensembles.pipelines import load_spec
from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.lower import lower

WriteSpec = Callable[[str], Path]
WriteOnnx = Callable[..., Path]

DIGITS = "use: image_classification, with: {file: model.onnx, labels: labels.txt, side: 2, layout: FLAT, channels: 1}"


def messages(path: Path) -> list[str]:
    return [f"{finding.place.line}: {finding.key}: {finding.message}" for finding in load_spec(path).findings]


@pytest.fixture
def files(write_onnx: WriteOnnx, tmp_path: Path) -> None:
    write_onnx()
    (tmp_path / "labels.txt").write_text("zéro\nün\n二\nтри\n", encoding="utf-8")


@pytest.mark.usefixtures("files")
def test_two_pipelines_of_one_blueprint_live_under_their_names(write_spec: WriteSpec) -> None:
    names = "{preprocessing: q_pre, classifier: q_net, postprocessing: q_post}"
    spec = load_spec(write_spec(f"pipelines:\n  p: {{{DIGITS}}}\n  q: {{{DIGITS}, names: {names}}}\n"))
    roles = ["preprocessing", "classifier", "postprocessing", "p", "q_pre", "q_net", "q_post", "q"]
    models = lower(spec).models
    assert list(models) == roles
    config = models["q"].config
    assert config is not None
    assert [step.model_name for step in config.ensemble_scheduling.step] == roles[4:7]


@pytest.mark.usefixtures("files")
def test_a_profile_that_takes_away_a_step_is_told_by_the_ensemble(write_spec: WriteSpec) -> None:
    path = write_spec(f"pipelines:\n  p: {{{DIGITS}}}\nprofiles:\n  q: {{models: {{classifier: null}}}}\n")
    with pytest.raises(SpecError, match="the step's model 'classifier' is not in the spec"):
        lower(load_spec(path, "q"))


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("p: {use: image_clasification}", "1: pipelines.p.use: there is no blueprint 'image_clasification'. Did you"),
        ("p: {use: image_classification, with: [1]}", "1: pipelines.p.with: expected a mapping, got a list"),
        (
            f"p: {{{DIGITS}, names: {{clasifier: a}}}}",
            "names.clasifier: image_classification makes no 'clasifier'. Did",
        ),
        (
            f"p: {{{DIGITS}, names: {{classifier: p}}}}",
            "names.classifier: 'p' would be two models: classifier and ensem",
        ),
        (
            f"p: {{{DIGITS}, names: {{classifier: z, preprocessing: z}}}}",
            "'z' would be two models: preprocessing and cl",
        ),
        (f"classifier: {{{DIGITS}}}", "'classifier' would be two models: classifier and ensemble"),
        (
            "p: {use: image_classification, with: {fil: x}}",
            "pipelines.p.with.fil: unknown key 'fil'. Did you mean 'file'?",
        ),
    ],
)
@pytest.mark.usefixtures("files")
def test_a_mistake_in_a_pipeline_is_told_with_line_and_key(write_spec: WriteSpec, pipeline: str, message: str) -> None:
    found = messages(write_spec(f"pipelines: {{{pipeline}}}"))
    assert any(message in line for line in found), found


@pytest.mark.usefixtures("files")
def test_names_may_be_swapped(write_spec: WriteSpec) -> None:
    names = "{preprocessing: classifier, classifier: preprocessing}"
    assert not messages(write_spec(f"pipelines: {{p: {{{DIGITS}, names: {names}}}}}"))
