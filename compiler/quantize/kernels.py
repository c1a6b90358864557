"""A layer with constant weights as sums over windows of its input: pure data and numpy, whatever the file.

`onnx_kernels` and `tflite_kernels` read them from a graph. Whatever the operator and the layout, a layer is
out[row, group, channel] = sum over taps of x[row, group, tap] * w[group, channel, tap]: a row is one position of the
window in one sample, a tap one input channel of the group at one place in the window.
"""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Kernel:
    """One convolution (one or two dimensions, any groups) or dense layer."""

    name: str
    """Of the layer, as `Network` has it."""
    source: str
    """The activation that it reads."""
    weight: str
    bias: str
    """One number an output channel; empty: it has none."""
    order: tuple[int, ...]
    """Axes of the file's weight in the order output channel, input channel, window."""
    groups: int = 1
    strides: tuple[int, ...] = ()
    """Each of these has one entry a dimension of the window; a dense layer has no window."""
    dilations: tuple[int, ...] = ()
    padding: tuple[tuple[int, int], ...] = ()
    """With zeros, before and after."""
    channels_last: bool = False
    """Layout of the input."""


def unfold_weight(weight: NDArray[np.float32], kernel: Kernel) -> NDArray[np.float32]:
    """Return [groups, output channels of a group, taps]."""
    outputs = weight.shape[kernel.order[0]]
    return weight.transpose(kernel.order).reshape(kernel.groups, outputs // kernel.groups, -1)


def fold_weight(taps: NDArray[np.float32], kernel: Kernel, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Undo `unfold_weight`; `shape` is that of the file's weight."""
    ordered = taps.reshape([shape[axis] for axis in kernel.order])
    return np.ascontiguousarray(ordered.transpose(np.argsort(kernel.order)), np.float32)


def windows(x: NDArray[np.float32], kernel: Kernel, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """View the input as [positions ..., channels, window ...], without a copy of the windows.

    Args:
        x: one sample with its batch of 1, as the file lays it out.
        kernel: the layer that reads it.
        shape: of the file's weight.
    """
    if not kernel.strides:
        return x.reshape(-1, shape[kernel.order[1]])
    picture = np.moveaxis(x[0], -1, 0) if kernel.channels_last else x[0]
    padded = np.pad(picture, ((0, 0), *kernel.padding))
    sides = [shape[axis] for axis in kernel.order[2:]]
    reach = [step * (side - 1) + 1 for side, step in zip(sides, kernel.dilations, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(padded, (len(padded), *reach))[0]
    found: NDArray[np.float32] = view[
        tuple(slice(None, None, step) for step in (*kernel.strides, 1, *kernel.dilations))
    ]
    return found


def count_positions(view: NDArray[np.float32], kernel: Kernel) -> int:
    """Count the rows that `pick_rows` can pick of what `windows` returned."""
    return prod(view.shape[: max(1, len(kernel.strides))])


def pick_rows(view: NDArray[np.float32], kernel: Kernel, picked: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return [picked, groups, taps] of what `windows` returned."""
    at = np.unravel_index(picked, view.shape[: max(1, len(kernel.strides))])
    return view[at].reshape(len(picked), kernel.groups, -1)
