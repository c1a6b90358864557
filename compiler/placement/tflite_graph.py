"""A .tflite file as plain, typed operators: what the ledger and the lint look at."""

from dataclasses import dataclass
from typing import Any

from compiler.quiet import quiet
from edge.errors import BadModelError, MissingExtraError


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the file."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    """In lower case, as the schema names it: float32, int8, uint8, int16 ..."""
    constant: bool
    scales: tuple[float, ...]
    """Empty: not quantized; one for the tensor; more: one for each channel."""


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator of the file; `index` counts over all of its subgraphs."""

    index: int
    kind: str
    """As the schema names it; of a custom operator its own name."""
    inputs: tuple[Tensor, ...]
    """Without the ones that are left out."""
    outputs: tuple[Tensor, ...]

    @property
    def name(self) -> str:
        """Of its first output, by which every tool names an operator of this format."""
        return self.outputs[0].name if self.outputs else f"operator_{self.index}"


@dataclass(frozen=True, slots=True)
class Graph:
    """The operators, and the tensors by which data goes in and out."""

    operators: tuple[Operator, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def read_graph(content: bytes) -> Graph:
    """Read a .tflite file.

    Raises: BadModelError if it cannot be read; MissingExtraError.
    """
    try:
        with quiet():
            from ai_edge_litert import schema_py_generated as schema
            from ai_edge_litert.tools import flatbuffer_utils
    except ImportError as exc:
        raise MissingExtraError("ai-edge-litert is not installed", remedy="pip install 'edgewright[tflite]'") from exc
    if content[4:8] != b"TFL3":  # Source: TensorFlow Lite schema, file_identifier
        raise BadModelError("this is not a TFLite model", remedy="convert the model anew; the file may be truncated")
    try:
        return _graph(flatbuffer_utils.read_model_from_bytearray(content), flatbuffer_utils, schema)
    except Exception as exc:  # the generated reader raises whatever a broken offset leads to
        problem = f"this TFLite file cannot be read: {type(exc).__name__}: {exc}"
        raise BadModelError(problem, remedy="convert the model anew; the file may be truncated") from exc


def _graph(model: Any, flatbuffer_utils: Any, schema: Any) -> Graph:  # noqa: ANN401  generated, without types
    kinds = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    dtypes = {value: name.lower() for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
    operators: list[Operator] = []
    for graph in model.subgraphs:
        tensors = [_tensor(model, index, tensor, dtypes) for index, tensor in enumerate(graph.tensors)]
        for op in graph.operators:
            code = model.operatorCodes[op.opcodeIndex]
            kind = kinds[flatbuffer_utils.get_builtin_code_from_operator_code(code)]
            if kind == "CUSTOM" and code.customCode:
                kind = code.customCode.decode(errors="replace")
            inputs, outputs = (
                tuple(tensors[i] for i in ([] if indices is None else indices) if i >= 0)
                for indices in (op.inputs, op.outputs)
            )
            operators.append(Operator(len(operators), kind, inputs, outputs))
    first = model.subgraphs[0]
    tensors = [_tensor(model, index, tensor, dtypes) for index, tensor in enumerate(first.tensors)]
    return Graph(tuple(operators), tuple(tensors[i] for i in first.inputs), tuple(tensors[i] for i in first.outputs))


def _tensor(model: Any, index: int, tensor: Any, dtypes: dict[int, str]) -> Tensor:  # noqa: ANN401
    data = model.buffers[tensor.buffer].data
    scale = tensor.quantization.scale if tensor.quantization is not None else None
    return Tensor(
        index=index,
        name=tensor.name.decode(errors="replace") if tensor.name else f"tensor_{index}",
        shape=() if tensor.shape is None else tuple(int(size) for size in tensor.shape),
        dtype=dtypes[tensor.type],
        constant=data is not None and len(data) > 0,
        scales=() if scale is None else tuple(float(one) for one in scale),
    )
