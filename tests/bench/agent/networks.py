"""The networks of the bench as .tflite files by hand: MobileNets with random weights, uint8 in and out.

No training: only their times matter. uint8 because every peer takes it (mediapipe refuses int8 inputs, and float ones
without metadata). Inside they are int8, per channel, as our compiler writes them.
"""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

LABELS = 10
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""Width and stride of each depthwise-separable block. Source: Howard et al., MobileNets, arXiv 1704.04861, table 1."""
ACTIVATION, WEIGHT = 6 / 255, 0.02
"""Scales; ReLU6 between layers, so an activation lies in 0..6."""


class Builder:
    """Adds one layer after the other; the last tensor is the input of the next."""

    def __init__(self, side: int) -> None:
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.description = 3, b"bench"
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []
        self.graph.tensors, self.graph.operators = [], []
        self.rng = np.random.default_rng(1)
        self.codes: dict[int, int] = {}
        self.graph.inputs = [self.tensor("input", (1, side, side, 3), "UINT8", 1 / 255, 0)]
        self.last, self.shape = self.graph.inputs[0], (1, side, side, 3)
        self.step("QUANTIZE", self.shape, 1 / 255, -128)

    def tensor(
        self, name: str, shape: tuple[int, ...], kind: str, scale: Any, zero_point: int = 0, *, axis: int = 0,
        values: np.ndarray | None = None,
    ) -> int:  # fmt: skip
        """Add a tensor; `values` make it a constant, a list of scales quantizes it by channel."""
        tensor, scales = schema.TensorT(), list(np.atleast_1d(scale))
        tensor.name, tensor.shape = f"{name}{len(self.graph.tensors)}".encode(), list(shape)
        tensor.type, tensor.buffer = getattr(schema.TensorType, kind), 0
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = scales, [zero_point] * len(scales)
        tensor.quantization.quantizedDimension = axis
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def step(
        self, kind: str, shape: tuple[int, ...], scale: float, zero_point: int, *, more: tuple[int, ...] = (),
        options: Any = None, dtype: str = "INT8",
    ) -> None:  # fmt: skip
        """Add an operator from the last tensor to a new one."""
        op, out = schema.OperatorT(), self.tensor(kind.lower(), shape, dtype, scale, zero_point)
        op.opcodeIndex, op.inputs, op.outputs = self._code(kind), [self.last, *more], [out]
        if options is not None:
            op.builtinOptions = options
            op.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self.graph.operators.append(op)
        self.last, self.shape = out, shape

    def convolution(self, made: int, side: int, stride: int) -> None:
        """SAME padding, ReLU6."""
        options = schema.Conv2DOptionsT()
        self._spatial("CONV_2D", options, (made, side, side, self.shape[3]), made, stride, axis=0)

    def depthwise(self, stride: int) -> None:
        """3 x 3, SAME padding, ReLU6."""
        options, width = schema.DepthwiseConv2DOptionsT(), self.shape[3]
        options.depthMultiplier = 1
        self._spatial("DEPTHWISE_CONV_2D", options, (1, 3, 3, width), width, stride, axis=3)

    def _spatial(self, kind: str, options: Any, weights: tuple[int, ...], made: int, stride: int, *, axis: int) -> None:
        options.padding, options.strideH, options.strideW = schema.Padding.SAME, stride, stride
        options.fusedActivationFunction = schema.ActivationFunctionType.RELU6
        options.dilationHFactor = options.dilationWFactor = 1
        before = self.graph.tensors[self.last].quantization.scale[0]
        constants = self._constants(weights, made, before, axis)
        _, height, width, _ = self.shape
        self.step(
            kind, (1, -(-height // stride), -(-width // stride), made), ACTIVATION, -128, more=constants,
            options=options,
        )  # fmt: skip

    def _constants(self, shape: tuple[int, ...], made: int, before: float, axis: int) -> tuple[int, int]:
        fan_in = np.prod(shape) / made
        scales = [float(WEIGHT * 8 / np.sqrt(fan_in))] * made
        weights = self.rng.integers(-40, 41, shape).astype(np.int8)
        bias = self.rng.integers(0, 200, made).astype(np.int32)
        return (
            self.tensor("w", shape, "INT8", scales, axis=axis, values=weights),
            self.tensor("b", (made,), "INT32", [before * scale for scale in scales], values=bias),
        )

    def head(self) -> None:
        """Mean over the picture, a linear layer, soft-max, and back to uint8."""
        pool = schema.Pool2DOptionsT()
        pool.padding, pool.strideH, pool.strideW = schema.Padding.VALID, 1, 1
        pool.filterHeight, pool.filterWidth, width = self.shape[1], self.shape[2], self.shape[3]
        self.step("AVERAGE_POOL_2D", (1, 1, 1, width), ACTIVATION, -128, options=pool)
        self.convolution(LABELS, 1, 1)
        reshape = schema.ReshapeOptionsT()
        reshape.newShape = [1, LABELS]
        shape = self.tensor("shape", (2,), "INT32", [], values=np.array([1, LABELS], np.int32))
        self.step("RESHAPE", (1, LABELS), ACTIVATION, -128, more=(shape,), options=reshape)
        softmax = schema.SoftmaxOptionsT()
        softmax.beta = 1.0
        self.step("SOFTMAX", (1, LABELS), 1 / 256, -128, options=softmax)
        self.step("QUANTIZE", (1, LABELS), 1 / 256, 0, dtype="UINT8")

    def finish(self) -> bytes:
        """The file."""
        self.graph.outputs, self.model.subgraphs = [self.last], [self.graph]
        return bytes(flatbuffer_utils.convert_object_to_bytearray(self.model))

    def _code(self, kind: str) -> int:
        number = getattr(schema.BuiltinOperator, kind)
        if number not in self.codes:
            code = schema.OperatorCodeT()
            code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), 3
            code.version = 1 if kind == "RESHAPE" else 2 if kind != "DEPTHWISE_CONV_2D" else 3
            self.model.operatorCodes.append(code)
            self.codes[number] = len(self.codes)
        return self.codes[number]


def mobilenet(side: int, alpha: float) -> bytes:
    """MobileNetV1 of `alpha` times the usual width, for pictures [1, side, side, 3]."""
    builder = Builder(side)
    builder.convolution(round(32 * alpha), 3, 2)
    for width, stride in BLOCKS:
        builder.depthwise(stride)
        builder.convolution(round(width * alpha), 1, 1)
    builder.head()
    return builder.finish()
