"""TFLite files: export, quantize, describe."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from compiler.load.source import SourceModel
from compiler.load.tflite_file import input_spec, open_interpreter, tensor_spec
from edge.errors import BadModelError, EdgeError
from edge.manifest import TensorSpec

if TYPE_CHECKING:
    from edge.target import Target


def export(model: SourceModel) -> bytes:
    """Return the float file of a torch or TFLite source."""
    if model.kind == "tflite":
        content: bytes = model.payload
        return content
    from compiler.export.to_tflite import export_tflite

    return export_tflite(model)


def quantize(
    content: bytes, samples: Callable[[], Iterator[NDArray[np.float32]]], _target: "Target"
) -> tuple[bytes, str]:
    """Return the full-integer file, input and output int8.

    Raises: BadModelError.
    """
    from compiler.quantize.tflite_int8 import float_operators, quantize_tflite

    try:
        small = quantize_tflite(content, samples())
        describe(small)
    except EdgeError:
        raise
    except Exception as exc:  # the quantizer raises many types for operators that it does not know
        problem = f"ai-edge-quantizer cannot quantize this model: {type(exc).__name__}: {exc}"
        raise BadModelError(problem, remedy="use the float variant, or simplify the network") from exc
    left = float_operators(small)
    return small, f"computed in float: {', '.join(left)}" if left else "full integer: input and output int8"


def describe(content: bytes) -> tuple[TensorSpec, tuple[TensorSpec, ...]]:
    """Open the file and read its input and outputs.

    Raises: BadModelError.
    """
    interpreter = open_interpreter(content, "the compiled file")
    outputs = tuple(tensor_spec(detail) for detail in interpreter.get_output_details())
    return input_spec(interpreter, "the compiled file"), outputs
