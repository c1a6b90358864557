"""Conv and ConvTranspose, in one to three dimensions."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from compiler.importer.node import Node
from compiler.importer.operators.spatial import Pair, Window, pad_image, read_window
from compiler.importer.refusal import RefusedError
from compiler.importer.table import operator

CONVOLUTIONS: Mapping[int, Callable[..., Tensor]] = {
    1: functional.conv1d,
    2: functional.conv2d,
    3: functional.conv3d,
}
TRANSPOSED: Mapping[int, Callable[..., Tensor]] = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}


@operator("Conv")
def conv(node: Node) -> Tensor:
    """Map x [N, C, ...], weight [M, C / group, ...], bias [M] -> [N, M, ...]."""
    x, weight = node.tensor(0), node.tensor(1)
    window = read_window(node, x.shape[2:], weight.shape[2:])
    if not window.symmetric:
        x = pad_image(x, window.pads)
    return _choose(CONVOLUTIONS, x)(
        x,
        weight,
        node.optional(2),
        stride=window.strides,
        padding=window.padding if window.symmetric else 0,
        dilation=window.dilations,
        groups=node.integer("group", 1),
    )


@operator("ConvTranspose")
def conv_transpose(node: Node) -> Tensor:
    """Map x [N, C, ...], weight [C, M / group, ...], bias [M] -> [N, M, ...].

    Where TFLite's operator cannot leave out the padding by itself, all windows are added up, then it is cut off.
    """
    x, weight, bias = node.tensor(0), node.tensor(1), node.optional(2)
    window = read_window(node, x.shape[2:], weight.shape[2:])
    groups, rank = node.integer("group", 1), x.dim() - 2
    extra = node.integers("output_padding") or [0] * rank
    full = [
        (size - 1) * stride + reach
        for size, stride, reach in zip(x.shape[2:], window.strides, window.reach, strict=True)
    ]
    pads = _transposed_pads(node, list(x.shape[2:]), full, extra) or window.pads
    crops = [(before, after - more) for (before, after), more in zip(pads, extra, strict=True)]
    if rank == 3:
        return _transposed_by_insertion(x, weight, bias, window, crops, groups)
    transposed = partial(
        _choose(TRANSPOSED, x), x, weight, stride=window.strides, dilation=window.dilations, groups=groups
    )
    if _in_one_operator(window, crops):
        return transposed(bias=bias, padding=[before for before, _ in crops])
    y = pad_image(transposed(), [(-before, -after) for before, after in crops])
    return y if bias is None else y + bias.reshape(-1, *[1] * rank)


def _in_one_operator(window: Window, crops: Sequence[Pair]) -> bool:
    """Tell whether TRANSPOSE_CONV gives this size: all of it (VALID), or size * stride (SAME); or no stride at all."""
    if not all(before == after >= 0 for before, after in crops):
        return False
    valid = all(before == 0 for before, _ in crops)
    steps = zip(crops, window.reach, window.strides, strict=True)
    same = all(2 * before == reach - stride for (before, _), reach, stride in steps)
    return valid or same or all(stride == 1 for stride in window.strides)


def _transposed_by_insertion(
    x: Tensor, weight: Tensor, bias: Tensor | None, window: Window, crops: Sequence[Pair], groups: int
) -> Tensor:
    """Spread x by zeros, then convolve with the mirrored kernel: what litert-torch can do in three dimensions."""
    for axis, stride in enumerate(window.strides, start=2):
        x = _spread(x, axis, stride)
    pads = [(reach - 1 - before, reach - 1 - after) for reach, (before, after) in zip(window.reach, crops, strict=True)]
    inputs, outputs, *kernel = weight.shape
    by_group = weight.reshape(groups, inputs // groups, outputs, *kernel).transpose(1, 2)
    mirrored = by_group.reshape(groups * outputs, inputs // groups, *kernel).flip(*range(2, weight.dim()))
    convolve = _choose(CONVOLUTIONS, x)
    return convolve(pad_image(x, pads), mirrored, bias, dilation=window.dilations, groups=groups)


def _spread(x: Tensor, axis: int, stride: int) -> Tensor:
    """Put stride - 1 zeros between neighbours of an axis."""
    if stride == 1:
        return x
    sizes = list(x.shape)
    flat = x.reshape(-1, sizes[axis], 1, math.prod(sizes[axis + 1 :]))
    spread = functional.pad(flat, (0, 0, 0, stride - 1)).reshape(*sizes[:axis], -1, *sizes[axis + 1 :])
    return torch.narrow(spread, axis, 0, (sizes[axis] - 1) * stride + 1)


def _transposed_pads(node: Node, sizes: list[int], full: list[int], extra: list[int]) -> list[tuple[int, int]] | None:
    """Return the pads that `output_shape` or `auto_pad` ask for; None if `pads` says it."""
    mode, wanted = node.text("auto_pad", "NOTSET"), node.integers("output_shape")
    if wanted is None:
        if mode not in {"SAME_UPPER", "SAME_LOWER"}:
            return None
        strides = node.integers("strides") or [1] * len(sizes)
        wanted = [size * stride for size, stride in zip(sizes, strides, strict=True)]
    totals = [size + more - want for size, more, want in zip(full, extra, wanted[-len(full) :], strict=True)]
    if mode == "SAME_UPPER":
        return [(total // 2, total - total // 2) for total in totals]
    return [(total - total // 2, total // 2) for total in totals]


def _choose(functions: Mapping[int, Callable[..., Tensor]], x: Tensor) -> Callable[..., Tensor]:
    rank = x.dim() - 2
    if rank not in functions:
        raise RefusedError(f"its input has {rank} dimensions", remedy="use images of one to three dimensions")
    return functions[rank]
