import json

import triton_python_backend_utils as pb_utils

from .model_parameters import tensor_names
from .streams import Streams, read_decoding


class TritonPythonModel:
    """Turns the tokens of each response into text; a stream goes on where its last response ended."""

    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.streams = Streams(read_decoding(config, args["model_repository"], args["model_version"]))
        self.has_rows = "BATCH_INDEX" in tensor_names(config, "input")

    def execute(self, requests):
        return [self.respond(request) for request in requests]

    def respond(self, request):
        tokens = pb_utils.get_input_tensor_by_name(request, "TOKENS_BATCH").as_numpy()
        lengths = pb_utils.get_input_tensor_by_name(request, "SEQUENCE_LENGTH").as_numpy()
        texts = self.streams.texts(request.request_id(), tokens, lengths, self.row(request))
        wanted = request.requested_output_names()
        passed = [(name, pb_utils.get_input_tensor_by_name(request, name[4:])) for name in wanted if name != "OUTPUT"]
        tensors = [pb_utils.Tensor("OUTPUT", texts)] * ("OUTPUT" in wanted)
        # 24.08 and 24.09 pass these through: OUT_BATCH_INDEX is BATCH_INDEX
        tensors += [pb_utils.Tensor(name, tensor.as_numpy()) for name, tensor in passed if tensor is not None]
        return pb_utils.InferenceResponse(tensors)

    def row(self, request):
        tensor = pb_utils.get_input_tensor_by_name(request, "BATCH_INDEX") if self.has_rows else None
        return 0 if tensor is None else int(tensor.as_numpy().reshape(-1)[0])
