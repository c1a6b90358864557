"""A network without training: the strongest colour of the picture is the label. `edge compile colours.py:load`.

Beside the path that decides, a body of separable convolutions with random weights adds a little to it: work for a
runtime of the kind that real networks are made of, 2.4 million multiplications.
"""

import torch
from torch import nn

LABELS = ("red", "green", "blue")
SIDE = 32
SAY = 0.05
"""How much the body adds."""


class Separable(nn.Sequential):
    """Depthwise, then pointwise, as MobileNet has them."""

    def __init__(self, read: int, written: int, stride: int) -> None:
        depthwise = nn.Conv2d(read, read, 3, stride=stride, padding=1, groups=read)
        super().__init__(depthwise, nn.ReLU(), nn.Conv2d(read, written, 1), nn.ReLU())


class Colours(nn.Module):
    """[n, 3, SIDE, SIDE] in 0..1 -> [n, 3]: two convolutions that keep the channels apart, then the mean; the body."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.blur = nn.Conv2d(3, 3, 3, stride=2, padding=1, groups=3)
        self.gain = nn.Conv2d(3, 3, 1)
        nn.init.constant_(self.blur.weight, 1 / 9)
        nn.init.zeros_(self.blur.bias)
        nn.init.zeros_(self.gain.bias)
        self.gain.weight.data = gain * torch.eye(3)[:, :, None, None]
        first = nn.Conv2d(3, 32, 3, stride=2, padding=1)
        self.body = nn.Sequential(first, nn.ReLU(), Separable(32, 64, 1), Separable(64, 128, 2), Separable(128, 128, 1))
        self.head = nn.Linear(128, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        decided = self.gain(torch.relu(self.blur(x))).mean((2, 3))
        return decided + SAY * self.head(self.body(x).mean((2, 3)))


def load(gain: float = 12.0) -> tuple[nn.Module, torch.Tensor]:
    """Return the network, always the same, and an example of its input."""
    torch.manual_seed(0)
    return Colours(gain).eval(), torch.zeros(1, 3, SIDE, SIDE)


def load_surer() -> tuple[nn.Module, torch.Tensor]:
    """Return the same one, but surer of itself: the next version."""
    return load(14.0)
