"""TFLite files of one addition, written by hand: what no converter would write can be written, too."""

from collections.abc import Sequence

import numpy as np


def make_addition(*, constant: bool, outputs: Sequence[int]) -> bytes:
    """x [1, 4] (tensor 0) + other (1) -> y (2). `other` holds ones, or nothing at all."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model, graph, add, code = schema.ModelT(), schema.SubGraphT(), schema.OperatorT(), schema.OperatorCodeT()
    ones = schema.BufferT()
    ones.data = np.frombuffer(np.ones(4, np.float32).tobytes(), np.uint8)
    graph.tensors = [schema.TensorT() for _ in range(3)]
    for name, tensor in zip((b"x", b"other", b"y"), graph.tensors, strict=True):
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, [1, 4], schema.TensorType.FLOAT32, 0
    graph.tensors[1].buffer = int(constant)
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ADD
    add.inputs, add.outputs, add.opcodeIndex = [0, 1], [2], 0
    add.builtinOptionsType, add.builtinOptions = schema.BuiltinOptions.AddOptions, schema.AddOptionsT()
    graph.inputs, graph.outputs, graph.operators = [0], list(outputs), [add]
    model.version, model.buffers, model.operatorCodes = 3, [schema.BufferT(), ones], [code]
    model.subgraphs = [graph]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
