"""Pad: with a constant, or with what is there."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from compiler.importer.node import Node
from compiler.importer.refusal import RefusedError
from compiler.importer.table import operator

_NUMPY_MODES = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}


@operator("Pad", constant=(1, 2, 3))
def pad(node: Node) -> Tensor:
    """Pad both ends of axes; cut where negative. Attributes up to opset 10 (before 2: `paddings`), then inputs."""
    x = node.tensor(0)
    pairs = _read_pairs(node, x.dim())
    mode = node.text("mode", "constant")
    if mode == "constant":
        value = node.scalar(2) if node.opset >= 11 and node.has(2) else node.number("value", 0.0)
        return _pad_constant(x, pairs, value)
    if mode not in _NUMPY_MODES:
        raise RefusedError(f"it pads in mode {mode}", remedy="use constant, reflect, edge or wrap")
    for axis, (before, after) in enumerate(pairs):
        x = _pad_with_content(x, axis, before, after, mode)
    return x


def _read_pairs(node: Node, rank: int) -> list[tuple[int, int]]:
    """Return what is added before and after each axis."""
    flat = node.integer_parameter("paddings" if node.opset < 2 else "pads", 1) or []
    axes = node.integers_at(3) if node.opset >= 18 else None
    axes = list(range(rank)) if axes is None else [axis % rank for axis in axes]
    pairs = [(0, 0)] * rank
    for place, axis in enumerate(axes):
        pairs[axis] = (flat[place], flat[place + len(axes)])
    return pairs


def _pad_constant(x: Tensor, pairs: Sequence[tuple[int, int]], value: float) -> Tensor:
    flat = [size for pair in reversed(pairs) for size in pair]
    while flat and flat[-2:] == [0, 0]:  # leave out leading axes: torch's kernels know few dimensions
        flat = flat[:-2]
    return functional.pad(x, flat, value=value) if flat else x


def _pad_with_content(x: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    """Look up each place of the padded axis in the old one; a negative pad cuts first."""
    if before == after == 0:
        return x
    places = np.arange(x.shape[axis])[max(-before, 0) : x.shape[axis] - max(-after, 0)]
    places = np.pad(places, (max(before, 0), max(after, 0)), mode=_NUMPY_MODES[mode])  # type: ignore[call-overload]
    return torch.index_select(x, axis, torch.from_numpy(places))
