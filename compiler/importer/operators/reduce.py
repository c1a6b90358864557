"""Reduce*: one value out of some axes."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from compiler.importer.node import Node
from compiler.importer.table import operator

Reduction = Callable[[Tensor, list[int]], Tensor]


def _sum(x: Tensor, axes: list[int]) -> Tensor:
    return torch.sum(x, dim=axes, keepdim=True, dtype=x.dtype)


def _product(x: Tensor, axes: list[int]) -> Tensor:
    for axis in axes:
        x = torch.prod(x, dim=axis, keepdim=True)
    return x


def _maximum(x: Tensor, axes: list[int]) -> Tensor:
    return torch.amax(x, dim=axes, keepdim=True)


def _log_sum_exp(x: Tensor, axes: list[int]) -> Tensor:
    largest = _maximum(x, axes)  # taken out before and put back after, so that nothing overflows
    return torch.log(_sum(torch.exp(x - largest), axes)) + largest


REDUCTIONS: Mapping[str, Reduction] = {
    "ReduceSum": _sum,
    "ReduceMean": lambda x, axes: torch.mean(x, dim=axes, keepdim=True),
    "ReduceMax": _maximum,
    "ReduceMin": lambda x, axes: torch.amin(x, dim=axes, keepdim=True),
    "ReduceProd": _product,
    "ReduceL1": lambda x, axes: _sum(torch.abs(x), axes),
    "ReduceL2": lambda x, axes: torch.sqrt(_sum(x * x, axes)),
    "ReduceLogSum": lambda x, axes: torch.log(_sum(x, axes)),
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceSumSquare": lambda x, axes: _sum(x * x, axes),
}
TRANSFORMS_ALONE: Mapping[str, Callable[[Tensor], Tensor]] = {
    "ReduceL1": torch.abs,
    "ReduceL2": torch.abs,
    "ReduceLogSum": torch.log,
    "ReduceSumSquare": lambda x: x * x,
}
"""What a reduction over no axes does to each value; the others leave it."""


@operator(*REDUCTIONS, constant=(1,))
def reduce(node: Node) -> Tensor:
    """Reduce over `axes` (an attribute first, an input from opset 13 or 18 on); over all of them if none are given."""
    x, axes = node.tensor(0), node.integer_parameter("axes", 1)
    if not axes and node.flag("noop_with_empty_axes"):
        return TRANSFORMS_ALONE.get(node.kind, torch.clone)(x)
    places = sorted({axis % x.dim() for axis in axes}) if axes else list(range(x.dim()))
    if x.dtype == torch.bool:
        return _drop(REDUCTIONS[node.kind](x.to(torch.int32), places).to(torch.bool), places, node)
    return _drop(REDUCTIONS[node.kind](x, places), places, node)


def _drop(y: Tensor, axes: list[int], node: Node) -> Tensor:
    """Take the reduced axes out, unless they are to be kept."""
    if node.flag("keepdims", default=True):
        return y
    return y.reshape([size for axis, size in enumerate(y.shape) if axis not in axes])
