"""MobileNetV2, written from the paper: inverted residuals with linear bottlenecks; width .35, 96 x 96 pictures.

Source: M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, table 2.
"""

import torch
from torch import nn

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""(expansion, channels, repeats, stride of the first), from the picture to the head."""


def _scaled(channels: float) -> int:
    """Round to a multiple of 8, never below 90 % of what was asked for."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def _conv(channels_in: int, channels: int, size: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(channels_in, channels, size, stride, padding=size // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(channels), nn.ReLU6()]


class Bottleneck(nn.Module):
    """Widen, filter each channel, narrow without an activation; added to its input where the shapes agree."""

    def __init__(self, channels_in: int, channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = channels_in * expansion
        widen = _conv(channels_in, wide, 1) if expansion > 1 else []
        self.body = nn.Sequential(*widen, *_conv(wide, wide, 3, stride, groups=wide), *_conv(wide, channels, 1)[:-1])
        self.adds = stride == 1 and channels_in == channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x) if self.adds else self.body(x)


class MobileNetV2(nn.Module):
    """[n, 3, 96, 96] -> [n, classes]."""

    def __init__(self, *, width: float = 0.35, classes: int = 10) -> None:
        super().__init__()
        channels = _scaled(32 * width)
        layers = _conv(3, channels, 3, 2)
        for expansion, size, repeats, stride in STAGES:
            for index in range(repeats):
                layers.append(Bottleneck(channels, _scaled(size * width), expansion, stride if index == 0 else 1))
                channels = _scaled(size * width)
        self.body = nn.Sequential(*layers, *_conv(channels, 1280, 1))
        self.head = nn.Linear(1280, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).mean((2, 3)))


def load() -> tuple[nn.Module, torch.Tensor]:
    """Return the network with fixed random weights (for placement and bytes, not for accuracy) and an example.

    Random pictures set the batch norms: without, activations shrink to nothing, and no int8 scale can hold them.
    """
    torch.manual_seed(7)
    network = MobileNetV2()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # a plain average of what is seen
    with torch.no_grad():
        network.train()(torch.rand(8, 3, 96, 96))
    return network.eval(), torch.zeros(1, 3, 96, 96)
