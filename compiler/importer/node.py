"""What an operator's function sees of one ONNX node: inputs as tensors or as constants, attributes with defaults."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from compiler.importer.refusal import WHILE_EXPORTING, RefusedError


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """A value that is known before run time: a weight, or what was folded."""

    name: str
    array: NDArray[Any] = field(repr=False)


Input = Tensor | Constant | None
"""None: an optional input that the node leaves out."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One node on its way through the network, inputs filled in."""

    kind: str
    name: str
    opset: int
    inputs: tuple[Input, ...]
    attributes: Mapping[str, Any]
    outputs: int
    """How many outputs are named; trailing ones that nobody reads are not counted."""
    weight: Callable[[Constant], Tensor] = field(repr=False)
    """Returns the network's parameter or buffer that holds a constant."""

    def has(self, index: int) -> bool:
        """Tell whether the optional input is there."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def tensor(self, index: int) -> Tensor:
        """Return an input, be it computed or constant."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None:
            raise RefusedError(f"input {index} is missing", remedy="check the file with onnx.checker")
        return self.weight(value) if isinstance(value, Constant) else value

    def optional(self, index: int) -> Tensor | None:
        """Return an input, or None if the node leaves it out."""
        return self.tensor(index) if self.has(index) else None

    def tensors(self) -> list[Tensor]:
        """Return all inputs, of an operator that takes any number."""
        return [self.tensor(index) for index in range(len(self.inputs))]

    def is_constant(self, index: int) -> bool:
        """Tell whether an input is there and known before run time."""
        return self.has(index) and isinstance(self.inputs[index], Constant)

    def array(self, index: int) -> NDArray[Any]:
        """Return a constant input.

        Raises: RefusedError if it is computed at run time.
        """
        value = self.inputs[index]
        if not isinstance(value, Constant):
            raise RefusedError(f"input {index} is computed at run time, but decides sizes", remedy=WHILE_EXPORTING)
        return value.array

    def integers_at(self, index: int) -> list[int] | None:
        """Return a constant input as whole numbers; None if the node leaves it out."""
        return [int(item) for item in self.array(index).reshape(-1)] if self.has(index) else None

    def scalar(self, index: int) -> float:
        """Return a constant input that holds one number."""
        return float(self.array(index).reshape(-1)[0])

    def integer(self, name: str, default: int) -> int:
        """Return an attribute that is a whole number."""
        return int(self.attributes.get(name, default))

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return an attribute that is 0 or 1."""
        return bool(self.attributes.get(name, default))

    def number(self, name: str, default: float) -> float:
        """Return an attribute that is a real number, as exact as the float32 in the file."""
        return float(np.float32(self.attributes.get(name, default)))

    def text(self, name: str, default: str) -> str:
        """Return an attribute that is a word."""
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)

    def texts(self, name: str) -> list[str] | None:
        """Return an attribute that is a list of words; None if the node leaves it out."""
        values = self.attributes.get(name)
        return None if values is None else [item.decode() if isinstance(item, bytes) else item for item in values]

    def integers(self, name: str) -> list[int] | None:
        """Return an attribute that is a list of whole numbers; None if the node leaves it out."""
        values = self.attributes.get(name)
        return None if values is None else [*values]

    def integer_parameter(self, name: str, index: int) -> list[int] | None:
        """Return what older opsets write as an attribute and newer ones as an input (axes, pads, split ...)."""
        return self.integers(name) if name in self.attributes else self.integers_at(index)
