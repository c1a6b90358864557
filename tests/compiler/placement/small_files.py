"""Small .tflite files by hand, for what no converter of ours writes: float islands, unequal scales, int16."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils


@dataclass(frozen=True)
class T:
    """A tensor by name; `values` make it a constant, `scale` a quantized one."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "int8"
    scale: float | None = None
    values: np.ndarray | None = None


@dataclass(frozen=True)
class Op:
    """An operator between named tensors."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: Any = None


def make_tflite(tensors: list[T], ops: list[Op], *, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> bytes:
    """Build the file; its first buffer is empty, as the format wants."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.description, model.buffers, model.operatorCodes = 3, b"by hand", [schema.BufferT()], []
    names = [one.name for one in tensors]
    graph.tensors = [_tensor(model, one) for one in tensors]
    graph.inputs, graph.outputs = [names.index(one) for one in inputs], [names.index(one) for one in outputs]
    graph.operators = [_operator(model, one, names) for one in ops]
    model.subgraphs = [graph]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _tensor(model: Any, one: T) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape = one.name.encode(), list(one.shape)
    tensor.type, tensor.buffer = getattr(schema.TensorType, one.dtype.upper()), 0
    if one.values is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(one.values.tobytes(), np.uint8)
        model.buffers.append(buffer)
        tensor.buffer = len(model.buffers) - 1
    if one.scale is not None:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [one.scale], [0]
    return tensor


def _operator(model: Any, one: Op, names: list[str]) -> Any:
    code, op = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = getattr(schema.BuiltinOperator, one.kind)
    code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 2
    model.operatorCodes.append(code)
    op.opcodeIndex = len(model.operatorCodes) - 1
    op.inputs, op.outputs = [names.index(name) for name in one.inputs], [names.index(name) for name in one.outputs]
    if one.options is not None:
        op.builtinOptions = one.options
        op.builtinOptionsType = getattr(schema.BuiltinOptions, type(one.options).__name__.removesuffix("T"))
    return op
