"""TFLite files: the verbs of `compiler.export.FileFormat`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

from compiler.export.ends import Ends, ends_of
from compiler.load.source import SourceModel
from compiler.load.tflite_file import open_interpreter, tensor_spec
from compiler.observe.ranges import Range
from compiler.observe.tflite_model import observe_tflite, run_tflite
from compiler.plan import Plan
from compiler.quantize.tflite_kernels import read_kernels
from compiler.quantize.tflite_layers import read_network, write_constants
from compiler.quantize.tflite_model import float_operators, has_integers, modernize
from compiler.quantize.tflite_recipes import quantize_tflite, shrink_tflite
from edge.errors import BadModelError, EdgeError

__all__ = [
    "describe",
    "export",
    "float_operators",
    "has_integers",
    "note",
    "observe_tflite",
    "prepare",
    "quantize",
    "quantize_one",
    "read_kernels",
    "read_network",
    "run_tflite",
    "shrink",
    "write_constants",
]


def export(model: SourceModel) -> bytes:
    """Return the float file of a torch, ONNX or TFLite source.

    Raises: BadModelError naming the operators that stand in the way; MissingExtraError.
    """
    if model.kind in {"tflite", "tflite-and-onnx"}:
        content: bytes = model.payload
        return content
    from compiler.export.to_tflite import export_tflite

    return export_tflite(model)


def prepare(content: bytes) -> bytes:
    """Return the file with today's operator numbers, a signature, and global pools as means."""
    with _blamed():
        return modernize(content)[0]


def quantize(content: bytes, ranges: Mapping[str, Range], plan: Plan) -> bytes:
    """Return the integer file of a plan: input and output int8 where everything is, else float32.

    Raises: BadModelError.
    """
    bits: Literal[8, 16] = 16 if plan.precision == "int16x8" else 8
    with _blamed():
        return quantize_tflite(content, ranges, activation_bits=bits, keep_float=plan.keep_float)


def quantize_one(content: bytes, ranges: Mapping[str, Range], layer: str) -> bytes:
    """Return a file in which one operator, named by its first output, alone is int8.

    Raises: BadModelError.
    """
    with _blamed():
        return quantize_tflite(content, ranges, only=[layer])


def shrink(content: bytes, plan: Plan) -> bytes:
    """Return the float file with float16 or int8 weights.

    Raises: BadModelError.
    """
    with _blamed():
        return shrink_tflite(content, "float16" if plan.precision == "float16" else "int8")


def note(content: bytes, plan: Plan) -> str:
    """Say what computes in what."""
    if plan.precision in {"float16", "int8-weights"}:
        return f"{plan.precision.removesuffix('-weights')} weights, computed in float"
    left = float_operators(content)
    ends = "float input and output" if plan.precision == "int16x8" else "full integer: input and output int8"
    return f"computed in float: {', '.join(left)}" if left else ends


@contextmanager
def _blamed() -> Iterator[None]:
    """Turn what the quantizer raises (many types, for operators that it does not know) into a BadModelError."""
    try:
        yield
    except EdgeError:
        raise
    except Exception as exc:
        problem = f"ai-edge-quantizer cannot quantize this model: {type(exc).__name__}: {exc}"
        raise BadModelError(problem, remedy="use the float variant, or simplify the network") from exc


def describe(content: bytes) -> Ends:
    """Open the file and read its inputs and outputs.

    Raises: BadModelError.
    """
    interpreter = open_interpreter(content, "the compiled file")
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    return ends_of([tensor_spec(one) for one in inputs], [tensor_spec(one) for one in outputs])
