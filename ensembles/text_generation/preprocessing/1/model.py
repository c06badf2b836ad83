import json

import triton_python_backend_utils as pb_utils

from .model_parameters import ClientError, tensor_names
from .tokenise import encode_request, read_encoding


class TritonPythonModel:
    """Turns prompts and words into token ids, one request at a time: each has its own padding."""

    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.encoding = read_encoding(config, args["model_repository"], args["model_version"])
        self.inputs = sorted(tensor_names(config, "input"))

    def execute(self, requests):
        return [self.respond(request) for request in requests]

    def respond(self, request):
        found = {name: pb_utils.get_input_tensor_by_name(request, name) for name in self.inputs}
        inputs = {name: tensor.as_numpy() for name, tensor in found.items() if tensor is not None}
        try:
            outputs = encode_request(inputs, frozenset(request.requested_output_names()), self.encoding)
        except ClientError as problem:
            return pb_utils.InferenceResponse(
                error=pb_utils.TritonError(str(problem), pb_utils.TritonError.INVALID_ARG)
            )
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in outputs.items()])
