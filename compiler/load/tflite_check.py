"""Whether a .tflite file holds together: LiteRT opens some that do not, and later steps read the file themselves."""

from collections.abc import Iterator
from math import prod
from typing import Any

from edge.errors import BadModelError


def check_tflite(content: bytes, name: str) -> None:
    """Hold that tensors have readable names and as many bytes as their shape says, and that all indices lead to one.

    Raises: BadModelError.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(content)
    for graph in model.subgraphs:
        for problem in (*_indices(graph), *_tensors(model, graph)):
            raise BadModelError(f"{name} is damaged: {problem}", remedy="convert the model anew")


def _indices(graph: Any) -> Iterator[str]:  # noqa: ANN401  generated flatbuffer objects without types
    known = range(len(graph.tensors))
    ends = [*graph.inputs, *graph.outputs, *(at for op in graph.operators for at in op.outputs)]
    reads = [
        at for op in graph.operators for at in (op.inputs if op.inputs is not None else ()) if at != -1
    ]  # -1: none
    yield from (f"it names the tensor {at} of {len(known)}" for at in (*ends, *reads) if at not in known)


def _tensors(model: Any, graph: Any) -> Iterator[str]:  # noqa: ANN401
    sizes = _sizes()
    for number, tensor in enumerate(graph.tensors):
        if tensor.name is None:
            yield f"tensor {number} has no name; were its strings stripped?"
        elif not _readable(tensor.name):
            yield f"the name of tensor {number} is no text"
        data = model.buffers[tensor.buffer].data
        wanted = sizes.get(tensor.type, 0) * prod(
            int(size) for size in (tensor.shape if tensor.shape is not None else ())
        )
        if data is not None and len(data) and wanted and tensor.sparsity is None and len(data) != wanted:
            yield f"tensor {number} has {len(data)} bytes, its shape needs {wanted}"


def _readable(name: bytes) -> bool:
    try:
        return name.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _sizes() -> dict[int, int]:
    """Bytes of one number, of the types that are a whole number of bytes."""
    from ai_edge_litert import schema_py_generated as schema

    kind = schema.TensorType
    return {
        kind.FLOAT32: 4, kind.FLOAT16: 2, kind.FLOAT64: 8, kind.INT8: 1, kind.UINT8: 1, kind.INT16: 2, kind.INT32: 4,
        kind.INT64: 8, kind.BOOL: 1,
    }  # fmt: skip
