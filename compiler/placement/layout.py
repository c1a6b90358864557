"""Transposes that an NPU need not do: TRANSPOSE(to NCHW) -> MEAN(2, 3) becomes MEAN(1, 2), and the input comes as NHWC.

torch counts pixels channel by channel, TFLite and the NPUs pixel by pixel. The converter keeps most of a network in
TFLite's order, and leaves a transpose at the input and one before a mean over the picture, `x.mean((2, 3))`. Vela 5.2
leaves that mean to the CPU ("Reduction over depth is only supported if any of h,w,c == 1"), and estimates the transpose
before it to cost an Ethos-U85 40 times the rest of a MobileNetV2. Both rewrites move numbers and change none, so they
serve float and quantized files alike.

An average pool instead of the mean, which older Velas needed, is worse today: Vela takes MEAN(1, 2), which may have a
scale of its own, while an int8 pool must keep its input's (compiler/quantize/tflite_pooling.py has the figures).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

TO_NCHW, TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]


@dataclass(frozen=True, slots=True)
class ChannelsLast:
    """A model after the rewrites."""

    content: bytes = field(repr=False)
    changes: tuple[str, ...]
    """What was done, for people; empty: the content is as it was."""
    input_moved: bool
    """The input was [1, channels, height, width] and is now [1, height, width, channels]."""


def channels_last(content: bytes, *, move_input: bool) -> ChannelsLast:
    """Take out the transposes of a .tflite that a torch network brought.

    Args:
        content: float or quantized; must be readable (`compiler.placement.tflite_graph.read_graph` says so).
        move_input: also let the input come as NHWC. Not for data that already have the model's own shape.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(content)
    if len(model.subgraphs) != 1:  # a loop or a branch: its inputs are wired by position
        return ChannelsLast(content, (), input_moved=False)
    graph = _Graph(model)
    means = sum(graph.move_mean(op) for op in list(graph.operators))
    moved = move_input and graph.move_input()
    if not means and not moved:
        return ChannelsLast(content, (), input_moved=False)
    changes = [f"{means} MEAN over NCHW became MEAN over NHWC"] if means else []
    changes += ["the input comes as NHWC, without a TRANSPOSE"] if moved else []
    return ChannelsLast(bytes(flatbuffer_utils.convert_object_to_bytearray(model)), tuple(changes), moved)


class _Graph:
    """The one subgraph of a model, and the edits that the rewrites need. Generated flatbuffer objects have no types."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401
        from ai_edge_litert import schema_py_generated as schema

        self._schema, self._model, self._graph = schema, model, model.subgraphs[0]

    @property
    def operators(self) -> list[Any]:
        return self._graph.operators  # type: ignore[no-any-return]

    def move_mean(self, op: Any) -> bool:  # noqa: ANN401
        """Let a mean over height and width of an NCHW copy read the NHWC original; says whether it did."""
        if self._kind(op) != self._schema.BuiltinOperator.MEAN:
            return False
        axes = self._constant(op.inputs[1])
        copy: Any = next((one for one in self.operators if op.inputs[0] in list(one.outputs)), None)
        if axes is None or sorted(axis % 4 for axis in axes) != [2, 3] or not self._is_transpose(copy, TO_NCHW):
            return False
        op.inputs = [copy.inputs[0], self._add_constant([1, 2], f"mean_axes_{len(self._graph.tensors)}")]
        if op.builtinOptions.keepDims:  # [1, 1, 1, channels] is now made, [1, channels, 1, 1] is wanted
            self._reshape_output(op)
        self._drop_if_unread(copy)
        return True

    def move_input(self) -> bool:
        """Make the NHWC copy of the input the input itself; says whether it did."""
        given = self._graph.inputs[0]
        readers = [op for op in self.operators if given in list(op.inputs)]
        if len(self._graph.inputs) != 1 or len(readers) != 1 or not self._is_transpose(readers[0], TO_NHWC):
            return False
        wanted = readers[0].outputs[0]
        tensors = self._graph.tensors
        tensors[given].name, tensors[wanted].name = tensors[wanted].name, tensors[given].name
        self._graph.inputs = [wanted]
        for signature in self._model.signatureDefs or []:
            for entry in signature.inputs:
                entry.tensorIndex = wanted
        self.operators.remove(readers[0])
        return True

    def _kind(self, op: Any) -> int:  # noqa: ANN401
        from ai_edge_litert.tools.flatbuffer_utils import get_builtin_code_from_operator_code as code_of

        code: int = code_of(self._model.operatorCodes[op.opcodeIndex])
        return code

    def _is_transpose(self, op: Any, order: list[int]) -> bool:  # noqa: ANN401
        """Whether it reorders so, on one scale."""
        if op is None or self._kind(op) != self._schema.BuiltinOperator.TRANSPOSE:
            return False
        before, after = (self._graph.tensors[index].quantization for index in (op.inputs[0], op.outputs[0]))
        return self._constant(op.inputs[1]) == order and _scale(before) == _scale(after)

    def _constant(self, index: int) -> list[int] | None:
        tensor = self._graph.tensors[index]
        data = self._model.buffers[tensor.buffer].data
        if data is None or tensor.type != self._schema.TensorType.INT32:
            return None
        return [int(value) for value in np.asarray(data, np.uint8).view(np.int32)]

    def _add_constant(self, values: list[int], name: str) -> int:
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(np.array(values, np.int32).tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        tensor = self._schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name.encode(), [len(values)], self._schema.TensorType.INT32
        tensor.buffer = len(self._model.buffers) - 1
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _reshape_output(self, op: Any) -> None:  # noqa: ANN401
        """Put a RESHAPE between a mean and its output, which keeps its shape."""
        wanted = self._graph.tensors[op.outputs[0]]
        made = self._schema.TensorT()
        made.name = wanted.name + b"_nhwc"
        made.type, made.quantization, made.buffer = wanted.type, wanted.quantization, 0
        made.shape = [wanted.shape[0], 1, 1, wanted.shape[1]]
        self._graph.tensors.append(made)
        reshape = self._schema.OperatorT()
        reshape.opcodeIndex = self._reshape_code()
        reshape.inputs = [len(self._graph.tensors) - 1, self._add_constant(list(wanted.shape), "mean_shape")]
        reshape.outputs, op.outputs = op.outputs, [reshape.inputs[0]]
        reshape.builtinOptionsType = self._schema.BuiltinOptions.ReshapeOptions
        reshape.builtinOptions = self._schema.ReshapeOptionsT()
        reshape.builtinOptions.newShape = list(wanted.shape)
        self.operators.insert(self.operators.index(op) + 1, reshape)

    def _reshape_code(self) -> int:
        code = self._schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = self._schema.BuiltinOperator.RESHAPE
        code.version = 1
        self._model.operatorCodes.append(code)
        return len(self._model.operatorCodes) - 1

    def _drop_if_unread(self, op: Any) -> None:  # noqa: ANN401
        read = {index for one in self.operators for index in one.inputs} | set(self._graph.outputs)
        if not read & set(op.outputs):
            self.operators.remove(op)


def _scale(quantization: Any) -> tuple[float, ...]:  # noqa: ANN401
    """Scales, then zero points: all that says what an integer means."""
    if quantization is None or quantization.scale is None:
        return ()
    return (*map(float, quantization.scale), *map(float, quantization.zeroPoint))
