import json
from pathlib import Path
from time import perf_counter

import numpy as np
import triton_python_backend_utils as pb_utils
from onnx_batching import Job, group_jobs, join_inputs, split_outputs, wanted_outputs
from onnx_cancellation import RunClock
from onnx_pruning import PartialSessions
from onnx_ragged import batch_inputs, ragged_names, scatter, scatter_targets
from onnx_sequences import SequenceStates
from onnx_session import (
    Settings,
    available_providers,
    default_max_batch_size,
    find_model,
    open_session,
    read_settings,
    run_options,
    server_arguments,
)
from onnx_signature import complete, needs_completion, read_signatures, validate
from onnx_tensors import bits_from_dlpack, decode_strings, dlpack_of_bits, run_with_bits


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(auto_complete_model_config):
        config = auto_complete_model_config.as_dict()
        if needs_completion(config):
            path = find_model(Path(pb_utils.get_model_dir()), config.get("default_model_filename", ""), config["name"])
            # Only the signature is wanted: nothing is optimized.
            libraries = tuple((config.get("model_operations") or {}).get("op_library_filename", ()))
            signatures = read_signatures(
                open_session(path, Settings(graph_level="ORT_DISABLE_ALL", libraries=libraries))
            )
            for notice in complete(config, signatures, default_max_batch_size(server_arguments())):
                pb_utils.Logger.log_warn(notice)
        return auto_complete_model_config

    def initialize(self, args):
        config = json.loads(args["model_config"])
        folder = Path(args["model_repository"]) / args["model_version"]
        path = find_model(folder, config.get("default_model_filename", ""), config["name"])
        settings = read_settings(
            config, args["model_instance_kind"], int(args["model_instance_device_id"]), available_providers()
        )
        for notice in settings.notices:
            pb_utils.Logger.log_warn(f"{args['model_instance_name']}: {notice}")
        self.session = open_session(path, settings)
        self.sessions = PartialSessions(path, self.session, lambda part: open_session(path, settings, part))
        self.run_options = run_options(settings)
        signatures = read_signatures(self.session)
        validate(config, signatures)
        self._remember(config, signatures)

    def _remember(self, config, signatures):
        """What execute() needs of the configuration, looked up once."""
        self.config = config
        self.max_batch_size = config.get("max_batch_size", 0)
        inputs = {**signatures.inputs, **signatures.initializers}
        tensors = {**inputs, **signatures.outputs}
        self.bf16 = frozenset(name for name, tensor in tensors.items() if tensor.data_type == "TYPE_BF16")
        self.strings = frozenset(name for name, tensor in inputs.items() if tensor.data_type == "TYPE_STRING")
        self.scalars = frozenset(name for name, tensor in inputs.items() if not tensor.shape)
        self.scalar_outputs = {
            output["name"]: tuple(int(dim) for dim in output["dims"])
            for output in config.get("output", ())
            if not signatures.outputs[output["name"]].shape
        }
        self.ragged = ragged_names(config)
        self.has_batch_inputs = bool(config.get("batch_input"))
        self.scattered = scatter_targets(config)
        self.sequences = SequenceStates(config) if config.get("sequence_batching") else None
        self.clock = RunClock()
        self.is_decoupled = pb_utils.using_decoupled_model_transaction_policy(config)
        special = (self.bf16, self.strings, self.scalars, self.scalar_outputs, self.ragged, self.scattered)
        self.is_plain = not any(special) and not self.has_batch_inputs and self.sequences is None

    def execute(self, requests):
        responses = self._respond(requests)
        if not self.is_decoupled:
            return responses
        for request, response in zip(requests, responses, strict=True):
            request.get_response_sender().send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        return None

    def _respond(self, requests):
        # A step of a sequence is always run: those after it depend on it.
        is_asking = self.clock.is_asking_worthwhile and self.sequences is None
        if len(requests) == 1 and self.is_plain and not is_asking:
            return [self._answer_alone(requests[0])]
        responses = [None] * len(requests)
        jobs = []
        for place, request in enumerate(requests):
            if is_asking and request.is_cancelled():
                responses[place] = _failure("the request was cancelled", pb_utils.TritonError.CANCELLED)
                continue
            try:
                job = self._read(place, request)
            except ValueError as error:
                responses[place] = _failure(error, pb_utils.TritonError.INVALID_ARG)
                continue
            except Exception as error:  # whatever fails must fail one request, not the batch
                responses[place] = _failure(error, pb_utils.TritonError.INTERNAL)
                continue
            if job is None:
                responses[place] = pb_utils.InferenceResponse([])
            else:
                jobs.append(job)
        for group in group_jobs(jobs, self.max_batch_size, self.ragged):
            self._answer(group, requests, responses)
        return responses

    def _answer_alone(self, request):
        """One plain request; what _read, _infer and _answer would do, in a tenth of the steps.

        At concurrency 1 every request comes this way, and what Python does between two waits runs on cold caches.
        """
        try:
            inputs = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            names = list(request.requested_output_names())
            started_s = perf_counter()
            arrays = self.sessions.pick(names).run(names, inputs, self.run_options)
            self.clock.took(1, perf_counter() - started_s)
            return pb_utils.InferenceResponse(list(map(self._tensor, names, arrays)))
        except Exception as error:  # ONNX Runtime's exceptions have no base of their own
            return _failure(error, pb_utils.TritonError.INTERNAL)

    def _read(self, place, request):
        """The request as a Job; None for a row that pads the direct sequence batcher's batch."""
        inputs = {}
        for tensor in request.inputs():
            name = tensor.name()
            if name in self.bf16:
                inputs[name] = bits_from_dlpack(tensor.to_dlpack())
            elif name in self.strings:
                inputs[name] = decode_strings(name, tensor.as_numpy())
            else:
                inputs[name] = tensor.as_numpy()
        outputs = frozenset(request.requested_output_names())
        if self.sequences is not None:
            # Padding has no correlation id (tried on 2.51), with or without a READY control in the configuration.
            if not request.correlation_id():
                return None
            inputs.update(self.sequences.inputs(request.correlation_id(), request.flags(), inputs))
            outputs |= self.sequences.output_names
        return Job(place, inputs, outputs)

    def _answer(self, group, requests, responses):
        try:
            parts = self._infer(group)
        # ONNX Runtime's exceptions have no base of their own, and whatever fails must fail one request, not the batch.
        except Exception as error:
            if len(group) == 1:
                responses[group[0].place] = _failure(error, pb_utils.TritonError.INTERNAL)
            else:
                for job in group:
                    self._answer([job], requests, responses)
            return
        for job, outputs in zip(group, parts, strict=True):
            try:
                responses[job.place] = self._response(requests[job.place], outputs)
            except Exception as error:
                responses[job.place] = _failure(error, pb_utils.TritonError.INTERNAL)

    def _response(self, request, outputs):
        if self.sequences is not None:
            self.sequences.keep(request.correlation_id(), request.flags(), outputs)
            wanted = request.requested_output_names()
            outputs = {name: array for name, array in outputs.items() if name in wanted}
        return pb_utils.InferenceResponse(list(map(self._tensor, outputs.keys(), outputs.values())))

    def _infer(self, group):
        """For each job of the group its outputs by name."""
        inputs = join_inputs(group, self.ragged)
        if self.has_batch_inputs:
            inputs.update(batch_inputs(self.config, [job.inputs for job in group]))
        for name in self.scalars & inputs.keys():
            inputs[name] = inputs[name].reshape(())
        names = wanted_outputs(group)
        started_s = perf_counter()
        session = self.sessions.pick(names)
        if self.bf16:
            arrays = run_with_bits(session, names, inputs, self.bf16, self.run_options)
        else:
            arrays = session.run(names, inputs, self.run_options)
        self.clock.took(len(group), perf_counter() - started_s)
        outputs = dict(zip(names, arrays, strict=True))
        flat = {name: outputs.pop(name) for name in self.scattered.keys() & outputs.keys()}
        parts = split_outputs(group, outputs)
        for name, array in flat.items():
            source, shape = self.scattered[name]
            for part, own in zip(parts, scatter(array, shape, [job.inputs[source] for job in group]), strict=True):
                part[name] = own
        return parts

    def _tensor(self, name, array):
        try:
            if name in self.scalar_outputs and not np.ndim(array):
                array = np.reshape(array, self.scalar_outputs[name])
            if name in self.bf16:
                return pb_utils.Tensor.from_dlpack(name, dlpack_of_bits(array))
            return pb_utils.Tensor(name, array)
        except Exception as error:
            raise RuntimeError(f"output '{name}' cannot be sent: {error}") from error

    def finalize(self):
        self.session = self.sessions = None


def _failure(error, code):
    return pb_utils.InferenceResponse([], pb_utils.TritonError(str(error), code))
