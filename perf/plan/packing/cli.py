"""`plan --pack FLEET.yaml`: from a file to what is printed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tritonsmith.perf.plan.packing.fleet_file import read_fleet
from tritonsmith.perf.plan.packing.pack import pack
from tritonsmith.perf.plan.packing.words import packing_data, packing_text


@dataclass(frozen=True)
class PackOptions:
    """The options, as given."""

    fleet: Path


def answer(options: PackOptions, is_json: bool) -> str:
    """Pack a fleet and return what is printed.

    Raises: AnswerIsNo where the GPUs do not hold it; what reading it raises.
    """
    fleet = read_fleet(options.fleet)
    packing = pack(fleet)
    return json.dumps(packing_data(packing, fleet), indent=2) if is_json else packing_text(packing, fleet)
