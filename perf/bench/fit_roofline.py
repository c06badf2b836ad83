"""Fits the roofline's shares and times on published throughput, and says how far off it is on what it has not seen.

Least squares of the logarithms, robust, with each model of the fit weighing the same. The interval comes from models
that are left out of the fit in turn. Needs scipy.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from tritonsmith.generator import console
from tritonsmith.perf.bench.published_throughput import (
    FIRST_TOKEN_MODELS,
    FIT_MODELS,
    Row,
    estimate,
    first_token_ms,
    inter_token_ms,
    read_first_tokens,
    read_models,
    read_rows,
    read_token_gaps,
)
from tritonsmith.perf.bench.record import write_result
from tritonsmith.perf.plan.core import LanguageModel
from tritonsmith.perf.plan.steps.roofline import FITTED, Efficiency

NAMES = [field.name for field in fields(Efficiency)]
# What could be: a share from a tenth to nearly all, times from nothing to what would be seen.
_BOUNDS = {
    "exchange_s": (1e-6, 1e-4), "layer_s": (1e-6, 1e-3), "graph_s": (1e-6, 1e-3), "step_s": (1e-5, 2e-2),
    "sequence_s": (1e-7, 5e-5), "pcie": (0.05, 0.95), "experts": (0.1, 1.0), "padding": (1.0, 128.0),
}  # fmt: skip
Models = Mapping[str, LanguageModel]
Ends = tuple[float, float]
Floats = npt.NDArray[np.float64]


def fit(rows: Sequence[Row], models: Models) -> Efficiency:
    """Return the constants that come closest to these rows."""
    counts = Counter(row.model for row in rows)
    weights = np.array([1 / counts[row.model] ** 0.5 for row in rows])
    low, high = np.log(np.array([_BOUNDS.get(name, (0.1, 0.95)) for name in NAMES])).T

    first = [row for row in read_first_tokens() if row.fits_constants]
    gaps = read_token_gaps()

    def residuals(logs: Floats) -> Floats:
        efficiency = _efficiency(logs)
        off = [np.log(row.first_token_ms / first_token_ms(row, models[row.model], efficiency)) for row in first]
        between = [np.log(gap.inter_token_ms / inter_token_ms(gap, models[gap.model], efficiency)) for gap in gaps]
        parts = (np.array(off) / len(first) ** 0.5, np.array(between) / len(gaps) ** 0.5)
        return np.concatenate([weights * errors(rows, models, efficiency), *parts])

    start = np.clip(np.log([getattr(FITTED, name) for name in NAMES]), low + 1e-3, high - 1e-3)
    found = least_squares(residuals, start, bounds=(low, high), loss="soft_l1", f_scale=0.02, max_nfev=40)
    return _efficiency(found.x)


def _efficiency(logs: Floats) -> Efficiency:
    return Efficiency(**{name: float(value) for name, value in zip(NAMES, np.exp(logs), strict=True)})


def errors(rows: Sequence[Row], models: Models, efficiency: Efficiency) -> Floats:
    """Return log(published / estimated) of each row; 1.5 where it is told not to fit."""
    values = [estimate(row, models[row.model], efficiency)[0] for row in rows]
    return np.array([np.log(r.tokens_per_s / v) if v else 1.5 for r, v in zip(rows, values, strict=True)])


def left_out(rows: Sequence[Row], models: Models) -> Floats:
    """Return the errors of each model's rows under constants that were fitted on the others', all of them [rows]."""
    found = np.zeros(len(rows))
    for name in FIT_MODELS:
        is_out = np.array([row.model == name for row in rows])
        constants = fit([row for row in rows if row.model != name], models)
        found[is_out] = errors([row for row in rows if row.model == name], models, constants)
    return found


def interval_of(rows: Sequence[Row], off: Floats, models: Models, *, is_dense: bool) -> Ends:
    """Return the shares of an estimate between which four of five rows lie, each model weighing the same.

    Two models with experts do not tell how much others differ: of them, a factor of two around their middle.
    """
    is_in = np.array([bool(models[row.model].experts) != is_dense for row in rows])
    counts = Counter(row.model for row, one in zip(rows, is_in, strict=True) if one)
    weights = np.array([1 / counts[row.model] for row, one in zip(rows, is_in, strict=True) if one])
    order = np.argsort(off[is_in])
    share = np.cumsum(weights[order]) / weights.sum()
    low, high = (off[is_in][order][np.searchsorted(share, level)] for level in (0.1, 0.9))
    half = min((high - low) / 2, np.log(2) / 2) if is_dense else np.log(2) / 2
    return float(np.exp((low + high) / 2 - half)), float(np.exp((low + high) / 2 + half))


def coverage(rows: Sequence[Row], models: Models, efficiency: Efficiency, ends: Mapping[bool, Ends]) -> float:
    """Return the share of rows that lie in the interval of their kind of model, with experts or without."""
    off = errors(rows, models, efficiency)
    low, high = np.log([ends[bool(models[row.model].experts)] for row in rows]).T
    return float(np.mean((off >= low) & (off <= high)))


def main() -> int:
    """Fit, judge on what was held out, and write the result."""
    rows, models = read_rows(), read_models()
    fitted = [row for row in rows if row.fits_constants]
    held_out = [row for row in rows if not row.fits_constants]
    constants = fit(fitted, models)
    off = left_out(fitted, models)
    ends = {has_experts: interval_of(fitted, off, models, is_dense=not has_experts) for has_experts in (False, True)}
    never = [row for row in held_out if row.model not in (*FIT_MODELS, *FIRST_TOKEN_MODELS)]
    groups = {"held out": held_out, "of models never fitted": never}
    groups |= {name: [row for row in held_out if row.model == name] for name in sorted({r.model for r in held_out})}
    groups |= {
        f"release {name}": [r for r in held_out if r.release == name] for name in sorted({r.release for r in rows})
    }
    result = {
        "constants": {name: float(f"{value:.3g}") for name, value in asdict(constants).items()},
        "intervals": {
            name: [round(end, 3) for end in ends[has_experts]]
            for name, has_experts in (("dense", False), ("with experts", True))
        },
        "rows": {name: len(group) for name, group in ({"fitted": fitted} | groups).items()},
        "coverage": {n: round(coverage(group, models, constants, ends), 3) for n, group in groups.items() if group},
    }
    for key, value in result.items():
        console.say(f"{key}: {value}")
    write_result("roofline", result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
