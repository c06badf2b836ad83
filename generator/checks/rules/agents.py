"""Whether the server has the repository agents that a model names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tritonsmith.generator.catalog.backends import REPOSITORY_AGENTS
from tritonsmith.generator.checks.case import Case
from tritonsmith.generator.checks.registry import Stage, check_case
from tritonsmith.generator.findings import Finding, Phase, error, warning
from tritonsmith.generator.fixes import RemoveField
from tritonsmith.generator.repository.core import Model
from tritonsmith.generator.suggest import did_you_mean


@check_case(
    "TS237",
    "the server has the repository agents",
    triton="unable to find 'libtritonrepoagent_{name}.so' for repo agent '{name}', searched: {path}",
    stage=Stage.POLL,
)
def agents_are_there(case: Case) -> Iterator[Finding]:
    """An agent is a library of the server's, which runs before the model is looked at, also where nothing would tell
    its backend. The embedded server has none.

    Source: core: repo_agent.cc (TritonRepoAgentManager::CreateAgent).
    """
    is_embedded = case.target.is_embedded
    known = frozenset() if is_embedded else REPOSITORY_AGENTS
    for model, index, name in _agents(case):
        path = f"model_repository_agents.agents[{index}]"
        if name in known:
            continue
        near = did_you_mean(name, known)
        if near or is_embedded:
            message = f"the server has no repository agent '{name}'.{near}".rstrip(".")
            told = error(message, remedy="leave it out, or install it among the server's repoagents")
        else:
            message = f"repository agent '{name}' is none of NVIDIA's images"
            told = warning(message, remedy=f"the server needs libtritonrepoagent_{name}.so")
        yield case.about(model, told, path)


@check_case("TS241", "model_repository_agents names an agent", stage=Stage.POLL, phase=Phase.CRASH)
def agents_are_named(case: Case) -> Iterator[Finding]:
    """Triton asks the last agent where the model is now; where there is none, the server ends with signal 11.

    Source: core: model_repository_manager.cc (CreateAgentModelListWithLoadAction); tried on 2.51.
    """
    for model in case.repository.models.values():
        config = model.config
        if config and config.HasField("model_repository_agents") and not config.model_repository_agents.agents:
            message = "model_repository_agents without an agent ends the server"
            told = error(message, remedy="leave it out")
            fix = RemoveField("model_repository_agents")
            yield replace(case.about(model, told, "model_repository_agents"), fix=fix)


def _agents(case: Case) -> Iterator[tuple[Model, int, str]]:
    """Yield every repository agent: its model, its place in the list, its name."""
    for model in case.repository.models.values():
        for index, agent in enumerate(model.config.model_repository_agents.agents if model.config else ()):
            yield model, index, agent.name
