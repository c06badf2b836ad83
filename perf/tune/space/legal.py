"""Which combinations are configurations at all: what Triton would refuse, or what would be another model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.checks import Case, Target, check_repository
from tritonsmith.generator.findings import Finding, Severity
from tritonsmith.generator.repository.core import Repository
from tritonsmith.perf.document import Scalar
from tritonsmith.perf.variants import changed_configs, split_field


@dataclass(frozen=True)
class Judge:
    """Judges variants of a repository's configurations, by `check`'s rules and a few of tuning's own."""

    repository: Repository
    configs: Mapping[str, ModelConfig]
    _reasons: dict[tuple[tuple[str, Scalar], ...], str] = field(default_factory=dict)  # of one model's part

    def derived(self, variant: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Return what follows for ensembles: their max_batch_size is the least of their steps', as `build` makes it."""
        after = {**self.configs, **changed_configs(variant, self.configs)}
        found: dict[str, Scalar] = {}
        for _ in self.configs:  # an ensemble in an ensemble in ...: each round settles one level at least
            for name, limit in _ensemble_limits(self.configs, after).items():
                found[f"models.{name}.max_batch_size"] = limit
                changed = ModelConfig()
                changed.CopyFrom(after[name])
                changed.max_batch_size = limit
                after[name] = changed
        return found

    def reason(self, variant: Mapping[str, Scalar]) -> str:
        """Return why a variant cannot be picked; empty where it can.

        Each model's part is judged alone, and once: models meet in their ensembles only, which follow them.
        """
        parts: dict[str, dict[str, Scalar]] = {}
        for path, value in variant.items():
            parts.setdefault(split_field(path, self.configs)[0], {})[path] = value
        for part in parts.values():
            key = tuple(sorted(part.items()))
            if key not in self._reasons:
                self._reasons[key] = self._reason(part)
            if self._reasons[key]:
                return self._reasons[key]
        return ""

    def _reason(self, variant: Mapping[str, Scalar]) -> str:
        changed = changed_configs(variant, self.configs)
        for name, config in changed.items():
            if reason := _own_reason(name, self.configs[name], config):
                return reason
        changed = changed_configs({**variant, **self.derived(variant)}, self.configs)
        for finding in self._errors(changed):
            if (finding.code, finding.model) not in self._known:
                return f"{finding.model}: {finding.message}"
        return ""

    @cached_property
    def _known(self) -> set[tuple[str, str]]:
        """The errors that are there whatever is picked."""
        return {(finding.code, finding.model) for finding in self._errors({})}

    def _errors(self, changed: Mapping[str, ModelConfig]) -> list[Finding]:
        models = {
            name: replace(model, config=changed[name], text="") if name in changed else model
            for name, model in self.repository.models.items()
        }
        repository = replace(self.repository, models=models)
        found = check_repository(Case(repository, Target.of(self.repository)))
        return [finding for finding in found if finding.severity is Severity.ERROR]


def _own_reason(name: str, before: ModelConfig, after: ModelConfig) -> str:
    if (before.max_batch_size > 0) != (after.max_batch_size > 0):
        return f"{name}: with or without max_batch_size its tensors have other shapes"
    if before.HasField("sequence_batching") != after.HasField("sequence_batching"):
        return f"{name}: its requests belong to sequences, or not; another scheduler would answer otherwise"
    batching, was = after.dynamic_batching, before.dynamic_batching
    if after.max_batch_size <= 1 and batching.max_queue_delay_microseconds > was.max_queue_delay_microseconds:
        return f"{name}: a batch of one is full at once, so a longer delay does nothing"
    return ""


def _ensemble_limits(before: Mapping[str, ModelConfig], after: Mapping[str, ModelConfig]) -> dict[str, int]:
    """Return the max_batch_size of ensembles that must become another one."""
    found = {}
    for name, config in after.items():
        was, now = (_least(config, configs) for configs in (before, after))
        own = before[name].max_batch_size
        limit = now if own == was else min(own, now)
        if own and now and limit != config.max_batch_size:
            found[name] = limit
    return found


def _least(ensemble: ModelConfig, configs: Mapping[str, ModelConfig]) -> int:
    steps = (configs[step.model_name] for step in ensemble.ensemble_scheduling.step if step.model_name in configs)
    return min((config.max_batch_size for config in steps if config.max_batch_size), default=0)
