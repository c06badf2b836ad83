"""Write a Llama as an ONNX graph for ONNX Runtime's CPU kernels, from the tensors of a Hugging Face folder. No torch.

Inputs: `input_ids` [rows, length], `seqlens_k` [rows] (tokens in the cache after this run, minus 1), `total_length`
(the longest of these, not minus 1), and per layer `past_key_<i>`, `past_value_<i>` [rows, kv heads, room, head size].
Outputs: `next` [rows] (the likeliest token), `logits` [rows, vocab] (after each row's last token), `present_key_<i>`,
`present_value_<i>`. Past and present are bound to the same memory: attention writes the new keys and values in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from .errors import EngineError
from .llama import Llama, rotary_angles
from .safetensors import StoredTensor

Array = npt.NDArray[Any]
Precision = Literal["fp32", "int8"]
MICROSOFT = "com.microsoft"
BLOCK = 32  # weights that share one scale
_ROWS, _LENGTH = "rows", "length"


@dataclass
class Graph:
    """A graph being written: nodes in order, and the constants they use by name."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def add(self, kind: str, inputs: list[str], output: str | list[str], domain: str = "", **attributes: Any) -> str:
        """Append a node and return its first output."""
        outputs = [output] if isinstance(output, str) else output
        self.nodes.append(helper.make_node(kind, inputs, outputs, domain=domain, **attributes))
        return outputs[0]

    def constant(self, name: str, value: Array) -> str:
        """Keep a constant and return its name."""
        self.constants[name] = value
        return name


def write_graph(llama: Llama, tensors: Mapping[str, StoredTensor], precision: Precision, length: int) -> Graph:
    """Return the graph of a Llama for sequences of up to `length` tokens.

    With int8 the layers' weights are 8 bit numbers in blocks of 32 with a scale each; the embedding stays fp32.

    Raises: EngineError where a tensor is missing, or has another shape than config.json tells.
    """
    if precision not in get_args(Precision):
        raise EngineError(f"weights '{precision}': one of {', '.join(get_args(Precision))}")
    writer = _Writer(llama, tensors, precision, length)
    writer.write()
    return writer.graph


def quantize(weights: Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Turn weights [out, in] into bytes [out, blocks, 32] and scales [out, blocks]: weight = (byte - 128) * scale.

    Source: onnxruntime ContribOperators.md, MatMulNBits (zero point 2^(bits - 1) unless given).
    """
    rows, columns = weights.shape
    padded = np.pad(weights, ((0, 0), (0, -columns % BLOCK))).reshape(rows, -1, BLOCK)
    scales = np.abs(padded).max(axis=2) / np.float32(127)
    steps = np.divide(padded, scales[:, :, None], out=np.zeros_like(padded), where=scales[:, :, None] > 0)
    return (np.rint(steps) + 128).astype(np.uint8), scales.astype(np.float32)


class _Writer:
    """Appends the model's parts, one method each."""

    def __init__(self, llama: Llama, tensors: Mapping[str, StoredTensor], precision: Precision, length: int) -> None:
        self.llama, self.tensors, self.precision, self.length = llama, tensors, precision, length
        self.graph = Graph()
        self.project: Callable[[str, str, list[tuple[str, int]], str], str] = (
            self._project_int8 if precision == "int8" else self._project_fp32
        )

    def write(self) -> None:
        """Append everything: embedding, layers, and for the last token the logits."""
        llama, graph = self.llama, self.graph
        for name, values in zip(("cosines", "sines"), rotary_angles(llama, self.length), strict=True):
            graph.constant(name, values)
        embedding = self._read("model.embed_tokens.weight", llama.vocab, llama.hidden)
        graph.constant("embedding", embedding)
        stream = graph.add("Gather", ["embedding", "input_ids"], "embedded")
        update = ""
        for layer in range(llama.layers):
            stream, update = self._layer(layer, stream, update)
        self._answer(stream, update)

    def _layer(self, layer: int, stream: str, update: str) -> tuple[str, str]:
        """Append one layer; return the residual stream, and what is still to be added to it."""
        llama, prefix = self.llama, f"model.layers.{layer}"
        place = f"l{layer}_"
        stream, normed = self._norm(f"{prefix}.input_layernorm.weight", stream, update, f"{place}attention_")
        width, kv_width = llama.heads * llama.head_size, llama.kv_heads * llama.head_size
        parts = [
            (f"{prefix}.self_attn.q_proj.weight", width),
            (f"{prefix}.self_attn.k_proj.weight", kv_width),
            (f"{prefix}.self_attn.v_proj.weight", kv_width),
        ]
        mixed = self._attend(layer, self.project(normed, f"{place}qkv", parts, "hidden"))
        update = self.project(mixed, f"{place}o", [(f"{prefix}.self_attn.o_proj.weight", llama.hidden)], "heads")
        stream, normed = self._norm(f"{prefix}.post_attention_layernorm.weight", stream, update, f"{place}mlp_")
        gate = self.project(normed, f"{place}gate", [(f"{prefix}.mlp.gate_proj.weight", llama.intermediate)], "hidden")
        up = self.project(normed, f"{place}up", [(f"{prefix}.mlp.up_proj.weight", llama.intermediate)], "hidden")
        # x * sigmoid(alpha * x): with alpha 1 it is SiLU
        swished = self.graph.add("QuickGelu", [gate], f"{place}silu", MICROSOFT, alpha=1.0)
        product = self.graph.add("Mul", [swished, up], f"{place}product")
        down = [(f"{prefix}.mlp.down_proj.weight", llama.hidden)]
        return stream, self.project(product, f"{place}down", down, "intermediate")

    def _attend(self, layer: int, packed: str) -> str:
        caches = [f"past_key_{layer}", f"past_value_{layer}"]
        outputs = [f"l{layer}_mixed", f"present_key_{layer}", f"present_value_{layer}"]
        return self.graph.add(
            "GroupQueryAttention",
            [packed, "", "", *caches, "seqlens_k", "total_length", "cosines", "sines"],
            outputs,
            MICROSOFT,
            num_heads=self.llama.heads,
            kv_num_heads=self.llama.kv_heads,
            do_rotary=1,
            scale=float(self.llama.head_size**-0.5),
        )

    def _norm(self, weight: str, stream: str, update: str, place: str) -> tuple[str, str]:
        """Append a residual addition and a norm; return the new stream, and it normed."""
        scale = self.graph.constant(weight, self._read(weight, self.llama.hidden))
        if not update:
            normed = self.graph.add(
                "SimplifiedLayerNormalization", [stream, scale], f"{place}normed", axis=-1, epsilon=self.llama.epsilon
            )
            return stream, normed
        outputs = [f"{place}normed", "", "", f"{place}stream"]
        inputs = [stream, update, scale]
        self.graph.add("SkipSimplifiedLayerNormalization", inputs, outputs, MICROSOFT, epsilon=self.llama.epsilon)
        return outputs[3], outputs[0]

    def _answer(self, stream: str, update: str) -> None:
        """Append logits and the likeliest token, for the last position alone."""
        graph = self.graph
        graph.constant("last", np.array(-1, np.int64))
        stream = graph.add("Gather", [stream, "last"], "last_stream", axis=1)
        update = graph.add("Gather", [update, "last"], "last_update", axis=1)
        _, normed = self._norm("model.norm.weight", stream, update, "final_")
        if self.llama.is_tied:
            graph.add("Gemm", [normed, "embedding"], "logits", transB=1)
        else:
            self.project(normed, "logits", [("lm_head.weight", self.llama.vocab)], "hidden")
        graph.add("ArgMax", ["logits"], "next", axis=1, keepdims=0)

    def _project_fp32(self, source: str, target: str, parts: list[tuple[str, int]], width: str) -> str:
        weights = self._joined(parts, width).T  # a view: the copy is made where the session is opened
        return self.graph.add("MatMul", [source, self.graph.constant(f"{target}_weight", weights)], target)

    def _project_int8(self, source: str, target: str, parts: list[tuple[str, int]], width: str) -> str:
        weights = self._joined(parts, width)
        packed, scales = quantize(weights)
        inputs = [
            source,
            self.graph.constant(f"{target}_weight", packed),
            self.graph.constant(f"{target}_scales", scales),
        ]
        rows, columns = weights.shape
        return self.graph.add(
            "MatMulNBits", inputs, target, MICROSOFT, K=columns, N=rows, bits=8, block_size=BLOCK, accuracy_level=4
        )

    def _joined(self, parts: list[tuple[str, int]], width: str) -> Array:
        """Return weights [sum of outs, in]; `width` says what goes in."""
        llama = self.llama
        columns = {
            "hidden": llama.hidden,
            "heads": llama.heads * llama.head_size,
            "intermediate": llama.intermediate,
        }[width]
        arrays = [self._read(name, rows, columns) for name, rows in parts]
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)

    def _read(self, name: str, *shape: int) -> Array:
        if name not in self.tensors:
            raise EngineError(f"the tensor {name} is missing from the weights")
        tensor = self.tensors[name]
        if tensor.shape != shape:
            raise EngineError(f"{tensor.path}: {name} is {list(tensor.shape)}; config.json tells {list(shape)}")
        return tensor.read()


def unused_tensors(tensors: Mapping[str, StoredTensor], llama: Llama) -> Iterator[str]:
    """Yield the tensors that no part of a Llama's graph uses: biases, norms of other models, adapters."""
    layer_parts = (
        *(f"self_attn.{part}_proj" for part in "qkvo"),
        *(f"mlp.{part}_proj" for part in ("gate", "up", "down")),
        "input_layernorm",
        "post_attention_layernorm",
    )
    known = {f"model.layers.{i}.{part}.weight" for i in range(llama.layers) for part in layer_parts}
    known |= {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}
    for name in sorted(tensors):
        if name not in known and not name.endswith(".rotary_emb.inv_freq"):  # old checkpoints carry what theta tells
            yield name


def model_inputs(llama: Llama) -> list[onnx.ValueInfoProto]:
    """Return the graph's inputs."""
    caches = [
        helper.make_tensor_value_info(
            f"past_{part}_{layer}", TensorProto.FLOAT, [_ROWS, llama.kv_heads, "room", llama.head_size]
        )
        for layer in range(llama.layers)
        for part in ("key", "value")
    ]
    return [
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, [_ROWS, _LENGTH]),
        helper.make_tensor_value_info("seqlens_k", TensorProto.INT32, [_ROWS]),
        helper.make_tensor_value_info("total_length", TensorProto.INT32, []),
        *caches,
    ]


def model_outputs(llama: Llama) -> list[onnx.ValueInfoProto]:
    """Return the graph's outputs."""
    caches = [
        helper.make_tensor_value_info(
            f"present_{part}_{layer}", TensorProto.FLOAT, [_ROWS, llama.kv_heads, "room", llama.head_size]
        )
        for layer in range(llama.layers)
        for part in ("key", "value")
    ]
    return [
        helper.make_tensor_value_info("next", TensorProto.INT64, [_ROWS]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, [_ROWS, llama.vocab]),
        *caches,
    ]
