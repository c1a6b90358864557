"""Arithmetic on every value: one, two, or any number of inputs."""

from collections.abc import Callable, Mapping
from functools import reduce

import torch
from torch import Tensor

from compiler.importer.node import Node
from compiler.importer.refusal import RefusedError
from compiler.importer.table import operator

UNARY: Mapping[str, Callable[[Tensor], Tensor]] = {
    "Abs": torch.abs,
    "Acos": torch.acos,
    "Acosh": torch.acosh,
    "Asin": torch.asin,
    "Asinh": torch.asinh,
    "Atan": torch.atan,
    "Atanh": torch.atanh,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Cosh": torch.cosh,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "Log": torch.log,
    "Neg": torch.neg,
    "Reciprocal": torch.reciprocal,
    "Round": torch.round,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Sinh": torch.sinh,
    "Sqrt": torch.sqrt,
    "Tan": torch.tan,
    "Tanh": torch.tanh,
}
BINARY: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"Add": torch.add, "Mul": torch.mul, "Sub": torch.sub}
VARIADIC: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Max": torch.maximum,
    "Min": torch.minimum,
    "Sum": torch.add,
}
INTEGERS = {torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64}
DTYPES: Mapping[int, torch.dtype] = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
}
"""Element types that a step may compute in, by their number in onnx.proto."""


@operator(*UNARY)
def unary(node: Node) -> Tensor:
    """One function of each value."""
    return UNARY[node.kind](node.tensor(0))


@operator(*BINARY)
def binary(node: Node) -> Tensor:
    """One function of two values; sizes are broadcast."""
    return BINARY[node.kind](*operands(node))


def operands(node: Node) -> tuple[Tensor, Tensor]:
    """Return both inputs; up to opset 6, `axis` says where the second one starts."""
    a, b = node.tensor(0), node.tensor(1)
    if node.opset < 7 and node.flag("broadcast") and "axis" in node.attributes:
        axis = node.integer("axis", 0) % a.dim()
        b = b.reshape(*b.shape, *[1] * (a.dim() - axis - b.dim()))
    return a, b


@operator(*VARIADIC)
def variadic(node: Node) -> Tensor:
    """Any number of inputs, two at a time."""
    return reduce(VARIADIC[node.kind], node.tensors())


@operator("Mean")
def mean(node: Node) -> Tensor:
    """Mean of any number of inputs."""
    return reduce(torch.add, node.tensors()) / len(node.inputs)


@operator("Div")
def div(node: Node) -> Tensor:
    """Return a / b; whole numbers are cut towards zero."""
    a, b = operands(node)
    return torch.div(a, b, rounding_mode="trunc") if a.dtype in INTEGERS else a / b


@operator("Mod", since=10)
def mod(node: Node) -> Tensor:
    """Remainder with the sign of the divisor, or of the dividend with `fmod`."""
    a, b = node.tensor(0), node.tensor(1)
    return torch.fmod(a, b) if node.flag("fmod") else torch.remainder(a, b)


@operator("Pow")
def power(node: Node) -> Tensor:
    """Return a ** b, in the type of a."""
    a, b = operands(node)
    if node.is_constant(1) and b.numel() == 1 and b.dim() <= a.dim():
        return raise_to(a, node.scalar(1))
    wide = torch.float32 if torch.float32 in {a.dtype, b.dtype} else a.dtype
    return torch.pow(a.to(wide), b.to(wide)).to(a.dtype)


def raise_to(x: Tensor, exponent: float) -> Tensor:
    """Return x ** exponent; squares and roots have kernels of their own, which also quantize."""
    if exponent == 2:
        return x * x
    if exponent == 0.5:
        return torch.sqrt(x)
    flat = x.reshape(-1) if x.dim() > 4 else x  # TFLite's kernel broadcasts in up to four dimensions
    return torch.pow(flat, int(exponent) if x.dtype in INTEGERS else exponent).reshape(x.shape)


@operator("Clip")
def clip(node: Node) -> Tensor:
    """Limit to [min, max], each of which may be missing; attributes up to opset 10, then inputs."""
    x = node.tensor(0)
    if node.opset < 11:
        return torch.clamp(x, node.number("min", -torch.inf), node.number("max", torch.inf))
    low, high = node.optional(1), node.optional(2)
    if all(node.is_constant(index) or not node.has(index) for index in (1, 2)):
        bounds = [_bound(node, index, x) for index in (1, 2)]
        return x if bounds == [None, None] else torch.clamp(x, bounds[0], bounds[1])
    x = x if low is None else torch.maximum(x, low)
    return x if high is None else torch.minimum(x, high)


def _bound(node: Node, index: int, x: Tensor) -> float | int | None:
    if not node.has(index):
        return None
    return int(node.scalar(index)) if x.dtype in INTEGERS else node.scalar(index)


@operator("Cast")
def cast(node: Node) -> Tensor:
    """Change the type of the values."""
    kind = node.attributes["to"]
    if isinstance(kind, bytes) or kind not in DTYPES:
        raise RefusedError(
            "it casts to a type that TFLite lacks", remedy="export the network in float32, int32, int64 or bool"
        )
    return node.tensor(0).to(DTYPES[kind])


@operator("CastLike", since=15)
def cast_like(node: Node) -> Tensor:
    """Change the type of the values to that of the second input."""
    return node.tensor(0).to(node.tensor(1).dtype)


@operator("Identity")
def identity(node: Node) -> Tensor:
    """Return the input."""
    return node.tensor(0).clone()


@operator("Dropout")
def dropout(node: Node) -> Tensor | tuple[Tensor, ...]:
    """Return the input, as at inference; the mask is all true.

    Raises: RefusedError in training mode.
    """
    x = node.tensor(0)
    if node.has(2) and not (node.is_constant(2) and not node.scalar(2)):
        raise RefusedError("it is in training mode", remedy="export the network in eval mode")
    return (x.clone(), torch.ones_like(x, dtype=torch.bool)) if node.outputs > 1 else x.clone()
