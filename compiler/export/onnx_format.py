"""ONNX files: the verbs of `compiler.export.FileFormat`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from compiler.export.ends import Ends, ends_of
from compiler.load.source import SourceModel
from compiler.observe.onnx_model import observe_onnx, run_onnx
from compiler.observe.ranges import Range
from compiler.plan import Plan
from compiler.quantize.onnx_kernels import read_kernels
from compiler.quantize.onnx_layers import read_network, write_constants
from compiler.quantize.onnx_qdq import Codes, float_nodes, has_integers, quantize_onnx
from compiler.quantize.onnx_weights import halve_weights, quantize_weights
from edge.errors import BadModelError, EdgeError
from edge.manifest import Dtype, TensorSpec

__all__ = [
    "describe",
    "export",
    "float_nodes",
    "has_integers",
    "note",
    "observe_onnx",
    "prepare",
    "quantize",
    "quantize_one",
    "read_kernels",
    "read_network",
    "run_onnx",
    "shrink",
    "write_constants",
]

_DTYPES: dict[str, Dtype] = {"FLOAT": "float32", "INT8": "int8", "UINT8": "uint8"}


def export(model: SourceModel) -> bytes:
    """Return the float file of a source; what came as ONNX was simplified when it was loaded.

    Raises: BadModelError naming the operator that stands in the way, or for a TFLite source that was not converted.
    """
    if model.kind == "onnx":
        content: bytes = model.payload
        return content
    if model.onnx is not None:
        return model.onnx
    if model.kind == "tflite":
        raise BadModelError("a .tflite does not become ONNX by itself", remedy="compile with --onnx-too")
    from compiler.export.to_onnx import export_onnx

    return export_onnx(model)


def prepare(content: bytes) -> bytes:
    """Return the file itself: simplifying left it ready."""
    return content


def quantize(content: bytes, ranges: Mapping[str, Range], plan: Plan) -> bytes:
    """Return the QDQ file of a plan.

    Raises: BadModelError.
    """
    codes: Codes = "int16" if plan.precision == "int16x8" else plan.activations
    with _blamed():
        return quantize_onnx(content, ranges, activations=codes, keep_float=plan.keep_float)


def quantize_one(content: bytes, ranges: Mapping[str, Range], layer: str) -> bytes:
    """Return a QDQ file in which one node alone is int8.

    Raises: BadModelError.
    """
    with _blamed():
        return quantize_onnx(content, ranges, activations="int8", only=[layer])


def shrink(content: bytes, plan: Plan) -> bytes:
    """Return the float file with float16 or int8 weights.

    Raises: BadModelError.
    """
    with _blamed():
        return halve_weights(content) if plan.precision == "float16" else quantize_weights(content)


def note(content: bytes, plan: Plan) -> str:
    """Say what computes in what."""
    if plan.precision in {"float16", "int8-weights"}:
        return f"{plan.precision.removesuffix('-weights')} weights, computed in float"
    kind = "int16" if plan.precision == "int16x8" else plan.activations
    kept = [name for name in float_nodes(content) if plan.keep_float]
    left = f"; computed in float: {', '.join(kept)}" if kept else ""
    return f"{kind} activations, int8 weights per channel; float input and output{left}"


@contextmanager
def _blamed() -> Iterator[None]:
    """Turn what the quantizer raises (many types, for graphs that it does not understand) into a BadModelError."""
    try:
        yield
    except EdgeError:
        raise
    except Exception as exc:
        problem = f"ONNX Runtime cannot quantize this model: {type(exc).__name__}: {exc}"
        raise BadModelError(problem, remedy="use the float variant, or simplify the network") from exc


def describe(content: bytes) -> Ends:
    """Read inputs and outputs from the file.

    Raises: BadModelError for an output whose size depends on the data, or of another type.
    """
    import onnx

    graph = onnx.load_model_from_string(content).graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [_spec(value) for value in graph.input if value.name not in weights]
    return ends_of(inputs, [_spec(value) for value in graph.output])


def _spec(value: Any) -> TensorSpec:  # noqa: ANN401  an onnx.ValueInfoProto
    import onnx

    tensor = value.type.tensor_type
    kind = onnx.TensorProto.DataType.Name(tensor.elem_type)
    shape = tuple(dim.dim_value for dim in tensor.shape.dim)
    if kind not in _DTYPES or not shape or not all(shape):
        said = f"{value.name} is {kind.lower()} of shape {list(shape)} (0: depends on the data)"
        raise BadModelError(said, remedy="cut the model before this output, and compute it in the decider")
    return TensorSpec(name=value.name, shape=shape, dtype=_DTYPES[kind])
