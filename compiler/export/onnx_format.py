"""ONNX files: export, quantize, describe."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compiler.load.source import SourceModel
from edge.errors import BadModelError
from edge.manifest import Dtype, TensorSpec

if TYPE_CHECKING:
    from edge.target import Target

_DTYPES: dict[str, Dtype] = {"FLOAT": "float32", "INT8": "int8", "UINT8": "uint8"}


def export(model: SourceModel) -> bytes:
    """Return the float file of a torch or ONNX source; an ONNX source was simplified when it was loaded."""
    if model.kind == "onnx":
        content: bytes = model.payload
        return content
    from compiler.export.to_onnx import export_onnx

    return export_onnx(model)


def quantize(
    content: bytes, samples: Callable[[], Iterator[NDArray[np.float32]]], target: "Target"
) -> tuple[bytes, str]:
    """Return the QDQ file: int8 weights per channel; activations uint8 on x86, int8 elsewhere.

    Raises: BadModelError.
    """
    from compiler.quantize.onnx_int8 import quantize_onnx

    unsigned = target.arch.startswith("x86")
    try:
        small = quantize_onnx(
            content, input_name=describe(content)[0].name, samples=samples(), unsigned_activations=unsigned
        )
    except Exception as exc:  # the quantizer raises many types for graphs that it does not understand
        problem = f"ONNX Runtime cannot quantize this model: {type(exc).__name__}: {exc}"
        raise BadModelError(problem, remedy="use the float variant, or simplify the network") from exc
    return small, f"{'uint8' if unsigned else 'int8'} activations, int8 weights per channel; float input and output"


def describe(content: bytes) -> tuple[TensorSpec, tuple[TensorSpec, ...]]:
    """Read input and outputs from the file.

    Raises: BadModelError for an output whose size depends on the data, or of another type.
    """
    import onnx

    graph = onnx.load_model_from_string(content).graph
    weights = {tensor.name for tensor in graph.initializer}
    (first,) = [value for value in graph.input if value.name not in weights]
    return _spec(first), tuple(_spec(value) for value in graph.output)


def _spec(value: Any) -> TensorSpec:  # noqa: ANN401  an onnx.ValueInfoProto
    import onnx

    tensor = value.type.tensor_type
    kind = onnx.TensorProto.DataType.Name(tensor.elem_type)
    shape = tuple(dim.dim_value for dim in tensor.shape.dim)
    if kind not in _DTYPES or not shape or not all(shape):
        said = f"{value.name} is {kind.lower()} of shape {list(shape)} (0: depends on the data)"
        raise BadModelError(said, remedy="cut the model before this output, and compute it in the decider")
    return TensorSpec(name=value.name, shape=shape, dtype=_DTYPES[kind])
