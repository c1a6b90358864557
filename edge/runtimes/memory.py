"""The state of a model between two steps, for runtimes that own their tensors: what came out goes in again."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edge.errors import BadModelError
from edge.manifest import StateSpec, TensorSpec, Variant
from edge.quantization import dequantize, quantize

T = TypeVar("T")
View = Callable[[], NDArray[np.generic]]
"""Makes a view of a runtime's own tensor; it may not be kept while the runtime runs."""


class StateLine:
    """One state, kept outside of the runtime: that may use a tensor's memory for another one while it runs."""

    def __init__(self, spec: StateSpec, entrance: View, exit_: View) -> None:
        """`entrance` and `exit_`: the model's input and output that carry this state."""
        self._spec, self._entrance, self._exit = spec, entrance, exit_
        self._held: NDArray[np.generic] = np.empty(spec.input.shape, spec.input.dtype)
        self.reset()

    def put(self) -> None:
        """Before a step: hand the state in."""
        np.copyto(self._entrance(), self._held)

    def take(self) -> None:
        """After a step: keep what came out, in the input's own type and scale."""
        found = self._exit()
        if passes_unchanged(self._spec):
            np.copyto(self._held, found)
        else:
            np.copyto(self._held, quantize(dequantize(found, self._spec.output), self._spec.input))

    def reset(self) -> None:
        """Begin at zero."""
        self._held.fill(zero_of(self._spec.input))


def passes_unchanged(spec: StateSpec) -> bool:
    """Whether what leaves means the same as what comes in, number by number."""
    one, other = spec.output, spec.input
    return (one.dtype, one.scale, one.zero_point) == (other.dtype, other.scale, other.zero_point)


def zero_of(spec: TensorSpec) -> int:
    """Write 0.0 in a tensor's own type."""
    return spec.zero_point or 0


def ends_of(variant: Variant) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """All inputs and all outputs of a model: the data's, then those of the states."""
    states = variant.state
    return (variant.input, *(one.input for one in states)), (*variant.outputs, *(one.output for one in states))


def in_order(variant: Variant, specs: Sequence[TensorSpec], found: Sequence[T], name: Callable[[T], str]) -> list[T]:
    """The model's own tensors in the order of `specs`: by name where there is a state, else as they stand.

    Raises: BadModelError if there are more or fewer, or one of them is not there.
    """
    if len(found) != len(specs):
        raise BadModelError(
            f"{variant.file} has {len(found)} inputs or outputs where its manifest names {len(specs)}",
            remedy="compile the model again; one with several inputs needs --state",
        )
    if not variant.state:
        return list(found)
    by_name = {name(one): one for one in found}
    missing = [spec.name for spec in specs if spec.name not in by_name]
    if missing:
        raise BadModelError(f"{variant.file} has no tensor {missing[0]!r}", remedy="compile the model again")
    return [by_name[spec.name] for spec in specs]
