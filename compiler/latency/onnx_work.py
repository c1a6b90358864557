""".onnx -> Work, node by node. Source: ONNX operator schemas; onnxruntime's documentation on graph optimizations."""

from collections.abc import Callable
from math import prod
from typing import Any

from compiler.latency.work import Tally, Work

Sizes = tuple[int, ...]
Reader = Callable[["Node", Tally], None]
FREE = {
    "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Constant", "Shape", "Cast",
    "QuantizeLinear", "DequantizeLinear", "BatchNormalization",
}  # fmt: skip
"""Moves no data, or onnxruntime fuses it into what stands before it."""
FUSED_AFTER = {"Conv": {"Relu", "Clip", "LeakyRelu", "HardSigmoid"}}
"""Activations that become part of a convolution."""
EXPONENTIAL = {
    "Sigmoid", "Tanh", "Softmax", "LogSoftmax", "Swish", "Mish", "Gelu", "Erf", "Exp", "Elu", "Selu", "Softplus",
}  # fmt: skip
UNCOUNTED = {
    "If", "Loop", "Scan", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "Einsum", "Attention",
}  # fmt: skip
"""Branches, and operators that multiply but whose work is not read here: nothing is said of their graphs."""


class Node:
    """One node with the shapes of its tensors, batch included; a tensor that is left out has shape ()."""

    def __init__(self, node: Any, shapes: dict[str, Sizes]) -> None:  # noqa: ANN401  generated, no types
        from onnx import helper

        self.kind: str = node.op_type
        self.attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        self.read = [shapes.get(name, ()) for name in node.input]
        self.written = [shapes[name] for name in node.output if name in shapes]


def read_onnx(content: bytes) -> Work | None:
    """Count one inference, or None if the graph branches, has open shapes, or operators of other domains."""
    import onnx

    try:
        model = onnx.shape_inference.infer_shapes(onnx.load_from_string(content), data_prop=True)
    except onnx.shape_inference.InferenceError:
        return None
    shapes = tensor_shapes(model.graph)
    makers = {name: node for node in model.graph.node for name in node.output}
    tally = Tally()
    for node in model.graph.node:
        if node.op_type in FREE or _is_fused(node, makers):
            continue
        known = all(name in shapes for name in (*node.input[:2], node.output[0]) if name)
        if node.op_type in UNCOUNTED or node.domain not in {"", "ai.onnx"} or not known:
            return None
        READERS.get(node.op_type, _other)(Node(node, shapes), tally)
    int8 = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    return tally.work("int8" if int8 else "float32")


def tensor_shapes(graph: Any) -> dict[str, Sizes]:  # noqa: ANN401  generated, no types
    """Shape of every tensor whose sizes are all known."""
    shapes = {each.name: tuple(each.dims) for each in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        sizes = tuple(dimension.dim_value for dimension in tensor.shape.dim)
        if tensor.HasField("shape") and all(sizes):
            shapes.setdefault(value.name, sizes)
    return shapes


def _is_fused(node: Any, makers: dict[str, Any]) -> bool:  # noqa: ANN401  generated, no types
    """Whether an activation becomes part of the convolution before it, past quantization and normalisation."""
    before = makers.get(node.input[0]) if node.input else None
    while before is not None and before.op_type in {"QuantizeLinear", "DequantizeLinear", "BatchNormalization"}:
        before = makers.get(before.input[0])
    return before is not None and node.op_type in FUSED_AFTER.get(before.op_type, ())


def _last(shape: Sizes) -> Sizes:
    """(batch, channels, ...) -> (..., channels)."""
    return (*shape[2:], shape[1])


def _convolution(node: Node, tally: Tally) -> None:
    kernel = node.read[1][2:]
    tally.convolution(
        _last(node.read[0]),
        _last(node.written[0]),
        kernel,
        groups=node.attributes.get("group", 1),
        stride=node.attributes.get("strides", (1,) * len(kernel)),
        dilation=node.attributes.get("dilations", (1,) * len(kernel)),
        transposed=node.kind == "ConvTranspose",
    )


def _dense(node: Node, tally: Tally) -> None:
    inner = node.read[0][-2 if node.attributes.get("transA") else -1]
    rows = prod(node.written[0]) // node.written[0][-1]
    tally.dense(inner, node.written[0][-1], inner * node.written[0][-1], rows=rows)


def _recurrent(node: Node, tally: Tally) -> None:
    weights = prod(node.read[1]) + prod(node.read[2])
    tally.recurrent(prod(node.read[0]), prod(node.written[0]), weights, steps=node.read[0][0])


def _pool(node: Node, tally: Tally) -> None:
    tally.pool(prod(node.written[0]), prod(node.attributes["kernel_shape"]))


def _mean(node: Node, tally: Tally) -> None:
    tally.pool(prod(node.written[0]), prod(node.read[0]) // prod(node.written[0]))


def _moved(node: Node) -> int:
    return sum(prod(shape) for shape in node.read + node.written if shape)


def _exponential(node: Node, tally: Tally) -> None:
    tally.exponential(_moved(node))


def _other(node: Node, tally: Tally) -> None:
    tally.other(_moved(node))


READERS: dict[str, Reader] = {
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "Gemm": _dense,
    "MatMul": _dense,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _mean,
    "GlobalMaxPool": _mean,
    **dict.fromkeys(EXPONENTIAL, _exponential),
}
