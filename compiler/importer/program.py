"""An ONNX file as the importer reads it: inputs, constants, steps in order, outputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.importer.refusal import Refusal
from edge.errors import BadModelError

_DTYPES: Mapping[int, type[np.generic]] = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_}
"""Element types of inputs that TFLite files take, by their number in onnx.proto."""


@dataclass(frozen=True, slots=True)
class Step:
    """One node of the graph."""

    kind: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    """Empty text: an optional input that is left out."""
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(repr=False)
    proto: Any = field(repr=False)  # the onnx.NodeProto, for folding

    def refusal(self, reason: str, remedy: str) -> Refusal:
        """Say that this node cannot be translated."""
        operator = f"{self.domain}.{self.kind}" if self.domain else self.kind
        return Refusal(operator, self.name, reason, remedy)


@dataclass(frozen=True, slots=True)
class GraphInput:
    """An input of the network, its size fixed."""

    name: str
    shape: tuple[int, ...]
    dtype: type[np.generic]

    def zeros(self) -> NDArray[Any]:
        """Return an example."""
        return np.zeros(self.shape, self.dtype)


@dataclass(frozen=True, slots=True)
class Program:
    """A whole graph, read."""

    opset: int
    inputs: tuple[GraphInput, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, NDArray[Any]] = field(repr=False)
    steps: tuple[Step, ...] = field(repr=False)
    proto: Any = field(repr=False)  # the onnx.ModelProto, for folding


def read_program(content: bytes) -> Program:
    """Parse an ONNX file.

    Raises: BadModelError if an input has an open size or a type that TFLite lacks.
    """
    import onnx

    proto = onnx.load_model_from_string(content)
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    return Program(
        opset=next((entry.version for entry in proto.opset_import if entry.domain in {"", "ai.onnx"}), 1),
        inputs=tuple(_read_input(value) for value in proto.graph.input if value.name not in constants),
        outputs=tuple(value.name for value in proto.graph.output),
        constants=constants,
        steps=tuple(_read_step(node, index) for index, node in enumerate(proto.graph.node)),
        proto=proto,
    )


def _read_step(node: Any, index: int) -> Step:  # noqa: ANN401  an onnx.NodeProto
    import onnx

    return Step(
        kind=node.op_type,
        domain="" if node.domain == "ai.onnx" else node.domain,
        name=node.name or f"{node.op_type}_{index}",
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        attributes={item.name: onnx.helper.get_attribute_value(item) for item in node.attribute},
        proto=node,
    )


def _read_input(value: Any) -> GraphInput:  # noqa: ANN401  an onnx.ValueInfoProto
    tensor = value.type.tensor_type
    dtype = _DTYPES.get(tensor.elem_type)
    if dtype is None:
        problem = f"the input {value.name} has a type that TFLite lacks"
        raise BadModelError(problem, remedy="export it with an input of float32, int32, int64 or bool")
    sizes = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim]
    if min(sizes, default=1) < 1:
        problem = f"the input {value.name} leaves a size open, or it is zero"
        raise BadModelError(problem, remedy="export it with fixed sizes")
    return GraphInput(value.name, tuple(sizes), dtype)
