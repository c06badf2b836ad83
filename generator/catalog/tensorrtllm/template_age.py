"""For which release a model around TensorRT-LLM's backend was written, where nobody says."""

from __future__ import annotations

from collections.abc import Collection

from tritonsmith.generator.catalog.releases import NEWEST_WITH_TENSORRT_LLM, RELEASES
from tritonsmith.generator.catalog.tensorrtllm.parameters import TENSORRT_LLM, parameters_of
from tritonsmith.generator.catalog.tensorrtllm.rows import TENSORRT_LLM_INPUTS
from tritonsmith.generator.catalog.tensorrtllm.versions import OLDEST, Version, parse_version


def newest_fitting_release(inputs: Collection[str], parameters: Collection[str]) -> str:
    """Return the newest release that reads all of a model's inputs and asks for no parameter that it lacks.

    Inputs that are in no version's template count for nothing. Where no release fits, the newest one is returned.
    """
    for name, release in sorted(RELEASES.items(), reverse=True):
        version = parse_version(release.tensorrt_llm)
        if version >= OLDEST and _fits(version, inputs, parameters):
            return name
    return NEWEST_WITH_TENSORRT_LLM


def _fits(version: Version, inputs: Collection[str], parameters: Collection[str]) -> bool:
    rows = [row for row in TENSORRT_LLM_INPUTS if row.name in inputs]
    known = {row.name for row in rows if row.holds_in(version)}
    asked = (row.name for row in parameters_of(TENSORRT_LLM, version).values() if row.is_asked_for)
    return all(row.name in known for row in rows) and all(name in parameters for name in asked)
