"""Windows that slide over an image: strides, dilations and padding of convolutions and pools."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from compiler.importer.node import Node

Pair = tuple[int, int]
"""Padding before and after, of one axis."""


@dataclass(frozen=True, slots=True)
class Window:
    """One entry an axis of the image, batch and channels left out."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[Pair, ...]

    @property
    def reach(self) -> tuple[int, ...]:
        """Pixels from the first to the last that a window touches, both included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def symmetric(self) -> bool:
        """As much padding before as after."""
        return all(before == after for before, after in self.pads)

    @property
    def padding(self) -> list[int]:
        """Padding of one side, where both are alike."""
        return [before for before, _ in self.pads]


def read_window(node: Node, sizes: Sequence[int], kernel: Sequence[int]) -> Window:
    """Read the attributes that convolutions and pools share.

    Args:
        node: with `strides`, `dilations`, `pads` and `auto_pad`.
        sizes: of the input, batch and channels left out.
        kernel: of the window.
    """
    rank = len(sizes)
    strides = tuple(node.integers("strides") or [1] * rank)
    dilations = tuple(node.integers("dilations") or [1] * rank)
    flat = node.integers("pads") or [0] * (2 * rank)
    window = Window(tuple(kernel), strides, dilations, tuple(zip(flat[:rank], flat[rank:], strict=True)))
    mode = node.text("auto_pad", "NOTSET")
    if mode in {"SAME_UPPER", "SAME_LOWER"}:
        pads = (_same(*item, upper=mode == "SAME_UPPER") for item in zip(sizes, window.reach, strides, strict=True))
        return Window(window.kernel, strides, dilations, tuple(pads))
    if mode == "VALID":
        return Window(window.kernel, strides, dilations, ((0, 0),) * rank)
    return window


def _same(size: int, reach: int, stride: int, *, upper: bool) -> Pair:
    """Pad so that the output has ceil(size / stride) values."""
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    less, more = total // 2, total - total // 2
    return (less, more) if upper else (more, less)


def pad_image(x: Tensor, pads: Sequence[Pair], value: float = 0.0) -> Tensor:
    """Pad, or crop where negative, the axes after batch and channels."""
    flat = [size for pair in reversed(pads) for size in pair]
    return functional.pad(x, flat, value=value) if any(flat) else x
