"""The five models of the tensorrtllm target, each as a spec writes it, with the tensors of one TensorRT-LLM version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tritonsmith.ensembles.text_generation.places import Placed
from tritonsmith.ensembles.text_generation.settings import Settings
from tritonsmith.generator.catalog.tensorrtllm.rows import TENSORS
from tritonsmith.generator.catalog.tensorrtllm.steps import STEPS, map_of
from tritonsmith.generator.catalog.tensorrtllm.tensors import items_of
from tritonsmith.generator.catalog.tensorrtllm.versions import Version

Fields = dict[str, Any]


@dataclass(frozen=True)
class Pipeline:
    """The pipeline with everything decided: what is left is to write its models.

    preprocessing and postprocessing gather requests in every version, which NVIDIA's do from 0.19 and 0.13 on.
    """

    settings: Settings
    version: Version
    names: Mapping[str, str]
    types: Mapping[str, str]  # of the tensors whose type depends on the engine
    max_batch_size: int
    parameters: Mapping[str, str]  # the backend's
    engine: Placed
    tokenizer: Placed

    def models(self) -> dict[str, Fields]:
        """Return the five models by name, steps first."""
        made = {
            "preprocessing": self._preprocessing(),
            "tensorrt_llm": self._tensorrt_llm(),
            "postprocessing": self._postprocessing(),
            "tensorrt_llm_bls": self._bls(),
            "ensemble": self._ensemble(),
        }
        return {self.names[role]: fields for role, fields in made.items()}

    def _preprocessing(self) -> Fields:
        return {
            **self._python("preprocessing", self.settings.instances.preprocessing),
            "dynamic_batching": self._batching(),
            "parameters": {
                "tokenizer_dir": self.tokenizer.path,
                "add_special_tokens": _flag(self.settings.add_special_tokens),
                **({"apply_chat_template": "true"} if self.settings.apply_chat_template else {}),
                "gpt_model_path": self.engine.path,
            },
        }

    def _tensorrt_llm(self) -> Fields:
        return {
            "backend": "tensorrtllm",
            "files": dict(self.engine.files),
            **self._tensors("tensorrt_llm"),
            "model_transaction_policy": {"decoupled": self.settings.streaming},
            "dynamic_batching": self._batching(),
            # On the CPU although it runs on GPUs: the backend itself owns the devices, and one instance serves all.
            "instance_group": [{"kind": "KIND_CPU", "count": 1}],
            "parameters": {**self.parameters, "gpt_model_path": self.engine.path},
        }

    def _postprocessing(self) -> Fields:
        return {
            **self._python("postprocessing", self.settings.instances.postprocessing),
            "dynamic_batching": {},
            "parameters": self._detokenising(),
        }

    def _bls(self) -> Fields:
        calls = {role: self.names[role] for role in ("preprocessing", "tensorrt_llm")}
        return {
            **self._python("tensorrt_llm_bls", self.settings.instances.tensorrt_llm_bls),
            "calls": list(calls.values()),
            "model_transaction_policy": {"decoupled": self.settings.streaming},
            "parameters": {
                "accumulate_tokens": "true",
                "tensorrt_llm_model_name": calls["tensorrt_llm"],
                "preprocessing_model_name": calls["preprocessing"],
                **self._detokenising(),
            },
        }

    def _ensemble(self) -> Fields:
        steps = [
            {
                "model_name": self.names[step.role],
                "input_map": map_of(step.inputs, self.version),
                "output_map": map_of(step.outputs, self.version),
            }
            for step in STEPS
        ]
        return {"ensemble": steps, **self._tensors("ensemble")}

    def _python(self, role: str, instances: int) -> Fields:
        return {
            "python": f"blueprint:text_generation/{role}",
            "files": dict(self.tokenizer.files),
            **self._tensors(role),
            "instance_group": [{"kind": "KIND_CPU", "count": instances}],
        }

    def _tensors(self, role: str) -> Fields:
        inputs, outputs = TENSORS[role]
        return {
            "max_batch_size": self.max_batch_size,
            "input": items_of(inputs, self.version, self.types),
            "output": items_of(outputs, self.version, self.types),
        }

    def _batching(self) -> Fields:
        return {
            "preferred_batch_size": [self.max_batch_size],
            "max_queue_delay_microseconds": self.settings.max_queue_delay_microseconds,
            "default_queue_policy": {"max_queue_size": self.settings.max_queue_size},
        }

    def _detokenising(self) -> Fields:
        return {
            "tokenizer_dir": self.tokenizer.path,
            "skip_special_tokens": _flag(self.settings.skip_special_tokens),
        }


def _flag(value: bool) -> str:
    return "true" if value else "false"
