"""A trained model as it was given: the float reference that every candidate is compared with."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from compiler.load.state import StatePair
from edge.manifest import Dtype

Kind = Literal["torch", "onnx", "tflite", "tflite-and-onnx"]
Layout = Literal["NCHW", "NHWC"]
Floats = NDArray[np.float32]
Outputs = tuple[Floats, ...]
Reference = Callable[[Floats, Outputs], tuple[Outputs, Outputs]]
"""(data, states) -> (all answers, in the model's order and shapes; states of the next step)."""


@dataclass(frozen=True, slots=True, eq=False)
class SourceModel:
    """One loaded model with one input for data, and a state or none."""

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
    state: tuple[tuple[int, ...], ...] = ()
    """Shape of each state, in the order of the inputs after the first, and of the last outputs."""
    pairs: tuple[StatePair, ...] = ()
    """As the user named the states."""
    note: str = ""
    """What loading changed, for people; empty if nothing."""
    behaviour: str = ""
    """Of a network that Python code made: a hash of all that it computes, by which what was made of it is known again.
    Empty for a file, whose content is all there is."""

    @property
    def identity(self) -> str:
        """By which what was built or measured of this model, with these states, is known again."""
        return " ".join([self.behaviour or self.sha256, *map(str, self.pairs)])

    @property
    def start(self) -> Outputs:
        """The states that a sequence begins with: zeros."""
        return tuple(np.zeros(shape, np.float32) for shape in self.state)

    def run(self, x: Floats) -> Floats:
        """Compute the first output, flattened, of real-valued `x` with shape `input_shape`; a state is zero before."""
        return self.run_all(x)[0].reshape(-1)

    def run_all(self, x: Floats) -> Outputs:
        """Compute all outputs, in the model's order and shapes, of real-valued `x` with shape `input_shape`."""
        return self.reference(x, self.start)[0]

    def unroll(self, steps: Iterable[Floats]) -> Iterator[Floats]:
        """Yield the first output, flattened, of each step of one sequence, which begins with every state at zero."""
        return (outputs[0].reshape(-1) for outputs in self.unroll_all(steps))

    def unroll_all(self, steps: Iterable[Floats]) -> Iterator[Outputs]:
        """Yield all outputs of each step of one sequence, which begins with every state at zero."""
        states = self.start
        for x in steps:
            outputs, states = self.reference(x, states)
            yield outputs


def guess_layout(shape: tuple[int, ...]) -> Layout | None:
    """Tell an image's layout from its shape [1, a, b, c]: one end looks like channels (1 to 4), the other does not."""
    if len(shape) != 4:
        return None
    first, last = shape[1] <= 4, shape[3] <= 4
    if first == last:
        return None
    return "NCHW" if first else "NHWC"
