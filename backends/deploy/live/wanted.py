"""What the repository says of each model, as far as the server that it goes to can take it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.deploy.live.core import Content, Wanted
from tritonsmith.backends.server.adapt import Host, fit_to_host, load_order, refusal, without_newer_fields
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.repository.core import Model, Repository, SourceFile
from tritonsmith.generator.repository.hashes import HashCache
from tritonsmith.generator.repository.names import check_models, versions_of
from tritonsmith.generator.repository.pbtxt import render_config


def read_wanted(repository: Repository, host: Host | None) -> dict[str, Wanted]:
    """Return the models in the order in which they are loaded; `host` where the server is an embedded one.

    Raises: RepositoryError where the repository cannot be served at all, everything that is wrong at once.
    """
    check_models(repository)
    calls = {name: tuple(called) for name, called in repository.settings.get("calls", {}).items()}
    hashes = HashCache()
    order = load_order({name: model.config for name, model in repository.models.items()}, calls)
    found = {name: _wanted(repository.models[name], calls.get(name, ()), host, hashes) for name in order}
    hashes.save()
    return found


def content_of(config: ModelConfig | None, model: Model, hashes: HashCache) -> Content:
    """Return what a model's folder holds, `config` in the place of its own."""
    digests = {path: _sha256(model.name, source, hashes) for path, source in _paths(model).items()}
    return _content(config, digests, versions_of(model))


def _content(config: ModelConfig | None, digests: Mapping[str, str], numbers: Iterable[int]) -> Content:
    versions = {version: _digest_of(digests, f"{version}/") for version in numbers}
    prefixes = tuple(f"{version}/" for version in versions)
    rest = {path: digest for path, digest in digests.items() if not (prefixes and path.startswith(prefixes))}
    return Content(config, versions, _digest_of(rest, ""))


def require_unchanged(model: Wanted) -> None:
    """Refuse a model whose files are not those that were read: what was copied meanwhile may be a mixture.

    Raises: RepositoryError.
    """
    hashes = HashCache()
    digests = {path: _sha256(model.name, source, hashes) for path, source in model.files.items()}
    found = _content(model.content.config, digests, list(model.content.versions))
    if found != model.content:
        hint = "deploy again once nobody writes into the repository"
        raise RepositoryError("its files changed while they were copied", where=model.name, hint=hint)


def mark_of(content: Content) -> str:
    """Return a short digest of all that a model is made of."""
    digest = hashlib.sha256(content.config.SerializeToString(deterministic=True) if content.config else b"")
    for version, inner in sorted(content.versions.items()):
        digest.update(f"{version} {inner}\n".encode())
    digest.update(content.rest.encode())
    return digest.hexdigest()[:16]


def _wanted(model: Model, calls: tuple[str, ...], host: Host | None, hashes: HashCache) -> Wanted:
    _require_whole(model)
    config, changes = _fitted(model, host)
    text = model.text
    if changes and config is not None:
        text = render_config(config)
    notices = tuple(f"{model.name}: {change}" for change in changes)
    return Wanted(model.name, content_of(config, model, hashes), _paths(model), text, calls, notices)


def _require_whole(model: Model) -> None:
    if model.faults:
        said = ", ".join(f"{path or 'its folder'} is {fault}" for path, fault in model.faults.items())
        raise RepositoryError(said, where=model.name, hint="what cannot be read cannot be brought to a server")
    if not versions_of(model):
        raise RepositoryError("it has no version folder", where=model.name, hint="put the model's file into 1/")


def _fitted(model: Model, host: Host | None) -> tuple[ModelConfig | None, list[str]]:
    if model.config is None or host is None:
        return model.config, []
    older, left_out = without_newer_fields(model.config, host.release)
    if reason := refusal(model, host):
        raise RepositoryError(reason, where=model.name)
    fitted, changes = fit_to_host(older, host)
    return fitted, [*(f"{path} left out (newer than the server, {host.release})" for path in left_out), *changes]


def _paths(model: Model) -> dict[str, Path]:
    return {path: file.path for path, file in model.files.items() if isinstance(file, SourceFile)}


def _sha256(model: str, source: Path, hashes: HashCache) -> str:
    try:
        return hashes.sha256(str(source), source.stat())
    except OSError as problem:
        raise RepositoryError(f"cannot read {source}: {problem.strerror}", where=model) from None


def _digest_of(digests: Mapping[str, str], prefix: str) -> str:
    lines: Iterable[str] = sorted(
        f"{path.removeprefix(prefix)} {digest}\n" for path, digest in digests.items() if path.startswith(prefix)
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()
