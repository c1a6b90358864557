"""int8 weights -> float32 weights: makes a float model of one whose weights alone were quantized.

"Dynamic range" and "weight only" TFLite files keep int8 or float16 weights for a float computation. Some runtimes
compute them wrongly without an error (tflite-runtime 2.14), and a full-integer quantizer starts from float weights.
MLPerf Tiny's keyword-spotting "float32" file is one of them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def expand_weights(content: bytes) -> tuple[bytes, int]:
    """Return the model with float32 weights, and how many tensors were expanded; the same bytes if none was.

    Expanded are constants that a float operator reads directly, and constants behind a DEQUANTIZE, which goes away.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(content)
    expanded = sum(_expand(model, graph) for graph in model.subgraphs)
    if not expanded:
        return content, 0
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model)), expanded


def _expand(model: Any, graph: Any) -> int:  # noqa: ANN401  generated flatbuffer objects without types
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools.flatbuffer_utils import get_builtin_code_from_operator_code as code_of

    count, kept = 0, []
    for op in graph.operators:
        output = graph.tensors[op.outputs[0]]
        if output.type != schema.TensorType.FLOAT32:
            kept.append(op)
            continue
        constants = [
            index for index in op.inputs if index >= 0 and _is_small_constant(model, graph.tensors[index], schema)
        ]
        if constants and code_of(model.operatorCodes[op.opcodeIndex]) == schema.BuiltinOperator.DEQUANTIZE:
            _fill(model, output, _real(model, graph.tensors[constants[0]], schema), schema)
            count += 1
            continue
        for index in constants:
            tensor = graph.tensors[index]
            _fill(model, tensor, _real(model, tensor, schema), schema)
            tensor.quantization = None
            count += 1
        kept.append(op)
    graph.operators = kept
    return count


def _is_small_constant(model: Any, tensor: Any, schema: Any) -> bool:  # noqa: ANN401
    """A weight in float16, or in int8 with a scale."""
    data = model.buffers[tensor.buffer].data
    if data is None or len(data) == 0:
        return False
    scaled = tensor.quantization is not None and tensor.quantization.scale is not None
    return bool(tensor.type == schema.TensorType.FLOAT16 or (tensor.type == schema.TensorType.INT8 and scaled))


def _real(model: Any, tensor: Any, schema: Any) -> NDArray[np.float32]:  # noqa: ANN401
    """Return the real values of a constant: (q - zero_point) * scale, per channel where the file says so.

    Source: TensorFlow Lite 8-bit quantization specification.
    """
    raw = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    if tensor.type == schema.TensorType.FLOAT16:
        return raw.view(np.float16).astype(np.float32)
    codes = raw.view(np.int8).reshape(tensor.shape).astype(np.float32)
    scale = np.asarray(tensor.quantization.scale, np.float32)
    zero_point = np.asarray(tensor.quantization.zeroPoint, np.float32)
    if len(scale) > 1:
        sides = [1] * codes.ndim
        sides[tensor.quantization.quantizedDimension] = -1
        scale, zero_point = scale.reshape(sides), zero_point.reshape(sides)
    real: NDArray[np.float32] = (codes - zero_point) * scale
    return real


def _fill(model: Any, tensor: Any, values: NDArray[np.float32], schema: Any) -> None:  # noqa: ANN401
    """Give `tensor` a float32 buffer of its own: the old one may have other readers."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(values, np.float32).tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor.buffer = len(model.buffers) - 1
    tensor.type = schema.TensorType.FLOAT32
