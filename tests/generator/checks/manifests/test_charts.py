"""Of manifests that restate what public examples for Triton hold, each lack is named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tritonsmith.generator.findings import Finding

CHARTS = Path(__file__).parent / "charts"
# What none of them has: a preStop, a grace period beyond Triton's own, privileges and capabilities dropped, a seccomp
# profile, a read-only root, a pinned image, a policy of the network.
BARE = {"TK220", "TK221", "TK601", "TK602", "TK603", "TK605", "TK731", "TK520"}
ROOT, GPU_SURGE, ONE, NO_STARTUP = "TK600", "TK304", "TK503", "TK204"
SCALED = {"TK402", "TK406", "TK500", "TK502"}  # no behavior, replicas undone by each apply, no budget, nothing spreads
STORE = {"TK701", "TK709"}  # an old option, a copy without room
LACKS = {
    "autoscaled_llm": BARE
    | SCALED
    | {ROOT, GPU_SURGE, NO_STARTUP}
    | {"TK222", "TK240", "TK608"}  # Python as process 1, shared memory for another container, folders of the node
    | {
        "TK408",
        "TK450",
        "TK451",
        "TK454",
        "TK455",
        "TK522",
    },  # a ratio that is blind, clamped, per model, rarely scraped
    "ranks_in_one_pod": BARE | {ROOT, GPU_SURGE, ONE} | {"TK203", "TK243", "TK305", "TK607"},
    "rank_by_rank": BARE | {ROOT, GPU_SURGE, ONE} | {"TK222", "TK305", "TK334"},
    "group_on_a_cloud": BARE | SCALED | {ROOT} | {"TK222", "TK331", "TK332", "TK333", "TK408", "TK451"},
    "group_minimal": BARE | SCALED | {ROOT} | {"TK203", "TK222", "TK241", "TK244", "TK305", "TK332", "TK333", "TK407"},
    "on_premises": BARE | SCALED | {GPU_SURGE} | {"TK110", "TK244", "TK403", "TK452", "TK522", "TK701"},
    "from_a_store": BARE | STORE | {GPU_SURGE, ONE, NO_STARTUP} | {"TK244", "TK521", "TK702"},
    "on_node_ports": BARE | STORE | {ROOT, GPU_SURGE, ONE, NO_STARTUP} | {"TK244", "TK455", "TK521"},
    "by_duty_cycle": BARE | STORE | SCALED | {ROOT, GPU_SURGE, NO_STARTUP} | {"TK244", "TK407", "TK522"},
    "serving_runtime": {"TK605", "TK701", "TK731"},  # the rest of its pods is KServe's
}


def test_every_chart_is_judged() -> None:
    assert set(LACKS) == {path.stem for path in CHARTS.iterdir()}


@pytest.mark.parametrize("name", sorted(LACKS))
def test_what_a_chart_lacks_is_named(judge_manifests: Callable[..., list[Finding]], name: str) -> None:
    file = f"{name}.yaml"
    found = {finding.code for finding in judge_manifests({file: (CHARTS / file).read_text()})}
    assert found == LACKS[name]
