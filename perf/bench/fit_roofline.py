"""Fits the roofline's shares and times on published throughput, and says how far off it is on what it has not seen.

Least squares of the logarithms, robust, with each model of the fit weighing the same. The interval comes from models
that are left out of the fit in turn, with all that has their shape. What judges it is neither in the fit nor of a
setting that is. Needs scipy.
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
    TokenGap,
    estimate,
    first_token_ms,
    has_shape_of,
    held_out,
    inter_token_ms,
    read_first_tokens,
    read_models,
    read_rows,
    read_token_gaps,
)
from tritonsmith.perf.bench.record import write_result
from tritonsmith.perf.plan.core import LanguageModel
from tritonsmith.perf.plan.steps.roofline import Efficiency

NAMES = [field.name for field in fields(Efficiency)]
# What could be: a share from a tenth to nearly all, times from nothing to what would be seen.
_BOUNDS = {
    "exchange_s": (1e-6, 1e-4), "layer_s": (1e-6, 1e-3), "graph_s": (1e-6, 1e-3), "sequence_s": (1e-7, 5e-5),
    "pcie": (0.05, 0.95), "experts": (0.1, 1.0),
}  # fmt: skip
_EXPERTS = "with experts"
Models = Mapping[str, LanguageModel]
Ends = tuple[float, float]
Floats = npt.NDArray[np.float64]


def fit(rows: Sequence[Row], models: Models, *, without: str = "") -> Efficiency:
    """Return the constants that come closest to these rows, and to what else is fitted, one model left out."""
    rows = [row for row in rows if row.model != without]
    counts = Counter(row.model for row in rows)
    weights = np.array([1 / counts[row.model] ** 0.5 for row in rows])
    low, high = np.log(np.array([_BOUNDS.get(name, (0.1, 0.95)) for name in NAMES])).T
    first = [row for row in read_first_tokens() if row.fits_constants and not has_shape_of(row.model, without)]
    gaps = [row for row in read_token_gaps() if row.fits_constants and not has_shape_of(row.model, without)]

    def residuals(logs: Floats) -> Floats:
        efficiency = _efficiency(logs)
        off = [np.log(row.first_token_ms / first_token_ms(row, models[row.model], efficiency)) for row in first]
        parts = np.array(off) / len(first) ** 0.5, gap_errors(gaps, models, efficiency) / max(1, len(gaps)) ** 0.5
        return np.concatenate([weights * errors(rows, models, efficiency), *parts])

    # From the middle of what could be: a fit that leaves a model out knows nothing of one that does not.
    found = least_squares(residuals, (low + high) / 2, bounds=(low, high), loss="soft_l1", f_scale=0.02, max_nfev=80)
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
        constants = fit(rows, models, without=name)
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


def coverage(off: Floats, rows: Sequence[Row | TokenGap], models: Models, ends: Mapping[bool, Ends]) -> float:
    """Return the share of errors that lie in the interval of their kind of model, with experts or without."""
    low, high = np.log([ends[bool(models[row.model].experts)] for row in rows]).T
    return round(float(np.mean((off >= low) & (off <= high))), 3)


def groups_of(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return what was held out: all of it, what is of models that no constant has seen, each model, each release."""
    never = [row for row in rows if row.model not in (*FIT_MODELS, *FIRST_TOKEN_MODELS)]
    groups = {"held out": list(rows), "of models never fitted": never}
    groups |= {name: [row for row in rows if row.model == name] for name in sorted({row.model for row in rows})}
    releases = sorted({row.release for row in rows})
    return groups | {f"release {name}": [row for row in rows if row.release == name] for name in releases}


def gap_errors(gaps: Sequence[TokenGap], models: Models, efficiency: Efficiency) -> Floats:
    """Return log(estimated / published) of each time between tokens: above 0 where tokens come faster than told."""
    return np.array([np.log(inter_token_ms(gap, models[gap.model], efficiency) / gap.inter_token_ms) for gap in gaps])


def main() -> int:
    """Fit, judge on what was held out, and write the result."""
    rows, models = read_rows(), read_models()
    fitted, groups = [row for row in rows if row.fits_constants], groups_of(held_out(rows))
    constants = fit(fitted, models)
    off = left_out(fitted, models)
    ends = {has_experts: interval_of(fitted, off, models, is_dense=not has_experts) for has_experts in (False, True)}
    inside = {name: coverage(errors(group, models, constants), group, models, ends) for name, group in groups.items()}
    gaps = [gap for gap in read_token_gaps() if not gap.fits_constants]
    inside["times between tokens"] = coverage(gap_errors(gaps, models, constants), gaps, models, ends)
    counts = {name: len(group) for name, group in ({"fitted": fitted} | groups).items()}
    result = {
        "constants": {name: float(f"{value:.3g}") for name, value in asdict(constants).items()},
        "intervals": {
            name: [round(end, 3) for end in ends[name == "with experts"]] for name in ("dense", "with experts")
        },
        "rows": counts | {"times between tokens": len(gaps)},
        "coverage": inside,
    }
    for key, value in result.items():
        console.say(f"{key}: {value}")
    write_result("roofline", result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
