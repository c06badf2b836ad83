"""Public models: their shapes as config.json has them, and what is published of each, with where it is said."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tritonsmith.perf.plan.core import LanguageModel, Serving, Spread
from tritonsmith.perf.plan.models.read import read_model

FOLDER = Path(__file__).parents[2] / "data" / "plan"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


@dataclass(frozen=True)
class Known:
    """One published fact of a model; `fact` holds what is published, `source` included."""

    name: str
    fact: dict[str, Any]

    def __str__(self) -> str:
        return "-".join([self.name, *(str(value) for key, value in self.fact.items() if key != "source")])

    @property
    def model(self) -> LanguageModel:
        """The model that is spoken of."""
        return model_named(self.name)

    @property
    def serving(self) -> Serving:
        """How it is served where the fact is one of fitting: split over all GPUs where nothing else is said."""
        data = self.fact.get("data", 1)
        tensor = self.fact.get("tensor", self.fact["count"] // data)
        spread = Spread(tensor, self.fact.get("pipeline", 1), tensor * data if self.model.experts else 1, data)
        limits = self.fact.get("max_batch_size", 256), self.fact.get("max_num_tokens", 8192)
        return Serving(spread, self.fact["weights"], "bf16", *limits)


@cache
def model_named(name: str) -> LanguageModel:
    """Return the model of tests/data/plan."""
    return read_model(FOLDER / f"{name}.json")


def published(name: str) -> dict[str, Any]:
    """Return what is published of a model."""
    return dict(json.loads((FOLDER / f"{name}.json").read_text())["_known"])


def facts(key: str) -> list[Known]:
    """Return the facts of all models under a key: `fits`, `does_not_fit`, `kv`, `weights`, `taken`, `beside`."""
    return [Known(name, fact) for name in NAMES for fact in published(name).get(key, ())]
