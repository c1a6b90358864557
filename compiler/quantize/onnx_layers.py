"""onnx-ir graph <-> Network: reads layers and constants, writes changed constants back. Channels are axis 1."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.quantize.layers import Constants, Layer, Network, Role
from compiler.quiet import quiet

_ELEMENTWISE = frozenset({"Relu", "LeakyRelu", "Identity", "Dropout"})
_POOLS = frozenset({"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"})
_SHAPERS = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze", "Resize", "Upsample", "ReduceMean"})
Make = Callable[..., Layer]
"""Role, reason and further fields -> a layer with the node's own names filled in."""
_NO_CHANNELS = "it does not keep the channels apart"
_VARIANT = "it is not scale-invariant"


def read_network(content: bytes) -> Network:
    """Describe a simplified float ONNX file."""
    graph = parse(content).graph
    constants = {
        value.name: tensor
        for value in graph.initializers.values()
        if (tensor := _floats(value)) is not None and value.name is not None
    }
    readers = _count_readers(graph)
    layers = tuple(_layer(node, constants, readers) for node in graph)
    inputs = tuple(value.name for value in graph.inputs if value.name not in constants)
    return Network(layers, inputs, tuple(value.name for value in graph.outputs), constants)


def write_constants(content: bytes, constants: Constants) -> bytes:
    """Return the file with other values for its initializers; those that are not named keep theirs."""
    import onnx_ir as ir

    model = parse(content)
    for name, values in constants.items():
        initializer = model.graph.initializers[name]
        initializer.const_value = ir.Tensor(np.array(values, np.float32, order="C"), name=name)
    with quiet():
        written: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return written


def parse(content: bytes) -> Any:  # noqa: ANN401  an onnx_ir.Model, whose types are not checked here
    """Open a file."""
    with quiet():
        import onnx
        import onnx_ir as ir

        return ir.from_proto(onnx.load_model_from_string(content))


def _floats(value: Any) -> NDArray[np.float32] | None:  # noqa: ANN401  an onnx_ir.Value
    if value.const_value is None:
        return None
    array = np.asarray(value.const_value.numpy())
    return array if array.dtype == np.float32 else None


def _count_readers(graph: Any) -> Mapping[str, int]:  # noqa: ANN401
    return {value.name: len(tuple(value.uses())) for value in graph.initializers.values()}


def _layer(node: Any, constants: Constants, readers: Mapping[str, int]) -> Layer:  # noqa: ANN401
    """Say what one node does with channels."""
    given = [value.name for value in node.inputs if value is not None]
    activations = tuple(name for name in given if name not in readers)
    outputs = tuple(value.name for value in node.outputs)
    weights = [name for name in given if name in constants]

    def made(role: Role, reason: str = "", **more: Any) -> Layer:  # noqa: ANN401  fields of Layer
        return Layer(node.name, node.op_type, role, activations, outputs, reason=reason, **more)

    if node.op_type in {"Conv", "ConvTranspose", "Gemm", "MatMul"} and len(activations) == 1 and weights:
        if any(readers[name] > 1 for name in weights):
            return made("wall", "other layers share its weights")
        return _weighted(node, constants, weights, made)
    if node.op_type == "Add":
        return _added(node, constants, readers, activations, made)
    ceiling = _ceiling(node)
    if ceiling is not None:
        return made("through", ceiling=ceiling)
    free = node.op_type in _ELEMENTWISE | _POOLS
    if free or (node.op_type in _SHAPERS | {"Pad"} and _keeps_channels(node)):
        return made("through")
    known = node.op_type in _SHAPERS | {"Pad", "Concat", "Transpose", "Slice", "Split"}
    return made("wall", _NO_CHANNELS if known else _VARIANT)


def _weighted(node: Any, constants: Constants, weights: list[str], made: Make) -> Layer:  # noqa: ANN401
    """Conv, ConvTranspose, Gemm or MatMul with a constant weight."""
    bias = weights[1] if len(weights) > 1 else ""
    shape = constants[weights[0]].shape
    why = _why_not_weighted(node, shape, weights[0], constants[bias].size if bias else None)
    if why:
        return made("wall", why)
    names = {"weight": weights[0], "bias": bias, "rectified": _feeds_relu(node)}
    if _attribute(node, "group", 1) > 1:
        return made("depthwise", **names)
    out_axis = 0 if node.op_type == "Conv" or (node.op_type == "Gemm" and _attribute(node, "transB", 0)) else 1
    return made("linear", out_axis=out_axis, in_axis=1 - out_axis, **names)


def _why_not_weighted(node: Any, shape: tuple[int, ...], weight: str, bias_size: int | None) -> str:  # noqa: ANN401
    """Return why the channels of a layer with weights are not simply an axis of its weight; empty if they are."""
    factors = [_attribute(node, "transA", 0), _attribute(node, "alpha", 1.0) - 1, _attribute(node, "beta", 1.0) - 1]
    group = _attribute(node, "group", 1)
    if node.inputs[1].name != weight:
        return "its weight comes first"
    if node.op_type == "MatMul" and (len(shape) != 2 or len(node.inputs[0].shape or ()) != 2):
        return "it multiplies along another axis than the channels'"
    if node.op_type == "Gemm" and any(factors):
        return "it has factors of its own"
    if node.op_type == "Gemm" and bias_size not in {None, shape[0 if _attribute(node, "transB", 0) else 1]}:
        return "its bias is not one number a channel"
    if group > 1 and (shape[0] != group or shape[1] != 1):
        return f"it is a convolution in {group:.0f} groups"
    return ""


def _added(
    node: Any,  # noqa: ANN401
    constants: Constants,
    readers: Mapping[str, int],
    activations: tuple[str, ...],
    made: Make,
) -> Layer:
    """Two activations of one shape, or a constant for each channel, which is a bias."""
    shapes = {tuple(value.shape or ()) for value in node.inputs}
    if len(activations) == 2 and len(shapes) == 1:
        return made("join")
    constant = next((value.name for value in node.inputs if value.name in constants), "")
    if constant and readers[constant] == 1:
        channels = (node.outputs[0].shape or (0, 0))[1]
        sides = (1,) * 8 + constants[constant].shape
        rank = len(node.outputs[0].shape or ())
        if constants[constant].size == channels == sides[1 - rank] and rank > 1:
            return made("through", bias=constant)
    return made("wall", "it adds something else than an activation of the same shape")


def _keeps_channels(node: Any) -> bool:  # noqa: ANN401
    """The first two axes stay what they are, and what is padded is zero or a copy."""
    before, after = node.inputs[0].shape, node.outputs[0].shape
    if before is None or after is None or len(before) < 2 or len(after) < 2 or list(before[:2]) != list(after[:2]):
        return False
    if node.op_type == "Pad":
        filled = node.inputs[2] if len(node.inputs) > 2 else None
        value = None if filled is None else filled.const_value
        return filled is None or (value is not None and float(np.asarray(value.numpy()).reshape(-1)[0]) == 0)
    return True


def _feeds_relu(node: Any) -> bool:  # noqa: ANN401
    """ReLU or ReLU6 alone reads it: its own values are never kept as integers."""
    users = [use.node for use in node.outputs[0].uses()]
    return len(users) == 1 and (users[0].op_type == "Relu" or _ceiling(users[0]) is not None)


def _ceiling(node: Any) -> float | None:  # noqa: ANN401
    """Upper bound of a Clip from zero to a constant, which is how ONNX writes ReLU6; None for any other node."""
    if node.op_type != "Clip" or len(node.inputs) < 3:
        return None
    bounds = [None if value is None else _floats(value) for value in node.inputs[1:3]]
    low, high = (None if one is None or one.size != 1 else float(one.reshape(-1)[0]) for one in bounds)
    return high if low == 0 and high is not None and high > 0 else None


def _attribute(node: Any, name: str, default: float) -> float:  # noqa: ANN401
    found = node.attributes.get(name)
    return default if found is None else float(found.value)
