"""TFLite flatbuffer <-> Network: reads layers and constants, writes changed constants back.

Channels are the last axis of what a layer writes; transposing and reshaping may move them before the next layer.
"""

import math
from collections import Counter
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.quantize.layers import Constants, Layer, Network, Role
from compiler.quantize.tflite_reader import GraphReader

_POOLS = frozenset({"MAX_POOL_2D", "AVERAGE_POOL_2D", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"})
_WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})
_MOVERS = frozenset({"RESHAPE", "TRANSPOSE", "MEAN", "PAD"})
_MIXERS = frozenset({"CONCATENATION", "SLICE", "STRIDED_SLICE", "SPLIT", "PADV2", "GATHER"})
_NO_CHANNELS = "it does not keep the channels apart"
_VARIANT = "it is not scale-invariant"
Make = Callable[..., Layer]
"""Role, reason and further fields -> a layer with the operator's own names filled in."""


def read_network(content: bytes) -> Network:
    """Describe the main graph of a float file that `modernize` made."""
    return _Reader(content).read()


def write_constants(content: bytes, constants: Constants) -> bytes:
    """Return the file with other values for its float constants; none shares a buffer then."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(content)
    uses = Counter(tensor.buffer for graph in model.subgraphs for tensor in graph.tensors)
    for tensor in model.subgraphs[0].tensors:
        values = constants.get(tensor.name.decode())
        if values is not None:
            if uses[tensor.buffer] > 1:  # another tensor reads the old values
                model.buffers.append(schema.BufferT())
                tensor.buffer = len(model.buffers) - 1
            data = np.frombuffer(np.ascontiguousarray(values, np.float32).tobytes(), np.uint8)
            model.buffers[tensor.buffer].data = data
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


class _Reader(GraphReader):
    """One file being read. `_axis` is where the channels of a tensor lie, if not on its last axis."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        fused = vars(self._schema.ActivationFunctionType)
        self._fused = {value: name for name, value in fused.items() if isinstance(value, int)}
        tensors = range(len(self._graph.tensors))
        self._constants = {self._name(index): self._floats(index) for index in tensors if self._is_float(index)}
        self._axis: dict[int, int] = {}

    def read(self) -> Network:
        """Describe the operators in order."""
        layers = tuple(self._layer(op) for op in self._graph.operators)
        inputs, outputs = map(self._name, self._graph.inputs), map(self._name, self._graph.outputs)
        moved = frozenset(self._name(at) for at, axis in self._axis.items() if axis != len(self._shape(at)) - 1)
        return Network(layers, tuple(inputs), tuple(outputs), self._constants, moved)

    def _is_float(self, index: int) -> bool:
        """Whether it is a constant of float numbers, and can be named."""
        tensor = self._graph.tensors[index]
        return bool(tensor.name) and tensor.type == self._schema.TensorType.FLOAT32 and self._is_constant(index)

    def _floats(self, index: int) -> NDArray[np.float32]:
        return np.asarray(self._data(index), np.uint8).view(np.float32).reshape(self._shape(index))

    def _integers(self, index: int) -> list[int]:
        """Values of a constant of axes or a permutation."""
        data = self._data(index)
        return [] if data is None else [int(value) for value in np.asarray(data, np.uint8).view(np.int32)]

    def _axis_of(self, index: int) -> int:
        return self._axis.get(index, len(self._shape(index)) - 1)

    def _layer(self, op: Any) -> Layer:  # noqa: ANN401
        kind = self._kind(op)
        activations = tuple(self._name(index) for index in op.inputs if index >= 0 and not self._is_constant(index))
        outputs = tuple(self._name(index) for index in op.outputs)
        fused = self._fused[getattr(op.builtinOptions, "fusedActivationFunction", 0)]

        def make(role: Role, reason: str = "", **more: Any) -> Layer:  # noqa: ANN401  fields of Layer
            name, ceiling = outputs[0] if outputs else kind, 6.0 if "RELU6" in {kind, fused} else inf
            return Layer(name, kind, role, activations, outputs, ceiling=ceiling, reason=reason, **more)

        if fused not in {"NONE", "RELU", "RELU6"}:
            return make("wall", f"its {fused} is not scale-invariant")
        if kind in _WEIGHTED:
            return self._weighted(kind, op, make)
        if kind == "ADD":
            return self._added(op, make)
        return self._passed(kind, op, make)

    def _passed(self, kind: str, op: Any, make: Make) -> Layer:  # noqa: ANN401
        """Operators without weights: a wall, unless every channel stays apart; notes where the channels went."""
        if kind in {"RELU", "RELU6", "LEAKY_RELU"}:
            self._axis[op.outputs[0]] = self._axis_of(op.inputs[0])
            return make("through")
        if kind in _POOLS and self._axis_of(op.inputs[0]) == len(self._shape(op.inputs[0])) - 1:
            return make("through")
        if kind in _MOVERS:
            axis = self._moved_axis(kind, op)
            if axis is None:
                return make("wall", _NO_CHANNELS)
            self._axis[op.outputs[0]] = axis
            return make("through")
        return make("wall", _NO_CHANNELS if kind in _MIXERS | _POOLS else _VARIANT)

    def _moved_axis(self, kind: str, op: Any) -> int | None:  # noqa: ANN401
        """Where the channels lie after a reshape, transpose, mean or zero padding; None if they are mixed."""
        before, after = self._shape(op.inputs[0]), self._shape(op.outputs[0])
        axis = self._axis_of(op.inputs[0])
        if kind == "RESHAPE":
            places = (at for at, size in enumerate(after) if size == before[axis])
            return next((at for at in places if math.prod(after[:at]) == math.prod(before[:axis])), None)
        given = self._integers(op.inputs[1])
        if kind == "TRANSPOSE":
            return given.index(axis) if axis in given else None
        if kind == "PAD":
            return axis if before[axis] == after[axis] else None
        gone = {one % len(before) for one in given}
        kept = axis if op.builtinOptions.keepDims else axis - sum(one < axis for one in gone)
        return None if axis in gone else kept

    def _weighted(self, kind: str, op: Any, make: Make) -> Layer:  # noqa: ANN401
        """Weight [out, height, width, in], [1, height, width, channels] where depthwise, [out, in] where dense."""
        weight, bias_at = int(op.inputs[1]), 3 if kind == "TRANSPOSE_CONV" else 2
        bias = int(op.inputs[bias_at]) if len(op.inputs) > bias_at else -1
        source = op.inputs[2] if kind == "TRANSPOSE_CONV" else op.inputs[0]
        if self._name(weight) not in self._constants:
            return make("wall", "its weights are computed")
        if self._readers[weight] > 1 or (bias >= 0 and self._readers[bias] > 1):
            return make("wall", "other layers share its weights")
        if self._axis_of(source) != len(self._shape(source)) - 1:
            return make("wall", "it reads another axis than the channels'")
        names = {"weight": self._name(weight), "bias": self._name(bias) if bias >= 0 else ""}
        return self._with_axes(kind, self._shape(source)[-1], self._shape(weight), partial(make, **names))

    @staticmethod
    def _with_axes(kind: str, channels: int, shape: tuple[int, ...], make: Make) -> Layer:
        """Say which axes of a weight are channels."""
        if kind == "DEPTHWISE_CONV_2D" and shape[-1] == channels:
            return make("depthwise", out_axis=3, in_axis=3)
        if kind == "DEPTHWISE_CONV_2D" and channels == 1:
            return make("linear", out_axis=3, in_axis=0)  # a converter's form of a convolution of one channel
        if kind == "DEPTHWISE_CONV_2D" or shape[-1] != channels:
            return make("wall", "it reads channels in groups, or flattened")
        return make("linear", out_axis=0, in_axis=len(shape) - 1)

    def _added(self, op: Any, make: Make) -> Layer:  # noqa: ANN401
        """Two activations of one shape, or a constant for each channel, which is a bias."""
        shapes, axes = [self._shape(index) for index in op.inputs], {self._axis_of(index) for index in op.inputs}
        constant = next((index for index in op.inputs if self._is_constant(index)), None)
        if constant is None and shapes[0] == shapes[1] and len(axes) == 1:
            self._axis[op.outputs[0]] = axes.pop()
            return make("join")
        if constant is not None and self._name(constant) in self._constants and self._readers[constant] == 1:
            (other,) = [index for index in op.inputs if index != constant]
            last = self._axis_of(other) == len(self._shape(other)) - 1
            if last and math.prod(self._shape(constant)) == self._shape(other)[-1] == self._shape(constant)[-1]:
                return make("through", bias=self._name(constant))
        return make("wall", "it adds something else than an activation of the same shape")
