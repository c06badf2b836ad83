"""How the ranks of an engine start in one container or in a group of pods: scripts around mpirun.

mpirun does not end as Kubernetes expects of process 1, and needs a way to start ranks in other pods: the scripts say
how each is done. Open MPI 4 and 5 read different variables; both are set.

Only the first rank answers and drains. The others stay in the load of their model, no port open, until the first ends.
Source: tensorrtllm_backend: inflight_batcher_llm/src/model_instance_state.cc (the end of the constructor).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tritonsmith.generator.manifests.launch import HOSTFILE, launch_argv
from tritonsmith.generator.manifests.workload import Workload

FOLDER = "/ranks"  # where containers see the scripts
PORT = 8900  # at which workers ask the leader what to run
# A daemon that left its session would end join.sh, the worker's process 1: Open MPI has it stay while daemons start
# one another (plm_rsh_no_tree_spawn off, the default), and everywhere with this.
# Source: ompi v4: orte/mca/plm/rsh/plm_rsh_module.c, orte/runtime/orte_mca_params.c (leave_session_attached).
ATTACHED = {"OMPI_MCA_orte_leave_session_attached": "1", "PRTE_MCA_prte_leave_session_attached": "1"}
_SCRIPTS = Path(__file__).parent


def has_ranks(workload: Workload) -> bool:
    """Whether mpirun starts the server; NVIDIA's OpenAI front end starts an engine's processes itself."""
    return workload.launch is not None and workload.launch.has_mpi and not workload.deploy.openai


def scripts_of(workload: Workload) -> dict[str, str]:
    """Return the scripts by name."""
    names = ["start.sh", "first.sh", *(["agent.sh", "join.sh", "gather.sh"] if workload.needs.nodes > 1 else [])]
    return {name: (_SCRIPTS / name).read_text(encoding="utf-8") for name in names}


def ranks_argv(workload: Workload, server: Sequence[str]) -> list[str]:
    """Return what the pod with the first rank runs; `server` is the command of one tritonserver."""
    if workload.launch is None or not has_ranks(workload):
        return list(server)
    known = {HOSTFILE: "/tmp/hostfile"}  # noqa: S108 - the pod's own
    argv = [known.get(word, word) for word in launch_argv(workload.launch, server)]
    first = argv.index(server[0])
    return ["bash", f"{FOLDER}/start.sh", *argv[:first], "bash", f"{FOLDER}/first.sh", *argv[first:]]


def rank_environment(workload: Workload) -> dict[str, str]:
    """Return the variables that the ranks and the scripts around them read."""
    if workload.launch is None or not has_ranks(workload):
        return {}
    environment = dict(workload.launch.environment)
    if workload.needs.nodes > 1:
        agent = f"bash {FOLDER}/agent.sh"
        environment |= {"RANKS_PORT": str(PORT), "RANKS_PER_POD": str(workload.needs.gpus)}
        environment |= {"OMPI_MCA_plm_rsh_agent": agent, "PRTE_MCA_plm_ssh_agent": agent, **ATTACHED}
    return environment
