"""The main graph of a TFLite flatbuffer with names for its numbers; `tflite_layers` and `tflite_kernels` read by it."""

from collections import Counter
from typing import Any


class GraphReader:
    """One file being read: generated flatbuffer objects without types."""

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema
        from ai_edge_litert.tools import flatbuffer_utils

        self._schema = schema
        self._model: Any = flatbuffer_utils.read_model_from_bytearray(content)
        self._graph: Any = self._model.subgraphs[0]
        self._code_of = flatbuffer_utils.get_builtin_code_from_operator_code
        self._kinds = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
        self._readers = Counter(index for op in self._graph.operators for index in op.inputs)
        """How many inputs each tensor is."""

    def _kind(self, op: Any) -> str:  # noqa: ANN401
        """As the schema names it."""
        kind: str = self._kinds[self._code_of(self._model.operatorCodes[op.opcodeIndex])]
        return kind

    def _name(self, index: int) -> str:
        text: str = self._graph.tensors[index].name.decode()
        return text

    def _shape(self, index: int) -> tuple[int, ...]:
        shape = self._graph.tensors[index].shape
        return () if shape is None else tuple(int(size) for size in shape)

    def _data(self, index: int) -> Any:  # noqa: ANN401
        """Bytes of a constant, as a list or an array of them; None of what is computed."""
        data = self._model.buffers[self._graph.tensors[index].buffer].data
        return None if data is None or len(data) == 0 else data

    def _is_constant(self, index: int) -> bool:
        return self._data(index) is not None
