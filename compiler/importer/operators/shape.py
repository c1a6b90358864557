"""Same values, another shape."""

import numpy as np
import torch
from torch import Tensor

from compiler.importer.node import Node
from compiler.importer.refusal import RefusedError
from compiler.importer.table import operator

MOST_COPIES = 32
"""As many heads as a small network has."""


@operator("Reshape", constant=(1,))
def reshape(node: Node) -> Tensor:
    """0 copies a size (unless `allowzero`), -1 is what remains."""
    x, wanted = node.tensor(0), node.integer_parameter("shape", 1) or []
    if not node.flag("allowzero"):
        wanted = [x.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    return x.reshape(wanted)


@operator("Flatten")
def flatten(node: Node) -> Tensor:
    """Two dimensions: the axes before `axis`, and the rest."""
    x, axis = node.tensor(0), node.integer("axis", 1)
    axis = axis + x.dim() if axis < 0 else axis
    return x.reshape(int(np.prod(x.shape[:axis], dtype=np.int64)), -1)


@operator("Squeeze", constant=(1,))
def squeeze(node: Node) -> Tensor:
    """Take out axes of size 1."""
    x, axes = node.tensor(0), node.integer_parameter("axes", 1)
    axes = [axis for axis, size in enumerate(x.shape) if size == 1] if axes is None else axes
    out = {axis % x.dim() for axis in axes}
    return x.reshape([size for axis, size in enumerate(x.shape) if axis not in out])


@operator("Unsqueeze", constant=(1,))
def unsqueeze(node: Node) -> Tensor:
    """Insert axes of size 1, counted in the output."""
    x, axes = node.tensor(0), node.integer_parameter("axes", 1) or []
    rank = x.dim() + len(axes)
    new, sizes = {axis % rank for axis in axes}, iter(x.shape)
    return x.reshape([1 if axis in new else next(sizes) for axis in range(rank)])


@operator("Transpose")
def transpose(node: Node) -> Tensor:
    """Reorder the axes; by default reverse them."""
    x = node.tensor(0)
    return x.permute(node.integers("perm") or list(reversed(range(x.dim()))))


@operator("Expand", since=8, constant=(1,))
def expand(node: Node) -> Tensor:
    """Broadcast, also to sizes that are smaller than the input's.

    Of a matrix that is repeated a few times, as keys shared by the heads of attention are, copies are joined instead:
    the converter drops a transpose behind a broadcast (litert-torch 0.10), and the values are wrong without a word.
    """
    x = node.tensor(0)
    sizes = np.broadcast_shapes(tuple(x.shape), tuple(node.integers_at(1) or ()))
    x = x.reshape([1] * (len(sizes) - x.dim()) + list(x.shape))
    grown = [axis for axis, size in enumerate(sizes) if x.shape[axis] != size]
    if len(grown) == 1 and sizes[grown[0]] <= MOST_COPIES and sum(size > 1 for size in x.shape) > 1:
        return torch.cat([x] * sizes[grown[0]], grown[0])
    return torch.broadcast_to(x, sizes)


@operator("Tile", since=6, constant=(1,))
def tile(node: Node) -> Tensor:
    """Repeat along each axis."""
    return node.tensor(0).repeat(node.integers_at(1) or [])


@operator("DepthToSpace")
def depth_to_space(node: Node) -> Tensor:
    """[N, C * b * b, H, W] -> [N, C, H * b, W * b]; the block comes before the channel (DCR) or after it (CRD)."""
    x, block = node.tensor(0), node.integer("blocksize", 1)
    batch, channels, height, width = x.shape
    rest = channels // (block * block)
    if node.text("mode", "DCR") == "DCR":
        split = x.reshape(batch * block, block, rest, height, width)
        split = split.reshape(batch, block, block, rest, height, width).permute(0, 3, 4, 1, 5, 2)
    else:
        split = x.reshape(batch, rest, block, block, height, width).permute(0, 1, 4, 2, 5, 3)
    return split.reshape(batch, rest, height * block, width * block)


@operator("SpaceToDepth")
def space_to_depth(node: Node) -> Tensor:
    """[N, C, H * b, W * b] -> [N, C * b * b, H, W]; the block comes before the channel (DCR) or after it (CRD)."""
    x, block = node.tensor(0), node.integer("blocksize", 1)
    batch, channels, height, width = x.shape
    split = x.reshape(batch, channels, height // block, block, width // block, block)
    order = (0, 3, 5, 1, 2, 4) if node.text("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    return split.permute(order).reshape(batch, channels * block * block, height // block, width // block)


@operator("Shape", "Size", "Constant")
@operator("ConstantOfShape", "Range", constant=(0, 1, 2))
def known(_node: Node) -> Tensor:
    """Always computed ahead (compiler/importer/fold.py), if its inputs allow it."""
    raise RefusedError(
        "its inputs are computed at run time, but decide sizes", remedy="export the network with fixed sizes"
    )
