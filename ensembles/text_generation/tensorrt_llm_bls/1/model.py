import collections
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import triton_python_backend_utils as pb_utils

from .bls import Bls, ModelError, read_setup
from .jobs import Cancelled
from .model_parameters import ClientError

WIDTH = 256  # requests under way in one instance; each waits in a thread of its own
KEPT_S = 1.0
FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    """Answers requests with text: one at a time where they are streamed, else many at once (`Bls` says why)."""

    def initialize(self, args):
        setup = read_setup(json.loads(args["model_config"]), args["model_repository"], args["model_version"])
        self.inputs = sorted(setup.inputs)
        self.bls = Bls(setup, Models())
        self.threads = None if setup.is_decoupled else ThreadPoolExecutor(WIDTH)

    def execute(self, requests):
        for request in requests:
            if self.threads is None:
                self.serve(request)
            else:
                self.threads.submit(self.serve, request)

    def serve(self, request):
        client = Client(request.get_response_sender())
        try:
            found = {name: pb_utils.get_input_tensor_by_name(request, name) for name in self.inputs}
            inputs = {name: tensor.as_numpy() for name, tensor in found.items() if tensor is not None}
            self.bls.serve(client, inputs, request.requested_output_names())
        except ClientError as problem:
            client.fail(str(problem), pb_utils.TritonError.INVALID_ARG)
        except ModelError as problem:
            client.fail(str(problem), problem.code)
        except Cancelled as problem:
            client.fail(str(problem), pb_utils.TritonError.CANCELLED)
        except Exception as problem:  # else the client would wait for ever
            client.fail(f"{type(problem).__name__}: {problem}", pb_utils.TritonError.INTERNAL)

    def finalize(self):
        if self.threads is not None:
            self.threads.shutdown(wait=False, cancel_futures=True)
        self.bls.close()


class Client:
    """A request's response sender."""

    def __init__(self, sender):
        self.sender = sender

    def send(self, tensors, *, is_last):
        response = pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in tensors.items()])
        self.sender.send(response, flags=FINAL if is_last else 0)

    def end(self):
        self.sender.send(flags=FINAL)

    def fail(self, message, code):
        error = pb_utils.TritonError(message) if code is None else pb_utils.TritonError(message, code)
        self.sender.send(pb_utils.InferenceResponse(error=error), flags=FINAL)

    def is_cancelled(self):
        return self.sender.is_cancelled()


class Models:
    """The server's models.

    Responses that have been read are kept a little longer: the stub lets go of their iterator later, and if nobody else
    has it, destroys it with the lock of all iterators while it waits for the GIL; `exec` waits for that lock with the
    GIL (python_backend: Stub::SendCleanupId, Stub::GetResponseIterator).
    """

    def __init__(self):
        self.read = collections.deque()
        self.lock = threading.Lock()

    def ask(self, model, inputs, outputs, request_id, *, is_decoupled):
        request = pb_utils.InferenceRequest(
            model_name=model,
            requested_output_names=list(outputs),
            inputs=[pb_utils.Tensor(name, value) for name, value in inputs.items()],
            request_id=request_id,
        )
        responses = request.exec(decoupled=is_decoupled)
        try:
            for response in responses if is_decoupled else [responses]:
                if response.has_error():
                    error = response.error()
                    raise ModelError(model, error.message(), error.code())
                yield {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}
        finally:
            self.keep(responses)

    def keep(self, responses):
        now = time.monotonic()
        with self.lock:
            self.read.append((now, responses))
            while self.read[0][0] < now - KEPT_S:
                self.read.popleft()
