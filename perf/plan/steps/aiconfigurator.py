"""Step times from NVIDIA's aiconfigurator, which has measured kernels: optional, in its own environment, a subprocess.

It needs numpy 2 and brings 850 MB, so it is never imported: TRITONSMITH_AICONFIGURATOR names its environment, and a
script beside this file asks it for a few steps, between which we interpolate.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tritonsmith.generator.catalog.gpus import Gpu
from tritonsmith.generator.errors import ToolMissingError, UsageError
from tritonsmith.generator.process import run
from tritonsmith.perf.plan.core import CacheType, LanguageModel, Serving, WeightType

VARIABLE = "TRITONSMITH_AICONFIGURATOR"
INSTALL = f"python3.11 -m venv ENV && ENV/bin/pip install aiconfigurator==0.12.0, then {VARIABLE}=ENV"
TIMEOUT_S = 300.0
SCRIPT = Path(__file__).with_name("aiconfigurator_steps.py")
# Of 45 numbers of TensorRT-LLM's tables, two drawn of each model and GPU, 37 lie between these shares of what 0.12.0
# says; furthest off are mixtures of experts on L40S, which it has too slow.
INTERVAL = (1 / 1.35, 1.35)
PROMPTS, BATCHES, CONTEXTS = (256, 2048, 8192), (1, 16, 128, 512), (512, 4096)
# Where its kernels were measured (aiconfigurator-core 0.12: systems/data).
SYSTEMS = {
    "A100-SXM-80GB": "a100_sxm", "H100-SXM-80GB": "h100_sxm", "H200-SXM-141GB": "h200_sxm",
    "B200-SXM-180GB": "b200_sxm", "B300-SXM-269GB": "b300_sxm", "GB200-186GB": "gb200", "GB300-278GB": "gb300",
    "L40S": "l40s", "RTX-PRO-6000-96GB": "rtx_pro_6000_server",
}  # fmt: skip
_WEIGHTS: dict[WeightType, str] = {
    "fp16": "bfloat16", "bf16": "bfloat16", "fp8": "fp8", "int8": "int8_wo", "int4": "int4_wo", "nvfp4": "nvfp4",
    "mxfp4": "bfloat16",
}  # fmt: skip
_CACHES: dict[CacheType, str] = {"fp16": "bfloat16", "bf16": "bfloat16", "fp8": "fp8", "int8": "int8"}


@dataclass(frozen=True)
class MeasuredSteps:
    """Seconds of prompts by length, and of decoding steps by batch size and context, as the constants above list them.

    A prompt takes `fixed + each x tokens + pair x tokens^2`; a decoding step is linear in the context, and in the
    batch between those that are known. Times are through the whole pipeline; `stages` prompts pass it at once.
    """

    prefill_s_at: tuple[float, ...]
    decode_s_at: tuple[tuple[float, ...], ...]
    stages: int
    ranks: int
    source: str
    interval: tuple[float, float] = INTERVAL

    def prefill_s(self, tokens: float, context: float) -> float:
        """Return how long a step keeps the replica busy that reads so many tokens of one prompt behind `context`."""
        fixed, each, pair = _parabola(PROMPTS, self.prefill_s_at)
        own = tokens / self.ranks
        return (fixed + each * own + 2 * pair * own * max(0.0, context + tokens / 2)) / self.stages

    def decode_s(self, sequences: float, context: float) -> float:
        """Return how long a step takes that adds a token to each sequence, whose mean length is `context`."""
        batch = max(1.0, sequences / self.stages / self.ranks)
        return _between(BATCHES, [_between(CONTEXTS, row, context) for row in self.decode_s_at], batch)


@dataclass(frozen=True)
class Aiconfigurator:
    """An estimator: step times of the model in `folder` (its config.json), from the environment that was found."""

    folder: Path
    python: Path

    def __call__(self, model: LanguageModel, serving: Serving, gpu: Gpu) -> MeasuredSteps:
        """Return step times.

        Raises: UsageError where it has not measured this GPU or cannot serve the model so.
        """
        if gpu.name not in SYSTEMS:
            raise UsageError(f"aiconfigurator has not measured {gpu.name}", hint=f"it knows {', '.join(SYSTEMS)}")
        question = {
            "model": str(self.folder),
            "system": SYSTEMS[gpu.name],
            "settings": _settings(model, serving, gpu),
            "prompts": PROMPTS,
            "batches": BATCHES,
            "contexts": CONTEXTS,
        }
        answer = _ask(self.python, json.dumps(question))
        return MeasuredSteps(
            tuple(value / 1e3 for value in answer["prefill_ms"]),
            tuple(tuple(value / 1e3 for value in row) for row in answer["decode_ms"]),
            serving.spread.pipeline,
            serving.spread.data,
            f"aiconfigurator {answer['version']}, kernels of {gpu.name}, measured or estimated from measured ones",
        )


def find_aiconfigurator(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the Python of aiconfigurator's environment.

    Raises: ToolMissingError where the variable names none.
    """
    named = environment.get(VARIABLE, "")
    if not named:
        raise ToolMissingError("aiconfigurator is not installed, or not found", hint=INSTALL)
    python = Path(named).expanduser()
    python = python / "bin" / "python" if python.is_dir() else python
    if not python.is_file():
        raise ToolMissingError(f"{VARIABLE}={named}: there is no Python", hint=INSTALL)
    return python


def _settings(model: LanguageModel, serving: Serving, gpu: Gpu) -> dict[str, Any]:
    """Return how a replica is served, in aiconfigurator's words."""
    spread = serving.spread
    if serving.weight_type not in _WEIGHTS:
        raise UsageError(
            f"aiconfigurator has no weights in {serving.weight_type}", hint=f"it has {', '.join(_WEIGHTS)}"
        )
    settings: dict[str, Any] = {
        "database_mode": "HYBRID",  # what was not measured it estimates from what was; `INTERVAL` is of both
        "tp_size": spread.tensor,
        "pp_size": spread.pipeline,
        "attention_dp_size": spread.data,
        "gemm_quant_mode": _WEIGHTS[serving.weight_type],
        "kvcache_quant_mode": _CACHES[serving.cache_type],
    }
    if model.experts:
        is_blackwell = gpu.compute_capability >= (10, 0)
        mxfp4 = "w4a8_mxfp4_mxfp8" if is_blackwell else "w4a16_mxfp4"
        settings["moe_quant_mode"] = mxfp4 if serving.weight_type == "mxfp4" else _WEIGHTS[serving.weight_type]
        settings["moe_ep_size"] = spread.expert
        settings["moe_tp_size"] = max(1, spread.tensor * spread.data // spread.expert)
    return settings


@lru_cache(maxsize=256)
def _ask(python: Path, question: str) -> dict[str, Any]:
    """Return what the script answers; each question is asked once."""
    try:
        # -P: beside the script lies this file, which must not be taken for the package.
        ended = run([python, "-P", "-W", "ignore", SCRIPT, question], timeout_s=TIMEOUT_S, is_shown=False)
    except OSError as error:
        raise ToolMissingError(f"{python} cannot be started: {error.strerror}", hint=INSTALL) from error
    if ended.is_timeout or ended.returncode:
        why = f"did not answer in {TIMEOUT_S:g} s" if ended.is_timeout else f"failed:\n{ended.stderr_end(4)}"
        if "No module named 'aiconfigurator'" in ended.stderr:
            raise ToolMissingError(f"{python} has no aiconfigurator", hint=INSTALL)
        raise UsageError(f"aiconfigurator {why}", hint="--estimator roofline knows every GPU and model")
    answer: dict[str, Any] = json.loads(ended.stdout.strip().splitlines()[-1])
    return answer


def _parabola(at: Sequence[int], values: Sequence[float]) -> tuple[float, float, float]:
    """Return (a, b, c) of a + b x + c x^2 through three points; no part is below 0."""
    (x, y, z), (p, q, r) = at, values
    first, second = (q - p) / (y - x), (r - q) / (z - y)
    pair = max(0.0, (second - first) / (z - x))
    each = max(0.0, (r - p - pair * (z * z - x * x)) / (z - x))
    return max(0.0, p - each * x - pair * x * x), each, pair


def _between(at: Sequence[int], values: Sequence[float], x: float) -> float:
    """Return the value at x on the lines through known points; beyond the last one the last line goes on."""
    place = next((i for i in range(1, len(at)) if x <= at[i]), len(at) - 1)
    share = (x - at[place - 1]) / (at[place] - at[place - 1])
    return max(1e-9, values[place - 1] + share * (values[place] - values[place - 1]))
