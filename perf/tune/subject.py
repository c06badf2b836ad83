"""What is tuned: the repository that a spec builds into a private folder, or what a running server serves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tritonsmith.backends.client.configs import as_message
from tritonsmith.ensembles.build import plan_build
from tritonsmith.ensembles.pipelines import load_spec
from tritonsmith.generator.repository.core import Model, Repository
from tritonsmith.generator.repository.write import write_repository
from tritonsmith.generator.spec.tune import Tune
from tritonsmith.perf.files import writing
from tritonsmith.perf.served import read_configs
from tritonsmith.perf.target import Target
from tritonsmith.perf.tune.space.variant_files import VariantFiles, variant_files, with_variants

REPOSITORY = Path("built", "model_repository")  # in the folder of a tuning; a build locks the folder around it


@dataclass(frozen=True)
class Subject:
    """A repository as data, with what only a spec says; `folder` is where it lies, where we built it."""

    repository: Repository
    folder: Path | None = None
    wanted: Tune | None = None
    variants: VariantFiles = field(default_factory=dict)


def built_subject(spec: Path, folder: Path, profile: str = "") -> Subject:
    """Build a spec into a tuning's folder, with the files of all variants of its models.

    Raises: SpecError, RepositoryError.
    """
    target, read = folder / REPOSITORY, load_spec(spec, profile)
    repository = with_variants(read, plan_build(spec, target, profile=profile).repository)
    with writing(target.parent):
        target.parent.mkdir(exist_ok=True)
    write_repository(target, repository)
    return Subject(repository, target, read.tune, variant_files(read))


def served_subject(target: Target, model: str) -> Subject:
    """Return what a running server says of a model and of those below it.

    Raises: ServerError.
    """
    configs = {name: as_message(config) for name, config in read_configs(target.control, model).items()}
    return Subject(Repository("", {name: Model(name, config) for name, config in configs.items()}))
