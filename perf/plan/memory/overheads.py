"""What takes GPU memory and is neither weights nor cache: activations, logits, communication, libraries, the driver."""

from __future__ import annotations

from tritonsmith.generator.catalog.gpus import Gpu
from tritonsmith.perf.plan.core import Figure, LanguageModel, Part, Serving, Spread, about

_MIB = 2.0**20
_GIB = 2.0**30

# CUDA gives less than nvidia-smi's total: 79.11 GiB of an H100's 81,559 MiB, 139.80 of an H200's 143,771, 178.35 of a
# B200's 183,359, 22.03 of an L4's 23,034 (torch.cuda.mem_get_info, in PyTorch's messages).
_DRIVER_BYTES, _DRIVER_SHARE = 450 * _MIB, 0.0015
# Source: ai-dynamo/aiconfigurator 0.12: systems/*.yaml (nccl_mem).
_NCCL_BYTES = {1: 0.0, 2: 342 * _MIB}
_NCCL_MOST_BYTES = 392 * _MIB
_NCCL_LEAST_BYTES, _NCCL_SEEN_BYTES = 200 * _MIB, 2 * _GIB  # 1.8 GiB more on two GPUs: vllm-project/vllm#10511
# A context, cuBLAS's work space, kernels' code, CUDA graphs: aiconfigurator 0.12 (systems/*.yaml, other_mem) had 551 MB
# and reserves 3.5 GiB to be safe; vllm-project/vllm#10511 shows 1.8 GiB, NVIDIA/TensorRT-LLM#6335 1.7 beside weights.
_RUNTIME_BYTES = Figure(1.5 * _GIB, 0.55 * _GIB, 4 * _GIB, "aiconfigurator 0.12: systems/*.yaml (other_mem); logs")


def driver_part(gpu: Gpu) -> Part:
    """Return what the driver keeps of the memory that nvidia-smi shows."""
    value = _DRIVER_BYTES + _DRIVER_SHARE * gpu.memory_bytes
    source = "nvidia-smi's totals against CUDA's on L4, H100, H200, B200"
    arithmetic = f"{_DRIVER_BYTES / _MIB:,.0f} MiB + {_DRIVER_SHARE:.2%} of {gpu.memory_bytes / _GIB:,.1f} GiB"
    return Part("the driver", about(value, 0.4, source), arithmetic)


def runtime_parts(spread: Spread) -> tuple[Part, ...]:
    """Return what CUDA and its libraries take, and NCCL where several GPUs work together."""
    runtime = Part("CUDA, its libraries and graphs", _RUNTIME_BYTES, "1.5 GiB; 0.55 to 4 have been seen")
    if spread.gpus == 1:
        return (runtime,)
    value = _NCCL_BYTES.get(spread.gpus, _NCCL_MOST_BYTES)
    buffers = Figure(value, _NCCL_LEAST_BYTES, _NCCL_SEEN_BYTES, "aiconfigurator 0.12: systems/*.yaml (nccl_mem)")
    return runtime, Part("communication", buffers, f"NCCL's buffers for {spread.gpus} GPUs")


def working_parts(model: LanguageModel, serving: Serving) -> tuple[Part, ...]:
    """Return what a step of `max_num_tokens` tokens works in, and the logits of a rank's sequences."""
    return _activations(model, serving), _logits(model, serving)


def _activations(model: LanguageModel, serving: Serving) -> Part:
    """Three hidden vectors of a token, three of its feed-forward part, and with experts two more for each of its own.

    ai-dynamo/aiconfigurator 0.12 (sdk/backends/trtllm_backend.py) has, in hidden vectors of a dense model, 11 on one
    GPU, 6.5 on two, 5 on four and more; twice that with experts. Ours: 12.5, 7.8, 5.4 for Llama's 70B.
    """
    spread = serving.spread
    routed = 2 * model.experts_per_token * spread.data / spread.expert if model.experts else 0.0
    vectors = 3 + routed
    width = 3 * model.intermediate_size / spread.tensor
    each = 2 * (vectors * model.hidden_size + width)
    arithmetic = (
        f"{serving.max_num_tokens:,} tokens x 2 B x ({vectors:g} x {model.hidden_size:,} + 3 x "
        f"{model.intermediate_size:,} / TP{spread.tensor})"
    )
    return Part("activations", about(serving.max_num_tokens * each, 0.5, "the shape of its layers"), arithmetic)


def _logits(model: LanguageModel, serving: Serving) -> Part:
    """Logits and what the sampler copies of them, in 32 bits, of each sequence's last token."""
    one = serving.rank_batch_size * model.vocab_size * 4.0
    arithmetic = f"{serving.rank_batch_size} sequences x {model.vocab_size:,} x 4 B x 3 copies; 1 to 6"
    return Part("logits", Figure(3 * one, one, 6 * one, "vocab_size x max_batch_size"), arithmetic)
