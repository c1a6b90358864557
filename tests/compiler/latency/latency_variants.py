"""Models that are only looked at, and a variant for them."""

from typing import Any

import numpy as np

from edge.manifest import TensorSpec, Variant


def variant(runtime: str = "litert", dtype: str = "float32") -> Variant:
    spec = TensorSpec(name="x", shape=(1, 8, 8, 3), dtype="float32")
    kind: Any = runtime
    number: Any = dtype
    return Variant(runtime=kind, dtype=number, file="model", sha256="0" * 64, size_bytes=1, input=spec, outputs=(spec,))


def make_tflite(size: int) -> bytes:
    """[1, size, size, 3] -> conv 3x3 stride 2, 8 channels -> depthwise 3x3 -> conv 1x1, 16 -> mean -> dense 4."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    graph, model = schema.SubGraphT(), schema.ModelT()
    graph.tensors, graph.operators, model.buffers, model.operatorCodes = [], [], [schema.BufferT()], []
    operator = schema.BuiltinOperator

    def tensor(*shape: int, constant: bool = False) -> int:
        made = schema.TensorT()
        made.shape, made.type, made.buffer = list(shape), schema.TensorType.FLOAT32, 0
        if constant:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ones(shape, np.float32).tobytes(), np.uint8)
            model.buffers.append(buffer)
            made.buffer = len(model.buffers) - 1
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    def add(code: int, kind: int, options: Any, inputs: list[int], output: int) -> int:
        made, named = schema.OperatorT(), schema.OperatorCodeT()
        named.builtinCode = named.deprecatedBuiltinCode = code
        model.operatorCodes.append(named)
        made.opcodeIndex, made.inputs, made.outputs = len(model.operatorCodes) - 1, inputs, [output]
        made.builtinOptionsType, made.builtinOptions = kind, options
        graph.operators.append(made)
        return output

    def strided(made: Any, stride: int) -> Any:
        made.strideH = made.strideW = stride
        return made

    options = schema.BuiltinOptions
    x, half = tensor(1, size, size, 3), size // 2
    first = strided(schema.Conv2DOptionsT(), 2)
    c1 = add(
        operator.CONV_2D, options.Conv2DOptions, first, [x, tensor(8, 3, 3, 3, constant=True)], tensor(1, half, half, 8)
    )
    deep = strided(schema.DepthwiseConv2DOptionsT(), 1)
    deep.depthMultiplier = 1
    w2 = tensor(1, 3, 3, 8, constant=True)
    c2 = add(operator.DEPTHWISE_CONV_2D, options.DepthwiseConv2DOptions, deep, [c1, w2], tensor(1, half, half, 8))
    thin = strided(schema.Conv2DOptionsT(), 1)
    c3 = add(
        operator.CONV_2D,
        options.Conv2DOptions,
        thin,
        [c2, tensor(16, 1, 1, 8, constant=True)],
        tensor(1, half, half, 16),
    )
    g = add(operator.MEAN, options.ReducerOptions, schema.ReducerOptionsT(), [c3], tensor(1, 16))
    w4 = tensor(4, 16, constant=True)
    y = add(
        operator.FULLY_CONNECTED, options.FullyConnectedOptions, schema.FullyConnectedOptionsT(), [g, w4], tensor(1, 4)
    )
    graph.inputs, graph.outputs = [x], [y]
    model.subgraphs, model.version = [graph], 3
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
