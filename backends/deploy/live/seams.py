"""Where a step and the ensemble of it cannot change without requests that fail: the tensors between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.deploy.live.core import Running
from tritonsmith.generator.errors import RepositoryError


@dataclass(frozen=True)
class Seam:
    """A tensor that a running ensemble maps, and that its step will not have any more as it was."""

    ensemble: str
    step: str
    tensor: str
    kind: str  # "input" or "output"


def require_wiring(changed: Mapping[str, ModelConfig], running: Mapping[str, Running], *, is_forced: bool) -> None:
    """Refuse a change of a step's tensor that a running ensemble maps.

    Triton switches to a new step as soon as it is loaded, also in a load of the ensemble; the old ensemble is then
    unloaded, and its requests fail until the new one is there, or for ever (2.51, tried under load).

    Raises: RepositoryError; where the ensemble changes too, only unless forced.
    """
    for seam in seams(changed, running):
        is_together = seam.ensemble in changed
        if is_together and is_forced:
            continue
        after = " until the new one is there" if is_together else ""
        raise RepositoryError(
            f"'{seam.ensemble}', which runs, maps the {seam.kind} '{seam.tensor}' of '{seam.step}', which the new one "
            f"has not as it was: Triton would unload it{after}",
            where=seam.step,
            hint="give the changed step another name, beside the old one"
            + ("; or --force, if requests may fail meanwhile" if is_together else f", or change '{seam.ensemble}' too"),
        )


def seams(changed: Mapping[str, ModelConfig], running: Mapping[str, Running]) -> Iterator[Seam]:
    """Yield the tensors of changed steps that running ensembles map and that are gone, or of another type or shape."""
    for name, found in running.items():
        for step in found.config.ensemble_scheduling.step if found.config is not None and found.ready else ():
            new, old = changed.get(step.model_name), running.get(step.model_name)
            if new is None or old is None or old.config is None:
                continue
            for kind, mapped in (("input", step.input_map), ("output", step.output_map)):
                for tensor in _lost(mapped, getattr(new, kind), getattr(old.config, kind)):
                    yield Seam(name, step.model_name, tensor, kind)


def _lost(mapped: Mapping[str, str], new: Sequence[Any], old: Sequence[Any]) -> Iterator[str]:
    """Yield the mapped tensors that are gone or differ; of a configuration that names none, the server knows more."""
    before, after = ({tensor.name: tensor for tensor in some} for some in (old, new))
    for name in sorted(mapped) if after else ():
        if name not in after or (name in before and not _is_like(before[name], after[name])):
            yield name


def _is_like(old: Any, new: Any) -> bool:
    return (
        bool(old.data_type == new.data_type)
        and len(old.dims) == len(new.dims)
        and all(one == other or -1 in (one, other) for one, other in zip(old.dims, new.dims, strict=True))
    )
