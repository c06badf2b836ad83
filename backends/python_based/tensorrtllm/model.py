import json
from pathlib import Path

import triton_python_backend_utils as pb_utils
from llm.engines import has_tensorrt_llm, open_engine
from llm.wire.metrics import Metrics
from llm.wire.parameters import engine_folder, read_settings
from llm.wire.service import Service


class TritonPythonModel:
    def initialize(self, args):
        config, name = json.loads(args["model_config"]), args["model_name"]
        try:
            settings = read_settings(config, is_on_gpu=has_tensorrt_llm())
            folder = engine_folder(settings.engine, Path(args["model_repository"]), args["model_version"], name)
            engine = open_engine(folder, settings)
        except ValueError as error:  # without a traceback: the message says what is wrong with the user's files
            raise pb_utils.TritonModelException(str(error)) from None
        for notice in settings.notices:
            pb_utils.Logger.log_warn(f"{name}: {notice}")
        self.service = Service(engine, settings, pb_utils, Metrics(pb_utils, name, args["model_version"]))
        self.service.start()

    def execute(self, requests):
        self.service.accept(requests)  # responses follow through each request's sender, decoupled or not

    def finalize(self):
        self.service.close()
