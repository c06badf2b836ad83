import json

import triton_python_backend_utils as pb_utils

from .decode import ImageError, prepare_batches, read_recipe


class TritonPythonModel:
    """Decodes, resizes and normalises the images of all requests at hand in one pass."""

    def initialize(self, args):
        self.recipe = read_recipe(json.loads(args["model_config"]))

    def execute(self, requests):
        images = [pb_utils.get_input_tensor_by_name(request, "image").as_numpy() for request in requests]
        return [respond(answer) for answer in prepare_batches(images, self.recipe)]


def respond(answer):
    if isinstance(answer, ImageError):
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(answer), pb_utils.TritonError.INVALID_ARG))
    return pb_utils.InferenceResponse([pb_utils.Tensor("pixels", answer)])
