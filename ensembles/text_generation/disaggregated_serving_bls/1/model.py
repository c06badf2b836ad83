import json
from concurrent.futures import ThreadPoolExecutor

import triton_python_backend_utils as pb_utils

from .disaggregated import ModelError, RefusedError, Request, read_setup, serve

WIDTH = 256  # requests under way in one instance; each waits in a thread of its own
FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    """Hands each request to the model that reads prompts, then to the one that writes answers."""

    def initialize(self, args):
        self.setup = read_setup(json.loads(args["model_config"]))
        self.inputs = sorted(self.setup.inputs)
        self.threads = ThreadPoolExecutor(WIDTH)

    def execute(self, requests):
        for request in requests:
            self.threads.submit(self.serve, request)

    def serve(self, request):
        sender = request.get_response_sender()
        try:
            found = {name: pb_utils.get_input_tensor_by_name(request, name) for name in self.inputs}
            inputs = {name: tensor.as_numpy() for name, tensor in found.items() if tensor is not None}
            asked = Request(inputs, tuple(request.requested_output_names()), request.request_id(), sender.is_cancelled)
            for tensors in serve(self.setup, asked, self.ask):
                made = [pb_utils.Tensor(name, value) for name, value in tensors.items()]
                sender.send(pb_utils.InferenceResponse(made), flags=0 if self.setup.is_decoupled else FINAL)
            if self.setup.is_decoupled:
                sender.send(flags=FINAL)
        except RefusedError as problem:
            self.fail(sender, str(problem), pb_utils.TritonError.INVALID_ARG)
        except ModelError as problem:
            self.fail(sender, str(problem), problem.code)
        except Exception as problem:  # else the client would wait for ever
            self.fail(sender, f"{type(problem).__name__}: {problem}", pb_utils.TritonError.INTERNAL)

    def fail(self, sender, message, code):
        error = pb_utils.TritonError(message) if code is None else pb_utils.TritonError(message, code)
        sender.send(pb_utils.InferenceResponse(error=error), flags=FINAL)

    def ask(self, model, inputs, outputs, request_id, kind):
        request = pb_utils.InferenceRequest(
            model_name=model,
            requested_output_names=list(outputs),
            inputs=[pb_utils.Tensor(name, value) for name, value in inputs.items()],
            request_id=request_id,
            parameters={"request_type": kind},
        )
        responses = request.exec(decoupled=self.setup.is_decoupled)
        for response in responses if self.setup.is_decoupled else [responses]:
            if response.has_error():
                error = response.error()
                raise ModelError(model, error.message(), error.code())
            yield {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}

    def finalize(self):
        self.threads.shutdown(wait=False, cancel_futures=True)
