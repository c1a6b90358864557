"""float weight -> float16 + Cast, or int8 + DequantizeLinear: a smaller file that computes in float as before."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.quantize.onnx_layers import read_network
from compiler.quiet import quiet

LEAST = 64
"""Weights of fewer numbers stay as they are: the node that expands them costs more than they do."""


def halve_weights(content: bytes) -> bytes:
    """Keep every weight in float16 and cast it back when the model is loaded."""
    return _rewritten(content, _half)


def quantize_weights(content: bytes) -> bytes:
    """Keep every weight matrix and kernel in int8, symmetric, one scale an output channel."""
    axes = {layer.weight: layer.out_axis for layer in read_network(content).layers if layer.weight}

    def replace(ir: Any, value: Any, values: NDArray[np.float32]) -> Any:  # noqa: ANN401  onnx-ir
        # recurrent weights are [directions, gates, inputs]; Source: ONNX operators GRU and LSTM
        return _int8(ir, value, values, axes.get(value.name, 1 if values.ndim == 3 else 0)) if values.ndim > 1 else None

    return _rewritten(content, replace)


def _rewritten(content: bytes, replace: Any) -> bytes:  # noqa: ANN401  (ir, value, array) -> node or None
    """Put the node that `replace` returns between each large weight and its readers."""
    with quiet():
        import onnx
        import onnx_ir as ir

        model = ir.from_proto(onnx.load_model_from_string(content))
        graph: Any = model.graph
        first = next(iter(graph))
        for value in list(graph.initializers.values()):
            values = np.asarray(value.const_value.numpy())
            node = replace(ir, value, values) if values.dtype == np.float32 and values.size >= LEAST else None
            if node is None:
                continue
            value.replace_all_uses_with(node.outputs[0])
            del graph.initializers[value.name]
            for source in node.inputs:
                graph.initializers[source.name] = source
            graph.insert_before(first, node)
        written: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return written


def _half(ir: Any, value: Any, values: NDArray[np.float32]) -> Any:  # noqa: ANN401
    """Weight -> Cast(float16 weight); None where float16 cannot hold it (largest number: 65,504)."""
    if np.abs(values).max() > np.finfo(np.float16).max:
        return None
    small = _initializer(ir, f"{value.name}_float16", values.astype(np.float16))
    node = ir.node("Cast", [small], attributes={"to": int(ir.DataType.FLOAT)}, name=f"{value.name}_cast")
    return _named(ir, node, value, values)


def _int8(ir: Any, value: Any, values: NDArray[np.float32], axis: int) -> Any:  # noqa: ANN401
    """Weight -> DequantizeLinear(int8 weight, scales) along `axis`."""
    moved = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
    scale = np.maximum(np.abs(moved).max(axis=1) / 127, np.finfo(np.float32).tiny).astype(np.float32)
    sides = [1] * values.ndim
    sides[axis] = -1
    codes = np.clip(np.rint(values / scale.reshape(sides)), -127, 127).astype(np.int8)
    given = [_initializer(ir, f"{value.name}_int8", codes), _initializer(ir, f"{value.name}_scale", scale)]
    node = ir.node("DequantizeLinear", given, attributes={"axis": axis}, name=f"{value.name}_dequantize")
    return _named(ir, node, value, values)


def _initializer(ir: Any, name: str, values: NDArray[np.generic]) -> Any:  # noqa: ANN401
    tensor = ir.Tensor(values, name=name)
    return ir.Value(name=name, shape=ir.Shape(values.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)


def _named(ir: Any, node: Any, value: Any, values: NDArray[np.float32]) -> Any:  # noqa: ANN401
    node.outputs[0].name = f"{value.name}_float32"
    node.outputs[0].shape, node.outputs[0].type = ir.Shape(values.shape), ir.TensorType(ir.DataType.FLOAT)
    return node
