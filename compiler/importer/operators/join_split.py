"""Tensors cut apart and put together: Concat, Split, Slice."""

import torch
from torch import Tensor

from compiler.importer.node import Node
from compiler.importer.table import operator


@operator("Concat")
def concat(node: Node) -> Tensor:
    """Join along an axis."""
    return torch.cat(node.tensors(), dim=node.integer("axis", 1))


@operator("Split", constant=(1,))
def split(node: Node) -> tuple[Tensor, ...]:
    """Cut into given lengths, or into equal ones, of which the last may be shorter."""
    x, axis = node.tensor(0), node.integer("axis", 0)
    lengths = node.integer_parameter("split", 1)
    if lengths is None:
        parts = node.integer("num_outputs", node.outputs)
        chunk = -(-x.shape[axis] // parts)
        lengths = [min(chunk, x.shape[axis] - start) for start in range(0, x.shape[axis], chunk)]
    ends = [sum(lengths[: index + 1]) for index in range(len(lengths))]
    return tuple(torch.narrow(x, axis, end - length, length) for end, length in zip(ends, lengths, strict=True))


@operator("Slice", constant=(1, 2, 3, 4))
def slice_axes(node: Node) -> Tensor:
    """x[start:end:step] along some axes; attributes up to opset 9, then inputs."""
    x = node.tensor(0)
    starts, ends = node.integer_parameter("starts", 1) or [], node.integer_parameter("ends", 2) or []
    axes = node.integer_parameter("axes", 3) or list(range(len(starts)))
    steps = node.integers_at(4) or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        x = take(x, axis % x.dim(), range(x.shape[axis])[_window(start, end, step, x.shape[axis])])
    return x


def _window(start: int, end: int, step: int, size: int) -> slice:
    """An end far below 0 means, with a negative step, that the first value is included."""
    return slice(start, None if step < 0 and end < -size else end, step)


def take(x: Tensor, axis: int, places: range) -> Tensor:
    """Return some places of an axis; backwards, too, which torch cannot slice."""
    if places == range(x.shape[axis]):
        return x
    if places.step < 0:
        return torch.flip(take(x, axis, places[::-1]), [axis])
    window = [slice(None)] * axis + [slice(places.start, places.stop, places.step)]
    return x[tuple(window)]
