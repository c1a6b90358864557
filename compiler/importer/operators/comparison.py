"""Comparisons, logic, and the choice between two values."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from compiler.importer.node import Node
from compiler.importer.operators.arithmetic import operands
from compiler.importer.table import operator

COMPARISONS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Equal": torch.eq,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "And": torch.logical_and,
    "Or": torch.logical_or,
    "Xor": torch.logical_xor,
    "BitwiseAnd": torch.bitwise_and,
    "BitwiseOr": torch.bitwise_or,
    "BitwiseXor": torch.bitwise_xor,
}


@operator(*COMPARISONS)
def compare(node: Node) -> Tensor:
    """Compare or join two values; sizes are broadcast."""
    return COMPARISONS[node.kind](*operands(node))


@operator("Not")
def logical_not(node: Node) -> Tensor:
    """True becomes false."""
    return torch.logical_not(node.tensor(0))


@operator("BitwiseNot", since=18)
def bitwise_not(node: Node) -> Tensor:
    """Flip every bit."""
    return torch.bitwise_not(node.tensor(0))


@operator("IsNaN", since=9)
def is_nan(node: Node) -> Tensor:
    """NaN is the one value that differs from itself."""
    x = node.tensor(0)
    return torch.ne(x, x)


@operator("IsInf", since=10)
def is_inf(node: Node) -> Tensor:
    """Tell infinite values, of both signs or of one."""
    x = node.tensor(0)
    above = torch.eq(x, torch.inf) if node.flag("detect_positive", default=True) else torch.zeros_like(x).to(torch.bool)
    below = (
        torch.eq(x, -torch.inf) if node.flag("detect_negative", default=True) else torch.zeros_like(x).to(torch.bool)
    )
    return torch.logical_or(above, below)


@operator("Where", since=9)
def where(node: Node) -> Tensor:
    """Return the second input where the first is true, else the third."""
    return torch.where(node.tensor(0), node.tensor(1), node.tensor(2))
