"""The scripts of tests/bench are modules of their own folder; two small files with work that a reader can add up."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parent
sys.path += [str(HERE), str(HERE.parents[1] / "bench")]


@pytest.fixture(scope="session")
def small_onnx() -> bytes:
    """[1, 3, 8, 8] -> conv 3x3 stride 2, 8 channels, ReLU -> depthwise 3x3 -> conv 1x1, 16 -> mean -> dense 4."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def weight(name: str, *shape: int) -> Any:
        return numpy_helper.from_array(np.ones(shape, np.float32), name)

    pads = [1, 1, 1, 1]
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], strides=[2, 2], pads=pads),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], group=8, pads=pads),
        helper.make_node("Conv", ["c2", "w3"], ["c3"]),
        helper.make_node("GlobalAveragePool", ["c3"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w4"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [weight("w1", 8, 3, 3, 3), weight("w2", 8, 1, 3, 3), weight("w3", 16, 8, 1, 1), weight("w4", 4, 16)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    content: bytes = onnx.save_to_string(model) if hasattr(onnx, "save_to_string") else model.SerializeToString()
    return content


@pytest.fixture(scope="session")
def small_tflite() -> bytes:
    """The same network, channels last."""
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
    x = tensor(1, 8, 8, 3)
    first = strided(schema.Conv2DOptionsT(), 2)
    c1 = add(operator.CONV_2D, options.Conv2DOptions, first, [x, tensor(8, 3, 3, 3, constant=True)], tensor(1, 4, 4, 8))
    deep = strided(schema.DepthwiseConv2DOptionsT(), 1)
    deep.depthMultiplier = 1
    w2 = tensor(1, 3, 3, 8, constant=True)
    c2 = add(operator.DEPTHWISE_CONV_2D, options.DepthwiseConv2DOptions, deep, [c1, w2], tensor(1, 4, 4, 8))
    thin = strided(schema.Conv2DOptionsT(), 1)
    c3 = add(
        operator.CONV_2D, options.Conv2DOptions, thin, [c2, tensor(16, 1, 1, 8, constant=True)], tensor(1, 4, 4, 16)
    )
    g = add(operator.MEAN, options.ReducerOptions, schema.ReducerOptionsT(), [c3], tensor(1, 16))
    w4 = tensor(4, 16, constant=True)
    y = add(
        operator.FULLY_CONNECTED, options.FullyConnectedOptions, schema.FullyConnectedOptionsT(), [g, w4], tensor(1, 4)
    )
    graph.inputs, graph.outputs = [x], [y]
    model.subgraphs, model.version = [graph], 3
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
