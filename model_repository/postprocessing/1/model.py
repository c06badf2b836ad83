import json

import triton_python_backend_utils as pb_utils

from .labels import ScoresError, rank_batches, read_ranking


class TritonPythonModel:
    """Turns the scores of all requests at hand into their best labels in one pass."""

    def initialize(self, args):
        self.ranking = read_ranking(json.loads(args["model_config"]), args["model_repository"])

    def execute(self, requests):
        scores = [pb_utils.get_input_tensor_by_name(request, "scores").as_numpy() for request in requests]
        return [respond(answer) for answer in rank_batches(scores, self.ranking)]


def respond(answer):
    if isinstance(answer, ScoresError):
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(answer), pb_utils.TritonError.INVALID_ARG))
    return pb_utils.InferenceResponse(
        [pb_utils.Tensor("label", answer.labels), pb_utils.Tensor("score", answer.scores)]
    )
