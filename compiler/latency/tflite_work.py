""".tflite -> Work, operator by operator. Source: TensorFlow Lite schema and operator documentation."""

from collections.abc import Callable
from math import prod
from typing import Any

from compiler.latency.work import Tally, Work

Reader = Callable[["Operator", Tally], None]
FREE = {"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "SHAPE"}
"""Move no data."""


class Operator:
    """One operator with the shapes of its tensors, batch included."""

    def __init__(self, operator: Any, shapes: list[tuple[int, ...]]) -> None:  # noqa: ANN401  generated, no types
        self.options = operator.builtinOptions
        self.read = [shapes[index] for index in operator.inputs if index >= 0]
        self.written = [shapes[index] for index in operator.outputs]

    @property
    def moved(self) -> int:
        """Elements of all tensors read or written."""
        return sum(prod(shape) for shape in self.read + self.written)


def read_tflite(content: bytes) -> Work | None:
    """Count one inference, or None if the graph branches, holds a custom operator, or has open shapes."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    graph = model.subgraphs[0]
    shapes = [tuple(int(size) for size in ([] if t.shape is None else t.shape)) for t in graph.tensors]
    tally = Tally()
    for operator in graph.operators:
        code = flatbuffer_utils.get_builtin_code_from_operator_code(model.operatorCodes[operator.opcodeIndex])
        name = names.get(code, "CUSTOM")
        if name in {"CUSTOM", "IF", "WHILE", "CALL"} or any(size < 1 for i in operator.outputs for size in shapes[i]):
            return None
        if name not in FREE:
            READERS.get(name, _other)(Operator(operator, shapes), tally)
    eight_bits = {schema.TensorType.INT8, schema.TensorType.UINT8}
    int8 = any(graph.tensors[operator.outputs[0]].type in eight_bits for operator in graph.operators)
    return tally.work("int8" if int8 else "float32")


def _convolution(operator: Operator, tally: Tally) -> None:
    (_, *read), (_, *kernel, depth) = operator.read[:2]
    options = operator.options
    tally.convolution(
        read,
        operator.written[0][1:],
        kernel,
        groups=read[-1] // depth,
        stride=(options.strideH, options.strideW),
        dilation=(options.dilationHFactor, options.dilationWFactor),
    )


def _depthwise(operator: Operator, tally: Tally) -> None:
    (_, *read), (_, *kernel, _) = operator.read[:2]
    options = operator.options
    stride = (options.strideH, options.strideW)
    tally.convolution(read, operator.written[0][1:], kernel, groups=read[-1], stride=stride)


def _transposed(operator: Operator, tally: Tally) -> None:
    _, (_, *kernel, _), (_, *read) = operator.read[:3]
    stride = (operator.options.strideH, operator.options.strideW)
    tally.convolution(read, operator.written[0][1:], kernel, stride=stride, transposed=True)


def _dense(operator: Operator, tally: Tally) -> None:
    weights = prod(operator.read[1])
    rows = prod(operator.read[0]) // operator.read[1][-1]
    tally.dense(operator.read[1][-1], operator.read[1][0], weights, rows=rows)


def _product(operator: Operator, tally: Tally) -> None:
    inner = operator.read[0][-2 if operator.options.adjX else -1]
    rows = prod(operator.written[0]) // operator.written[0][-1]
    tally.dense(inner, operator.written[0][-1], inner * operator.written[0][-1], rows=rows)


def _recurrent(operator: Operator, tally: Tally) -> None:
    shape = operator.read[0]
    steps = shape[0 if operator.options.timeMajor else 1] if len(shape) > 2 else 1
    weights = sum(prod(each) for each in operator.read[1:] if len(each) == 2)
    tally.recurrent(prod(shape), prod(operator.written[0]), weights, steps=steps)


def _memory(operator: Operator, tally: Tally) -> None:
    features, time = operator.read[1:3]
    tally.recurrent(prod(operator.read[0]), prod(operator.written[0]), prod(features) + prod(time), steps=1)


def _pool(operator: Operator, tally: Tally) -> None:
    options = operator.options
    tally.pool(prod(operator.written[0]), options.filterHeight * options.filterWidth)


def _exponential(operator: Operator, tally: Tally) -> None:
    tally.exponential(operator.moved)


def _other(operator: Operator, tally: Tally) -> None:
    tally.other(operator.moved)


READERS: dict[str, Reader] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transposed,
    "FULLY_CONNECTED": _dense,
    "BATCH_MATMUL": _product,
    "SVDF": _memory,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _recurrent,
    "UNIDIRECTIONAL_SEQUENCE_RNN": _recurrent,
    "BIDIRECTIONAL_SEQUENCE_LSTM": _recurrent,
    "MAX_POOL_2D": _pool,
    "AVERAGE_POOL_2D": _pool,
    **dict.fromkeys(("LOGISTIC", "TANH", "SOFTMAX", "LOG_SOFTMAX", "EXP", "GELU", "ELU"), _exponential),
}
