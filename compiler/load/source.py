"""A trained model as it was given: the float reference that every candidate is compared with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge.manifest import Dtype

Kind = Literal["torch", "onnx", "tflite", "tflite-and-onnx"]
Layout = Literal["NCHW", "NHWC"]
Reference = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Outputs = tuple[NDArray[np.float32], ...]


@dataclass(frozen=True, slots=True, eq=False)
class SourceModel:
    """One loaded model with one input."""

    kind: Kind
    name: str
    """File name without its ending, or the function's file name: a proposal for the bundle's name."""
    input_shape: tuple[int, ...]
    """With the batch, which is 1."""
    input_dtype: Dtype
    """Of the given file; the reference takes real values whatever it is."""
    outputs: int
    """Values in the first output, flattened: the scores of a classifier."""
    sha256: str
    """Of the source's content (for `file.py:function`: the file and the exported weights), never of a path."""
    payload: Any = field(
        repr=False
    )  # torch.nn.Module, or the bytes of an .onnx or .tflite file: these libraries ship no types
    reference: Reference = field(repr=False)
    layout: Layout | None = None
    """Of an image input, where the file format or the shape tells it (a [1, 3, 32, 32] is NCHW); None: unknown."""
    quantized: bool = False
    """The given file already computes in int8 or uint8."""
    onnx: bytes | None = field(default=None, repr=False)
    """Of a `tflite-and-onnx` source the same network as an .onnx file; `payload` is the .tflite."""
    note: str = ""
    """What loading changed, for people; empty if nothing."""
    every: Callable[[NDArray[np.float32]], Outputs] | None = field(default=None, repr=False)
    """Like `reference`, but all outputs, in their shapes. None: nobody can tell more than the first."""
    behaviour: str = ""
    """Of a network that Python code made: a hash of all that it computes, by which what was made of it is known again.
    Empty for a file, whose content is all there is."""

    @property
    def identity(self) -> str:
        """By which what was built or measured of this model is known again."""
        return self.behaviour or self.sha256

    def run_all(self, x: NDArray[np.float32]) -> Outputs:
        """Compute all outputs, in the model's order and shapes, of real-valued `x` with shape `input_shape`."""
        return (self.reference(x),) if self.every is None else self.every(x)

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the first output, flattened, of real-valued `x` with shape `input_shape`."""
        return self.reference(x)


def guess_layout(shape: tuple[int, ...]) -> Layout | None:
    """Tell an image's layout from its shape [1, a, b, c]: one end looks like channels (1 to 4), the other does not."""
    if len(shape) != 4:
        return None
    first, last = shape[1] <= 4, shape[3] <= 4
    if first == last:
        return None
    return "NCHW" if first else "NHWC"
