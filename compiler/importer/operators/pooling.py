"""MaxPool, AveragePool, LpPool and the global ones."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from compiler.importer.node import Node
from compiler.importer.operators.arithmetic import raise_to
from compiler.importer.operators.spatial import Pair, Window, pad_image, read_window
from compiler.importer.refusal import RefusedError
from compiler.importer.table import operator

MAX_POOLS: Mapping[int, Callable[..., Tensor]] = {
    1: functional.max_pool1d,
    2: functional.max_pool2d,
    3: functional.max_pool3d,
}
AVERAGE_POOLS: Mapping[int, Callable[..., Tensor]] = {
    1: functional.avg_pool1d,
    2: functional.avg_pool2d,
    3: functional.avg_pool3d,
}
CONVOLUTIONS: Mapping[int, Callable[..., Tensor]] = {
    1: functional.conv1d,
    2: functional.conv2d,
    3: functional.conv3d,
}


@operator("MaxPool")
def max_pool(node: Node) -> Tensor:
    """Largest value of each window; the indices are refused."""
    x = node.tensor(0)
    window = _read(node, x)
    tail = _ceil_tail(node, x, window)
    fits = (
        window.symmetric
        and not any(tail)
        and all(2 * p <= k for p, k in zip(window.padding, window.kernel, strict=True))
    )
    if not fits:
        pads = [(before, after + more) for (before, after), more in zip(window.pads, tail, strict=True)]
        x = pad_image(x, pads, value=-torch.inf)
    return _pool(MAX_POOLS, x)(
        x, window.kernel, stride=window.strides, padding=window.padding if fits else 0, dilation=window.dilations
    )


@operator("AveragePool")
def average_pool(node: Node) -> Tensor:
    """Mean of each window; padding counts only with `count_include_pad`."""
    x = node.tensor(0)
    window, count_pads = _read(node, x), node.flag("count_include_pad")
    tail = _ceil_tail(node, x, window)
    padded = any(before or after for before, after in window.pads)
    if not any(tail) and (count_pads or not padded):
        return _window_sum(pad_image(x, window.pads), window, mean=True)
    tails: list[Pair] = [(0, more) for more in tail]
    ones = torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype)
    ones = pad_image(pad_image(ones, window.pads, value=float(count_pads)), tails)
    counts = _window_sum(ones, window)
    return _window_sum(pad_image(pad_image(x, window.pads), tails), window) / counts


@operator("LpPool")
def lp_pool(node: Node) -> Tensor:
    """The p-th root of the sum of p-th powers of each window."""
    x, p = node.tensor(0), node.integer("p", 2)
    window = _read(node, x)
    tails: list[Pair] = [(0, more) for more in _ceil_tail(node, x, window)]
    powers = raise_to(torch.abs(x), p)
    sums = _window_sum(pad_image(pad_image(powers, window.pads), tails), window)
    return raise_to(sums, 1 / p)


@operator("GlobalAveragePool")
def global_average_pool(node: Node) -> Tensor:
    """[N, C, ...] -> [N, C, 1, ...]."""
    x = node.tensor(0)
    return torch.mean(x, dim=_image_axes(x), keepdim=True)


@operator("GlobalMaxPool")
def global_max_pool(node: Node) -> Tensor:
    """[N, C, ...] -> [N, C, 1, ...]."""
    x = node.tensor(0)
    return torch.amax(x, dim=_image_axes(x), keepdim=True)


@operator("GlobalLpPool")
def global_lp_pool(node: Node) -> Tensor:
    """[N, C, ...] -> [N, C, 1, ...]."""
    x, p = node.tensor(0), node.integer("p", 2)
    return raise_to(torch.sum(raise_to(torch.abs(x), p), dim=_image_axes(x), keepdim=True), 1 / p)


def _image_axes(x: Tensor) -> list[int]:
    return list(range(2, x.dim()))


def _read(node: Node, x: Tensor) -> Window:
    return read_window(node, x.shape[2:], node.integers("kernel_shape") or [])


def _pool(functions: Mapping[int, Callable[..., Tensor]], x: Tensor) -> Callable[..., Tensor]:
    rank = x.dim() - 2
    if rank not in functions:
        raise RefusedError(f"its input has {rank} dimensions", remedy="use images of one to three dimensions")
    return functions[rank]


def _ceil_tail(node: Node, x: Tensor, window: Window) -> list[int]:
    """Return what each axis must be lengthened by, so that `ceil_mode` gets its last, incomplete windows.

    A window that would start behind the input and its first padding does not count (opset 22).
    """
    if not node.flag("ceil_mode") or node.text("auto_pad", "NOTSET") != "NOTSET":
        return [0] * len(window.kernel)
    tail = []
    for size, reach, stride, (before, after) in zip(
        x.shape[2:], window.reach, window.strides, window.pads, strict=True
    ):
        steps = -(-(size + before + after - reach) // stride)
        if steps * stride >= size + before:
            steps -= 1
        tail.append(max(steps * stride + reach - (size + before + after), 0))
    return tail


def _window_sum(x: Tensor, window: Window, *, mean: bool = False) -> Tensor:
    """Add up (or average) each window of an image that is padded already."""
    if all(step == 1 for step in window.dilations):
        means = _pool(AVERAGE_POOLS, x)(x, window.kernel, stride=window.strides)
        return means if mean else means * _size(window)
    channels = x.shape[1]
    ones = torch.ones((channels, 1, *window.kernel), dtype=x.dtype)
    sums = _pool(CONVOLUTIONS, x)(x, ones, stride=window.strides, dilation=window.dilations, groups=channels)
    return sums / _size(window) if mean else sums


def _size(window: Window) -> int:
    size = 1
    for length in window.kernel:
        size *= length
    return size
