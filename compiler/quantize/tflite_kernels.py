"""TFLite flatbuffer -> kernels: convolutions and dense layers whose weights are constant and their own."""

from collections.abc import Iterator
from math import ceil
from typing import Any

from compiler.quantize.kernels import Kernel
from compiler.quantize.tflite_reader import GraphReader

_WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
_DENSE, _FULL, _DEPTHWISE = (0, 1), (0, 3, 1, 2), (3, 0, 1, 2)
"""Orders of [out, in], [out, height, width, in] and [1, height, width, channels]."""


def read_kernels(content: bytes) -> tuple[Kernel, ...]:
    """Describe the layers of a float file, made ready by `modernize`, whose weights can be learned, in order."""
    return tuple(_Reader(content).read())


class _Reader(GraphReader):
    def read(self) -> Iterator[Kernel]:
        for op in self._graph.operators:
            kind = self._kind(op)
            computed = kind in _WEIGHTED and not self._is_constant(op.inputs[0])
            if computed and all(map(self._is_own, op.inputs[1:])):
                yield self._kernel(kind, op)

    def _kernel(self, kind: str, op: Any) -> Kernel:  # noqa: ANN401
        bias = op.inputs[2] if len(op.inputs) > 2 else -1
        names = (self._name(op.outputs[0]), self._name(op.inputs[0]), self._name(op.inputs[1]))
        named = (*names, self._name(bias) if bias >= 0 else "")
        if kind == "FULLY_CONNECTED":
            return Kernel(*named, _DENSE)
        size, sides = self._shape(op.inputs[0]), self._shape(op.inputs[1])
        depthwise, options = kind == "DEPTHWISE_CONV_2D", op.builtinOptions
        strides = (options.strideH, options.strideW)
        dilations = (options.dilationHFactor, options.dilationWFactor)
        padding: tuple[tuple[int, int], ...] = ((0, 0), (0, 0))
        if options.padding == self._schema.Padding.SAME:
            padding = tuple(map(_same, size[1:3], sides[1:3], strides, dilations))
        groups = size[3] if depthwise else size[3] // sides[3]
        return Kernel(
            *named,
            _DEPTHWISE if depthwise else _FULL,
            groups,
            strides,
            dilations,
            padding,
            channels_last=True,
        )

    def _is_own(self, index: int) -> bool:
        """Left out, or float numbers in the file that nothing else reads."""
        if index < 0:
            return True
        kind = self._graph.tensors[index].type
        return self._is_constant(index) and self._readers[index] == 1 and kind == self._schema.TensorType.FLOAT32


def _same(size: int, side: int, stride: int, dilation: int) -> tuple[int, int]:
    """Zeros before and after, so that every stride-th position has a window. Source: TensorFlow, padding SAME."""
    total = max((ceil(size / stride) - 1) * stride + dilation * (side - 1) + 1 - size, 0)
    return total // 2, total - total // 2
