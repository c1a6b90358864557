"""Inputs and outputs of an ONNX file: one float32 input for data, then states; answers, then new states."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from compiler.load.state import Port, StatePair, settle_order
from edge.errors import BadModelError

_FIXED = "export it with fixed sizes; only the batch (the first dimension) may stay open"


def arrange_ends(proto: Any, states: Sequence[StatePair], name: str) -> list[tuple[int, ...]]:  # noqa: ANN401
    """Bring the graph of an onnx.ModelProto into that order, in place; return the shapes of its inputs, batch 1.

    Raises: BadModelError; BadArgumentError for a state that the graph does not have.
    """
    weights = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in weights]
    outputs = list(proto.graph.output)
    for value in inputs if states else ():
        _close_batch(value, inputs[0])
    order = settle_order(states, [_port(one) for one in inputs], _outputs(outputs, inputs, states), name)
    data = inputs[order.inputs[0]]
    shapes = [_input_shape(data, name), *(_port(inputs[at]).shape for at in order.inputs[1:])]
    if not order.kept:
        others = [value for value in proto.graph.input if value.name in weights]
        _replace(proto.graph.input, [*(inputs[at] for at in order.inputs), *others])
        _replace(proto.graph.output, [outputs[at] for at in order.outputs])
    return shapes


def _port(value: Any) -> Port:  # noqa: ANN401  an onnx.ValueInfoProto
    return Port(value.name, tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim))


def _outputs(outputs: Sequence[Any], inputs: Sequence[Any], states: Sequence[StatePair]) -> list[Port]:
    """Ports of the outputs; one that is a state has its input's shape wherever the file leaves it open."""
    shape_of = {one.name: _port(one).shape for one in inputs}
    given = {one.output: shape_of.get(one.input, ()) for one in states}
    ports = []
    for at, value in enumerate(outputs):
        port, wanted = _port(value), given.get(value.name, given.get(str(at), ()))
        if len(wanted) == len(port.shape):
            port = Port(port.name, tuple(size or other for size, other in zip(port.shape, wanted, strict=True)))
        ports.append(port)
    return ports


def _close_batch(value: Any, first: Any) -> None:  # noqa: ANN401
    """Give the open batch of the first input the size 1 wherever it stands in another one."""
    batch = first.type.tensor_type.shape.dim[0].dim_param if first.type.tensor_type.shape.dim else ""
    for at, dim in enumerate(value.type.tensor_type.shape.dim):
        if dim.dim_value < 1 and (at == 0 or dim.dim_param == batch != ""):
            dim.dim_value = 1


def _input_shape(value: Any, name: str) -> tuple[int, ...]:  # noqa: ANN401
    """Return the shape of the data's input, batch 1.

    Raises: BadModelError.
    """
    import onnx

    tensor = value.type.tensor_type
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        raise BadModelError(f"the input {value.name} of {name} is {kind}", remedy="export it with a float32 input")
    dims = list(tensor.shape.dim)
    if len(dims) < 2:
        raise BadModelError(f"the input {value.name} of {name} has no batch dimension", remedy=_FIXED)
    open_dims = [dim.dim_param or "?" for dim in dims[1:] if dim.dim_value < 1]
    if open_dims:
        problem = f"the input {value.name} of {name} leaves dimensions open: {', '.join(open_dims)}"
        raise BadModelError(problem, remedy=_FIXED)
    if dims[0].HasField("dim_value") and dims[0].dim_value not in {-1, 1}:
        problem = f"the input {value.name} of {name} has a fixed batch of {dims[0].dim_value}"
        raise BadModelError(problem, remedy="export it with a batch of 1, or with an open batch")
    return (1, *(dim.dim_value for dim in dims[1:]))


def _replace(repeated: Any, values: Sequence[Any]) -> None:  # noqa: ANN401  a protobuf container
    copies = [deepcopy(value) for value in values]
    del repeated[:]
    repeated.extend(copies)
