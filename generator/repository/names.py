"""Names of models and files that every file system, object store and HTTP route takes as they are."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.repository.core import Model, Repository

CONFIG_FILE = "config.pbtxt"
LOCK_FILE = "tritonsmith.lock"  # at the repository's root, where Triton looks at folders alone
# Triton does not percent-decode its routes, and starts Python models through a shell string
# (reference: core's rule 11, python_backend: stub_launcher.cc).
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
NEWEST_VERSION = 2**63 - 1  # Triton reads a version folder's name with std::stoll (core: filesystem/api.h)
_VERSION = re.compile(r"0|[1-9][0-9]{0,18}")
_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)")
_NO_VERSIONS = frozenset({"warmup", "initial_state", "configs"})  # Source: core: constants.h


def is_plain_name(name: str) -> bool:
    """Whether a name has only letters, digits, `_`, `.`, `-`, and climbs nowhere."""
    return _NAME.fullmatch(name) is not None and name not in (".", "..")


def is_model_name(name: str) -> bool:
    """Whether a name may be a model's: plain, not hidden by a leading dot, and without `..` anywhere.

    Source: core#472, by which Triton refuses `..` since 26.03.
    """
    return is_plain_name(name) and not name.startswith(".") and ".." not in name and name != LOCK_FILE


def is_version_folder(name: str) -> bool:
    """Whether a folder of this name in a model's folder holds a version that Triton can load.

    What else Triton takes for a version, `taken_version` says.
    """
    return _VERSION.fullmatch(name) is not None and int(name) <= NEWEST_VERSION


def taken_version(name: str) -> int | None:
    """Return the version that Triton takes a model's folder for by its name; None where it passes over the folder.

    1abc, +1 and 1.5 are version 1, whose files it then looks for in 1/. Beyond the greatest version it ends at once.

    Source: core: model_lifecycle.cc (VersionsToLoad, with std::stoll).
    """
    if name.isascii() and name.isdigit():
        return int(name) if name[0] != "0" or len(name) == 1 else None
    found = _NUMBER.match(name)
    return int(found[1]) if found and name not in _NO_VERSIONS and name[0] != "0" else None


def versions_in(paths: Iterable[str]) -> list[int]:
    """Return the versions whose folders are called like them, in ascending order, from paths of folders and files."""
    tops = {path.partition("/")[0] for path in paths}
    return sorted(int(top) for top in tops if is_version_folder(top))


def top_folders(model: Model) -> set[str]:
    """Return the folders that lie directly in a model's, also empty ones."""
    return {path.partition("/")[0] for path in (*model.folders, *(path for path in model.files if "/" in path))}


def versions_of(model: Model) -> list[int]:
    """Return the versions that Triton sees in a model's folder, in ascending order; also where they are empty."""
    taken = {taken_version(folder) for folder in top_folders(model)}
    return sorted(version for version in taken if version is not None and abs(version) <= NEWEST_VERSION)


def served_versions(config: ModelConfig, versions: list[int]) -> list[int]:
    """Return which of a model's versions, in ascending order, its version policy has loaded: without one, the latest.

    Source: core: model_lifecycle.cc (VersionsToLoad); a policy that names none of its three loads all.
    """
    policy = config.version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "specific":
        return [version for version in versions if version in policy.specific.versions]
    if choice == "latest" or not config.HasField("version_policy"):
        count = policy.latest.num_versions if choice == "latest" else 1
        return versions[-count:] if count else []
    return versions


def check_models(repository: Repository) -> None:
    """Refuse names that climb out of the repository or that Triton cannot serve, and models that were not understood.

    Raises: RepositoryError with everything that is wrong.
    """
    unread = [str(finding) for model in repository.models.values() if not model.config for finding in model.findings]
    if unread:
        raise RepositoryError("\n".join(unread), where=repository.name)
    wrong = [*_wrong_models(repository), *_wrong_files(repository)]
    if wrong:
        raise RepositoryError(
            "\n".join(wrong),
            where=repository.name,
            hint="names have only letters, digits, '_', '.' and '-'; paths stay in the model's folder",
        )


def _wrong_models(repository: Repository) -> Iterable[str]:
    for name in repository.models:
        if not is_model_name(name):
            yield f"'{name}' cannot be a model's name"


def _wrong_files(repository: Repository) -> Iterable[str]:
    for path in repository.files:
        if not is_plain_name(path) or path == LOCK_FILE or path in repository.models:
            yield f"'{path}' cannot be a file at the repository's root"
    for model in repository.models.values():
        for path in (*model.files, *model.folders):
            if not all(map(is_plain_name, path.split("/"))):
                yield f"'{path}' cannot be a file's path in model '{model.name}'"
            elif path == CONFIG_FILE:
                yield f"model '{model.name}' has '{CONFIG_FILE}' among its files; it is written from its configuration"
        for path in model.files:
            folder = path.rpartition("/")[0]
            while folder:
                if folder in model.files or folder == CONFIG_FILE:
                    yield f"'{folder}' is both a file and a folder in model '{model.name}'"
                folder = folder.rpartition("/")[0]
