"""What one inference has to do: multiply-accumulates by class, elements moved, operators. Pure; no file is read here.

A network's time is not its number of MACs: a depthwise MAC costs three to five pointwise ones, and what is moved
costs even where nothing is multiplied. So work is counted by the classes that kernels are written for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Annotated, Literal

import msgspec

from edge.manifest import Record

Count = Annotated[int, msgspec.Meta(ge=0)]
Shape = Sequence[int]
"""Of one tensor without its batch, channels last: (height, width, channels) or (length, channels) or (features,)."""
LARGE_TENSOR = 500_000
"""Elements. One to two megabytes: more than the caches that the cores of such boards have of their own, so that several
threads wait for one memory."""
MacClass = Literal["pointwise", "winograd", "spatial", "first", "depthwise", "dense", "recurrent"]
FIRST_CHANNELS = 4
"""A convolution on so few channels is the first one: pictures have 1 to 4, and kernels cannot fill their lanes."""


class Work(Record, frozen=True, kw_only=True):
    """One inference. MACs are multiply-accumulates; elements count once for each tensor read or written."""

    pointwise: Count = 0
    """MACs of 1x1 convolutions, grouped ones included."""
    winograd: Count = 0
    """MACs of 3x3 convolutions of stride 1, which some runtimes compute with fewer multiplications."""
    spatial: Count = 0
    """MACs of all other convolutions over neighbours, transposed ones included."""
    first: Count = 0
    """MACs of convolutions that read at most FIRST_CHANNELS channels."""
    depthwise: Count = 0
    dense: Count = 0
    """MACs of fully connected layers and matrix products: each weight is read for one MAC."""
    recurrent: Count = 0
    """MACs of recurrent layers over all time steps."""
    weights: Count = 0
    pointwise_elements: Count = 0
    """Read and written by 1x1 convolutions."""
    spatial_elements: Count = 0
    """Read and written by the convolutions counted as `spatial` or `first`."""
    other_elements: Count = 0
    """Read and written by operators that multiply nothing: additions, concatenation, activations. A pool reads each
    of its windows, so an element in nine windows counts nine times."""
    exponential_elements: Count = 0
    """Those of the others whose function needs an exponential: sigmoid, swish, tanh, softmax."""
    large_elements: Count = 0
    """Read and written by operators whose tensors have LARGE_TENSOR elements and more on average."""
    elements: Count = 0
    """Read and written by all operators."""
    operators: Count = 0
    dtype: Literal["float32", "float16", "int8"] = "float32"

    @property
    def macs(self) -> int:
        """All multiply-accumulates."""
        spread = self.pointwise + self.winograd + self.spatial + self.first
        return spread + self.depthwise + self.dense + self.recurrent

    @property
    def bytes_moved(self) -> int:
        """Weights once, and every tensor once for each operator that reads or writes it."""
        return (self.weights + self.elements) * {"float32": 4, "float16": 2, "int8": 1}[self.dtype]


@dataclass(slots=True)
class Tally:
    """Counts a network operator by operator; the readers of files and the tests' own networks share it."""

    counts: dict[str, int] = field(default_factory=dict)

    def convolution(
        self,
        read: Shape,
        written: Shape,
        kernel: Shape,
        *,
        groups: int = 1,
        stride: Shape = (1, 1),
        dilation: Shape = (1, 1),
        transposed: bool = False,
    ) -> None:
        """Count one convolution; `kernel` holds its spatial sizes."""
        weights = prod(kernel) * read[-1] * written[-1] // groups
        kind = conv_class(read, written, kernel, groups=groups, stride=stride, dilation=dilation, transposed=transposed)
        # a transposed convolution multiplies each input position by the whole kernel, any other each output position
        self._add(kind, weights * prod((read if transposed else written)[:-1]))
        moved = prod(read) + prod(written)
        self._add("weights", weights)
        self._add("pointwise_elements", moved if kind == "pointwise" else 0)
        self._add("spatial_elements", moved if kind in {"spatial", "first"} else 0)
        self._operator(moved)

    def dense(self, read: int, written: int, weights: int, *, rows: int = 1) -> None:
        """Count a fully connected layer of `weights` weights that is applied to `rows` rows of `read` elements."""
        self._add("dense", weights * rows)
        self._add("weights", weights)
        self._operator(rows * (read + written))

    def recurrent(self, read: int, written: int, weights: int, *, steps: int) -> None:
        """Count a recurrent layer whose `weights` weights are applied at each of `steps` steps."""
        self._add("recurrent", weights * steps)
        self._add("weights", weights)
        self._operator(read + written)

    def other(self, moved: int) -> None:
        """Count an operator that multiplies nothing; `moved` elements are read or written."""
        self._add("other_elements", moved)
        self._operator(moved)

    def exponential(self, moved: int) -> None:
        """Count an operator that multiplies nothing, but computes exponentials."""
        self._add("exponential_elements", moved)
        self.other(moved)

    def pool(self, written: int, window: int) -> None:
        """Count a pool of `written` elements, each over `window` of those read; a global one reads everything once."""
        self.other(written * (window + 1))

    def work(self, dtype: Literal["float32", "float16", "int8"] = "float32") -> Work:
        """All that was counted."""
        return msgspec.convert({**self.counts, "dtype": dtype}, Work)

    def _operator(self, moved: int) -> None:
        self._add("elements", moved)
        self._add("large_elements", moved if moved > 2 * LARGE_TENSOR else 0)
        self._add("operators", 1)

    def _add(self, what: str, count: int) -> None:
        self.counts[what] = self.counts.get(what, 0) + count


def conv_class(
    read: Shape, written: Shape, kernel: Shape, *, groups: int, stride: Shape, dilation: Shape, transposed: bool
) -> MacClass:
    """Name the class of kernel that computes one convolution."""
    positions = prod(read[:-1]) * prod(written[:-1])
    neighbours = prod(kernel) > 1
    if groups > 1 and groups == read[-1]:
        return "depthwise" if groups > FIRST_CHANNELS or not neighbours else "first"
    if not neighbours:
        return "dense" if positions == 1 and groups == 1 else "pointwise"
    if read[-1] <= FIRST_CHANNELS:
        return "first"
    square = tuple(kernel) == (3, 3) and set(stride) == {1} and set(dilation) == {1}
    return "winograd" if square and groups == 1 and not transposed else "spatial"
