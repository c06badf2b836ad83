"""A null backend: stands in for a C++ backend that this machine lacks; it takes every model, and answers emptily.

It completes a configuration with what tritonsmith read from the model's own file, as the C++ backend would. Requests
come from a warm-up alone.
"""

import json
from pathlib import Path

import triton_python_backend_utils as pb

COMPLETED = Path(__file__).parent / "completed.json"


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        written = config.as_dict()
        completed = json.loads(COMPLETED.read_text()).get(written["name"], {})
        known = {tensor["name"] for field in ("input", "output") for tensor in written[field]}
        for field, add in (("input", config.add_input), ("output", config.add_output)):
            for tensor in completed.get(field, []):
                if tensor["name"] not in known:
                    add(tensor)
        if completed.get("max_batch_size", 0) > written["max_batch_size"]:
            config.set_max_batch_size(completed["max_batch_size"])
        return config

    def initialize(self, args):
        policy = json.loads(args["model_config"]).get("model_transaction_policy", {})
        self.is_decoupled = policy.get("decoupled", False)

    def execute(self, requests):
        if not self.is_decoupled:
            return [pb.InferenceResponse([]) for _ in requests]
        for request in requests:
            request.get_response_sender().send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        return None
