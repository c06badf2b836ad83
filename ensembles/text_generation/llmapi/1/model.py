import json
import os
from pathlib import Path

import triton_python_backend_utils as pb_utils

from .completion import Completer
from .llm.engines import has_tensorrt_llm, open_engine
from .llm.request import QueueFullError, Request, RequestError, Sampling
from .llm.wire.parameters import Settings
from .llmapi_config import read_configuration


class TritonPythonModel:
    """Answers prompts with text. Tensors have no batch axis: one prompt per request."""

    def initialize(self, args):
        instance = args["model_instance_name"]
        found = read_configuration(json.loads(args["model_config"]), args["model_repository"], args["model_version"])
        if gpus := found.gpus_of(instance):  # before the import: CUDA looks once
            os.environ["CUDA_VISIBLE_DEVICES"] = gpus
        engine = self.on_gpu(found) if has_tensorrt_llm() else open_engine(found.model, Settings(**found.settings()))
        self.completer = Completer(engine, found, pb_utils, Request, Sampling, (RequestError, QueueFullError))
        self.completer.start()

    def on_gpu(self, found):
        import tensorrt_llm

        from .llm.llmapi.engine import LlmEngine
        from .llm.llmapi.open import read_limits

        config = json.loads((Path(found.model) / "config.json").read_bytes())
        limits = read_limits(config, Settings(**found.settings()))
        llm = tensorrt_llm.LLM(model=str(found.model), skip_tokenizer_init=True, **found.arguments)
        return LlmEngine(llm, tensorrt_llm.SamplingParams, limits)

    def execute(self, requests):
        self.completer.accept(requests)  # responses follow through each request's sender, decoupled or not

    def finalize(self):
        self.completer.close()
