"""The five models of the tensorrtllm target, each as a spec writes it, with the tensors of one TensorRT-LLM version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tritonsmith.ensembles.text_generation.engine_script import engine_script
from tritonsmith.ensembles.text_generation.llms import Llm
from tritonsmith.ensembles.text_generation.places import Placed
from tritonsmith.ensembles.text_generation.settings import Settings
from tritonsmith.generator.catalog.releases import FIELDS_SINCE, Release
from tritonsmith.generator.catalog.tensorrtllm.rows import TENSORS
from tritonsmith.generator.catalog.tensorrtllm.steps import STEPS, map_of
from tritonsmith.generator.catalog.tensorrtllm.tensors import items_of
from tritonsmith.generator.catalog.tensorrtllm.versions import Version
from tritonsmith.generator.manifests.launch import ENGINE_SCRIPT
from tritonsmith.generator.repository.scalars import bool_word

Fields = dict[str, Any]
_WAITING_TOKENS = 64


@dataclass(frozen=True)
class Pipeline:
    """The pipeline with everything decided: what is left is to write its models.

    preprocessing and postprocessing gather requests in every version, which NVIDIA's do from 0.19 and 0.13 on.
    """

    settings: Settings
    version: Version
    release: Release
    names: Mapping[str, str]
    types: Mapping[str, str]  # of the tensors whose type depends on the engine
    max_batch_size: int
    llms: Mapping[str, Llm]  # by role: tensorrt_llm with or without its draft; or context and generation
    tokenizer: Placed

    def models(self) -> dict[str, Fields]:
        """Return the models by name, steps first: the five, and those of a draft or of disaggregated serving."""
        apart = {"disaggregated_serving_bls": self._disaggregated_bls()} if self._is_apart else {}
        made = {
            "preprocessing": self._preprocessing(),
            **{role: self._llm(llm) for role, llm in self.llms.items()},
            **apart,
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
                "add_special_tokens": bool_word(self.settings.add_special_tokens),
                **({"apply_chat_template": "true"} if self.settings.apply_chat_template else {}),
                "gpt_model_path": self._engine_path,
            },
        }

    @property
    def _is_apart(self) -> bool:
        """Whether prompts are read by one model and answers written by another."""
        return "context" in self.llms

    @property
    def _generating(self) -> str:
        """The name of the model that makes tokens of tokens."""
        return self.names["disaggregated_serving_bls" if self._is_apart else "tensorrt_llm"]

    @property
    def _engine_path(self) -> str:
        return next(iter(self.llms.values())).placed.path

    def _llm(self, llm: Llm) -> Fields:
        return {
            "backend": "tensorrtllm",
            "files": {**llm.placed.files, **self._script(llm)},
            **self._tensors("tensorrt_llm"),
            "model_transaction_policy": {"decoupled": self.settings.streaming},
            "dynamic_batching": self._batching(),
            # On the CPU although it runs on GPUs: the backend itself owns the devices, an instance serves all requests.
            "instance_group": [{"kind": "KIND_CPU", "count": llm.replicas}],
            "parameters": dict(llm.parameters),
        }

    def _script(self, llm: Llm) -> dict[str, Any]:
        """Return engine.sh, beside config.pbtxt, for a model that is no engine yet."""
        script = engine_script(llm, self.settings, self.release, self.version, self.max_batch_size)
        return {ENGINE_SCRIPT: {"text": script}} if script else {}

    def _disaggregated_bls(self) -> Fields:
        """Return the model between context and generation: it has tensorrt_llm's tensors.

        Upstream leaves some out, and the reshape of all: what it gets goes on to models that want the batch axis.
        """
        tensors = self._tensors("tensorrt_llm")
        handed_over = "context_phase_params"
        return {
            "python": "blueprint:text_generation/disaggregated_serving_bls",
            "calls": [self.names["context"], self.names["generation"]],
            "max_batch_size": self.max_batch_size,
            "input": [_without(item, "reshape") for item in tensors["input"] if item["name"] != handed_over],
            "output": [item for item in tensors["output"] if item["name"] != handed_over],
            "model_transaction_policy": {"decoupled": self.settings.streaming},
            "instance_group": [{"kind": "KIND_CPU", "count": self.settings.instances.disaggregated_serving_bls}],
            "parameters": {
                "context_model_name": self.names["context"],
                "generation_model_name": self.names["generation"],
            },
        }

    def _postprocessing(self) -> Fields:
        return {
            **self._python("postprocessing", self.settings.instances.postprocessing),
            "dynamic_batching": {},
            "parameters": self._detokenising(),
        }

    def _bls(self) -> Fields:
        draft = self.names["tensorrt_llm_draft"] if "tensorrt_llm_draft" in self.llms else ""
        return {
            **self._python("tensorrt_llm_bls", self.settings.instances.tensorrt_llm_bls),
            "calls": [self.names["preprocessing"], self._generating, *([draft] if draft else [])],
            "model_transaction_policy": {"decoupled": self.settings.streaming},
            "parameters": {
                "accumulate_tokens": "true",
                "tensorrt_llm_model_name": self._generating,
                **({"tensorrt_llm_draft_model_name": draft} if draft else {}),
                "preprocessing_model_name": self.names["preprocessing"],
                **self._detokenising(),
            },
        }

    def _ensemble(self) -> Fields:
        steps = [
            {
                "model_name": self._generating if step.role == "tensorrt_llm" else self.names[step.role],
                "input_map": map_of(step.inputs, self.version),
                "output_map": map_of(step.outputs, self.version),
            }
            for step in STEPS
        ]
        return {"ensemble": steps, **self._tensors("ensemble"), **self._bound()}

    def _bound(self) -> Fields:
        """Return how many tokens of a request may wait for a step, where the release can say it (check TS640)."""
        is_known = self.release.name >= FIELDS_SINCE["ensemble_scheduling.max_inflight_requests"]
        is_bound = self.settings.streaming and is_known
        return {"ensemble_scheduling": {"max_inflight_requests": _WAITING_TOKENS}} if is_bound else {}

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
            "skip_special_tokens": bool_word(self.settings.skip_special_tokens),
        }


def _without(item: Fields, name: str) -> Fields:
    return {key: value for key, value in item.items() if key != name}
