"""A null backend: answers every request with ones of the shapes that its configuration says, -1 being 1.

An index is 0: there is one row, and one sequence.
"""

import json

import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        batch = [1] if config["max_batch_size"] else []
        self.is_decoupled = config.get("model_transaction_policy", {}).get("decoupled", False)
        self.outputs = {}
        for output in config["output"]:
            shape = batch + [max(int(size), 1) for size in output["dims"]]
            value = 0 if output["name"].endswith("_index") else 1
            self.outputs[output["name"]] = np.full(shape, value, pb.triton_string_to_numpy(output["data_type"]))

    def execute(self, requests):
        responses = [self.answer(request) for request in requests]
        if not self.is_decoupled:
            return responses
        for request, response in zip(requests, responses, strict=True):
            sender = request.get_response_sender()
            sender.send(response)
            sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        return None

    def answer(self, request):
        wanted = request.requested_output_names()
        return pb.InferenceResponse([pb.Tensor(name, self.outputs[name]) for name in self.outputs if name in wanted])
