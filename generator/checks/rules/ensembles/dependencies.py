"""What becomes of an ensemble because of what becomes of the models of its steps."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from tritonsmith.generator.checks.case import Case
from tritonsmith.generator.checks.registry import Stage, all_checks, consequence
from tritonsmith.generator.checks.rules.ensembles.configuration import steps_of
from tritonsmith.generator.checks.rules.ensembles.nesting import in_order
from tritonsmith.generator.findings import Finding, Phase, Severity
from tritonsmith.generator.suggest import did_you_mean


class Fate(enum.Enum):
    """How Triton's graph of models ends for one of them."""

    LOADS = "loads"
    ABSENT = "absent"  # refused at poll: not in the graph
    INVALID = "invalid"  # an ensemble that the graph refuses before it is loaded
    UNLOADED = "unloaded"  # tried, and failed
    HANGS = "hangs"
    CRASHES = "crashes"


@dataclass(frozen=True)
class Fates:
    """The fates of models, the finding that says why, and the names of the ensembles in Triton's graph.

    `tied` are the ensembles that no order of loading has: `circles` those that depend on themselves, with the way back,
    `around` those for which Triton's search for such a way never ends. `lacking` lack a step's model.
    """

    of: Mapping[str, Fate] = field(default_factory=dict)
    reasons: Mapping[str, Finding] = field(default_factory=dict)
    ensembles: Collection[str] = ()
    tied: Collection[str] = ()
    circles: Mapping[str, str] = field(default_factory=dict)
    around: Collection[str] = ()
    lacking: Collection[str] = ()

    def steps_that(self, case: Case, *fates: Fate) -> Iterator[tuple[str, str, str]]:
        """Yield ensemble, path and model of each step of such a fate, where the ensemble itself is in the graph."""
        for name in self.ensembles:
            told: set[str] = set()
            for path, step in steps_of(case.by_name[name]):
                if self.of.get(step.model_name, Fate.LOADS) in fates and step.model_name not in told:
                    told.add(step.model_name)
                    yield name, path, step.model_name


@consequence(
    "TS620",
    "an ensemble's steps are models of the repository",
    triton="ensemble {name} contains models that are not available or ambiguous: {names}\n"
    "failed to poll model '{plain}': model not found in any model repository.",
)
def steps_exist(case: Case, found: list[Finding]) -> Iterator[Finding]:
    """A model whose own configuration Triton refuses does not exist for an ensemble either.

    Source: core: model_repository_manager.cc (ConnectDependencyGraph).
    """
    known = case.repository.models
    for model in case.models():
        missing = {step.model_name: path for path, step in steps_of(model) if step.model_name not in known}
        for step, path in missing.items():
            if step:
                near = did_you_mean(step, known.keys() - {model.name})
                message = f"the step's model is '{step}', which the repository does not hold.{near}"
                yield model.error(f"{path}.model_name", message, remedy=f"add {step}/, or name another model")
    fates = fates_of(case, found)
    for name, path, step in fates.steps_that(case, Fate.ABSENT):
        if step in known:
            yield _because(case, fates, name, path, f"the configuration of the step's model '{step}' is refused", step)


@consequence(
    "TS621",
    "no ensemble depends on itself",
    triton="circular dependency between ensembles: {name} -> ... -> {name} -> {name}",
)
def ensembles_end(case: Case, found: list[Finding]) -> Iterator[Finding]:
    """Each of them would have to be loaded before the other.

    Source: core: model_repository_manager.cc (CircularDependencyCheck).
    """
    fates = fates_of(case, found)
    for name, way in fates.circles.items():
        if name in fates.lacking:
            continue
        message = f"the ensemble is a step of itself: {way}"
        yield case.by_name[name].error("ensemble_scheduling", message, remedy="break the circle")


@consequence("TS622", "no ensemble stands on a circle of others", phase=Phase.CRASH)
def circles_are_not_searched(case: Case, found: list[Finding]) -> Iterator[Finding]:
    """Triton looks for a way back to the ensemble; in a circle of others it goes round until its stack overflows.

    Source: core: model_repository_manager.cc (CircularDependencyCheck), up to 26.06; tried on 2.51.
    """
    fates = fates_of(case, found)
    for name in sorted(fates.around):
        circle = next(iter(fates.circles.values()))
        message = f"a circle of ensembles below this one ({circle}) ends the server when it is loaded"
        yield case.by_name[name].error("ensemble_scheduling", message, remedy="break the circle")


@consequence(
    "TS623",
    "an ensemble's steps load",
    triton="ensemble '{name}' depends on '{name}' which has no loaded version. Model '{name}' loading failed with "
    "error: {text}",
)
def steps_load(case: Case, found: list[Finding]) -> Iterator[Finding]:
    """An ensemble is loaded after its steps, and only if each of them has a version that is ready.

    Source: core: model_repository_manager.cc (CheckNode).
    """
    fates = fates_of(case, found)
    for name, path, step in fates.steps_that(case, Fate.UNLOADED):
        yield _because(case, fates, name, path, f"the step's model '{step}' does not load", step)


@consequence(
    "TS624",
    "an ensemble's steps are valid",
    triton="ensemble '{name}' depends on '{name}' which is not valid. Model '{name}' failed with error: {text}",
)
def steps_are_valid(case: Case, found: list[Finding]) -> Iterator[Finding]:
    """A step that is itself an ensemble, and refused before it is loaded.

    Source: core: model_repository_manager.cc (CheckNode).
    """
    fates = fates_of(case, found)
    for name, path, step in fates.steps_that(case, Fate.INVALID):
        if name not in fates.tied:
            yield _because(case, fates, name, path, f"the step's ensemble '{step}' is refused", step)


@consequence("TS625", "an ensemble's steps end loading", stage=Stage.STEPS, phase=Phase.HANG)
def steps_end_loading(case: Case, found: list[Finding]) -> Iterator[Finding]:
    """Triton loads the steps first, and waits for all of them.

    Source: core: model_repository_manager.cc (LoadModelByDependency).
    """
    fates = fates_of(case, found)
    for name, path, step in fates.steps_that(case, Fate.HANGS):
        yield _because(case, fates, name, path, f"the step's model '{step}' never ends loading", step)


@consequence("TS626", "an ensemble's steps do not end the server", stage=Stage.STEPS, phase=Phase.CRASH)
def steps_do_not_crash(case: Case, found: list[Finding]) -> Iterator[Finding]:
    """Loading an ensemble loads its steps, and one that hangs or crashes takes the ensemble's load with it.

    Source: core: model_repository_manager.cc (LoadModelByDependency).
    """
    fates = fates_of(case, found)
    for name, path, step in fates.steps_that(case, Fate.CRASHES):
        if name not in fates.around:
            yield _because(case, fates, name, path, f"loading the step's model '{step}' ends the server", step)


def _because(case: Case, fates: Fates, name: str, path: str, message: str, step: str) -> Finding:
    reason = fates.reasons.get(step)
    model = case.by_name[name]
    if reason is None:
        return model.error(path, message, remedy=f"see what is said about '{step}'")
    return model.error(path, f"{message}: {reason.message}", remedy=f"see {reason.code} at {reason.place}")


def fates_of(case: Case, found: list[Finding]) -> Fates:
    """Return what becomes of the ensembles and their steps, from what the other rules found."""
    ensembles = [model for model in case.models() if model.is_ensemble and "ensemble_scheduling" in model.fields]
    if not ensembles:
        return Fates()
    fates, reasons = _own_fates(case, found)
    steps = {
        model.name: tuple(dict.fromkeys(step.model_name for _, step in steps_of(model) if step.model_name))
        for model in ensembles
        if fates.get(model.name) is not Fate.ABSENT
    }
    missing = {step for names in steps.values() for step in names if step not in case.configs}
    fates |= dict.fromkeys(missing, Fate.ABSENT)
    lacking = {name for name, names in steps.items() if any(fates.get(step) is Fate.ABSENT for step in names)}
    order, tied = in_order(steps)
    circles = {name: way for name in tied if (way := _way_back(name, tied))}
    searched = {name for name in tied if name not in circles and name not in lacking}
    around = {name for name in tied if searched and not searched.isdisjoint(_below(name, tied))}
    fates |= {name: Fate.CRASHES if name in around else Fate.INVALID for name in tied}
    for name in order:
        fates[name] = _spread(fates.get(name, Fate.LOADS), {fates.get(step, Fate.LOADS) for step in steps[name]})
    return Fates(fates, reasons, steps.keys(), tied.keys(), circles, around, lacking)


def _own_fates(case: Case, found: list[Finding]) -> tuple[dict[str, Fate], dict[str, Finding]]:
    """Return the fates that models have by themselves, and the finding that says so; the rest loads."""
    checks, fates, reasons = all_checks(), dict[str, Fate](), dict[str, Finding]()
    early = (Stage.POLL,) if case.target.is_auto_complete else (Stage.POLL, Stage.IO)
    for finding in found:
        if finding.severity is not Severity.ERROR or finding.phase in (None, Phase.REQUEST) or not finding.model:
            continue
        stage = checks[finding.code].stage if finding.code in checks else Stage.POLL
        if finding.phase is Phase.LOAD:
            fate = Fate.ABSENT if stage in early else Fate.INVALID if stage is Stage.ENSEMBLE else Fate.UNLOADED
        else:
            fate = Fate.HANGS if finding.phase is Phase.HANG else Fate.CRASHES
        before = fates.get(finding.model, Fate.LOADS)
        if _WORST.index(fate) < _WORST.index(before):
            fates[finding.model], reasons[finding.model] = fate, finding
    return fates, reasons


# What comes first decides: a model refused at poll is never loaded, and one refused when it is loaded runs nothing that
# could hang.
_WORST = (Fate.ABSENT, Fate.INVALID, Fate.UNLOADED, Fate.HANGS, Fate.CRASHES, Fate.LOADS)


def _spread(own: Fate, steps: set[Fate]) -> Fate:
    """Return an ensemble's fate from its own and those of its steps, which are all loaded before it is looked at."""
    if own is Fate.ABSENT:
        return own
    for fate in (Fate.CRASHES, Fate.HANGS):
        if fate in steps:
            return fate
    return own if steps <= {Fate.LOADS} else Fate.INVALID


def _way_back(name: str, tied: Mapping[str, tuple[str, ...]]) -> str:
    """Return the shortest way from an ensemble to itself, empty where there is none."""
    before = dict.fromkeys(tied[name], name)
    queue = list(before)
    for step in queue:  # it grows on the way
        if step == name:
            way = [name]
            while len(way) == 1 or way[-1] != name:
                way.append(before[way[-1]])
            return " -> ".join(reversed(way))
        for after in tied.get(step, ()):
            if after not in before:
                before[after] = step
                queue.append(after)
    return ""


def _below(name: str, tied: Mapping[str, tuple[str, ...]]) -> set[str]:
    """Return an ensemble and all that it stands on."""
    queue = [name]
    seen = {name}
    for step in queue:  # it grows on the way
        new = [after for after in tied.get(step, ()) if after not in seen]
        seen.update(new)
        queue += new
    return seen
