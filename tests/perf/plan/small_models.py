"""Configurations of language models small enough that a plan is simulated in no time; and step times by hand."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonsmith.generator.catalog.gpus import Gpu
from tritonsmith.perf.plan.core import LanguageModel, Serving

DENSE: dict[str, Any] = {
    "_name_or_path": "some/Small-1B",
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_hidden_layers": 16,
    "vocab_size": 32000,
    "max_position_embeddings": 8192,
    "torch_dtype": "bfloat16",
    "tie_word_embeddings": False,
}
EXPERTS = {
    **DENSE,
    "_name_or_path": "some/Experts-40B",
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
}
LARGE = {
    **DENSE,
    "_name_or_path": "some/Large-70B",
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_attention_heads": 64,
    "num_hidden_layers": 80,
}


def write_config(folder: Path, config: dict[str, Any], name: str = "config.json") -> Path:
    """Write a configuration and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(config))
    return folder / name


@dataclass(frozen=True)
class Quick:
    """Step times of a model that many GPUs serve faster: 20 ms a step on one, tokens of prompts 0.1 ms."""

    gpus: int
    source: str = "by hand"

    def prefill_s(self, tokens: float, context: float) -> float:
        return 0.002 + tokens * 1e-4 / self.gpus

    def decode_s(self, sequences: float, context: float) -> float:
        return 0.020 / self.gpus + sequences * 1e-4


def quick(model: LanguageModel, serving: Serving, gpu: Gpu) -> Quick:
    """An estimator that knows no model and no GPU."""
    return Quick(serving.spread.gpus)
